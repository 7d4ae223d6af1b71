"""What the commands print: results on stdout, as tables or as one JSON document, and the rest on stderr."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import typer
from rich.console import Console, RenderableType

from tiedlm.errors import InputError, printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from pydantic import BaseModel

    from tiedlm.cli.arguments import Form
    from tiedlm.comparison.comparison import Comparison
    from tiedlm.comparison.scan_result import Scan
    from tiedlm.execution.plan import Plan
    from tiedlm.markup.page_parts import Part
    from tiedlm.reporting.closing import NextCommand

D = TypeVar("D", bound="BaseModel")
stdout, stderr = Console(), Console(stderr=True)


Document: TypeAlias = "BaseModel | DataclassInstance | dict[str, Any]"
"""What JSON is printed of; its first field is the version of its schema."""


def show(document: Document, table: RenderableType, as_json: bool) -> None:
    """A document where JSON is asked for, else its table, or its page of a markup, which no terminal shall break."""
    if as_json:
        echo_json(document)
    elif isinstance(table, str):
        typer.echo(table, nl=False)
    else:
        stdout.print(table, highlight=False, crop=False)  # a table fits; a command shall be copied whole


def echo_json(document: Document) -> None:
    """A document on stdout, in characters that any terminal has.

    Raises:
        InputError: it has a number that is not finite, for which JSON has no word.
    """
    try:
        text = json.dumps(_fields(document), indent=1, allow_nan=False)
    except ValueError as error:
        raise InputError(
            "--json: the answer has a number that is not finite, for which JSON has no word; leave --json out to see it"
        ) from error
    typer.echo(text)


def _fields(document: Document) -> dict[str, Any]:
    if isinstance(document, dict):
        return document
    return asdict(document) if is_dataclass(document) else document.model_dump(mode="json")


def tell_place(what: str, path: Path) -> None:
    """Where something was written."""
    stdout.print(printable(f"{what}: {path}"), highlight=False, markup=False, soft_wrap=True)


def tell_nothing_trained(why: str, folder: Path, resume: bool) -> None:
    """That all runs are finished, and how they would be trained again."""
    remedy = "to train again, give another --out"
    if not resume:
        remedy = (
            "--no-resume begins unfinished runs again, and finished runs keep their records; to train these again, "
            f"delete the folder (rm -r {shlex.quote(str(folder))}) or choose another --out"
        )
    sentence = f"nothing was trained: {why}; {remedy}"
    stderr.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)


def show_comparison(
    comparison: Comparison,
    folder: Path,
    form: Form,
    options: Sequence[str] = (),
    written: Mapping[str, Path] | None = None,
    side_by_side: int | None = None,
) -> None:
    """A comparison, where its report and its page lie, and, last, the answer in a sentence with the next command.

    `options` are those that the next command needs too; `written` are further files, by what they are; `side_by_side`
    is how many runs go at a time, by default as many as there are processors.
    """
    from tiedlm.reporting.closing import closing_sentence, next_command
    from tiedlm.reporting.figures import comparison_csv, curves_csv
    from tiedlm.reporting.main_parts import main_parts
    from tiedlm.reporting.terminal import render_comparison

    shown = {"text": render_comparison, "csv": comparison_csv, "curves-csv": curves_csv}
    _show_report(comparison, shown | _markups(main_parts), folder, form)
    if form == "text":
        for what, path in (written or {}).items():
            tell_place(what, path)
        if "cuda" in comparison.provenance["device"]:
            side_by_side = side_by_side or 1
        following = next_command(comparison, folder, options, "page" in (written or {}))
        tell_next(closing_sentence(comparison), following, side_by_side)


def tell_next(sentence: str, following: NextCommand | None, side_by_side: int | None = None) -> None:
    """The last lines: a sentence, and the command that goes on from there, in one line that can be copied."""
    from tiedlm.display.plan_lines import about
    from tiedlm.processes.available_cpus import available_cpus

    stdout.print()
    stdout.print(printable(sentence), highlight=False, markup=False)
    if following is not None:
        seconds = following.seconds(side_by_side or available_cpus())
        time = f", about {about(seconds)}" if seconds else ""
        stdout.print(printable(f"Next{time}: {following.command}"), highlight=False, markup=False, soft_wrap=True)


def show_scan(
    scan: Scan, folder: Path, form: Form, options: Sequence[str] = (), written: Mapping[str, Path] | None = None
) -> None:
    """A scan, where its report and further files lie, and, last, its answer in a sentence."""
    from tiedlm.reporting.closing import scan_command, scan_sentence
    from tiedlm.reporting.figures import scan_csv
    from tiedlm.reporting.scan_report import render_scan, scan_parts

    _show_report(scan, {"text": render_scan, "csv": scan_csv, **_markups(scan_parts)}, folder, form)
    if form == "text":
        for what, path in (written or {}).items():
            tell_place(what, path)
        tell_next(scan_sentence(scan), scan_command(scan, folder, options))


def _markups(parts_of: Callable[[D], Sequence[Part]]) -> dict[str, Callable[[D], Any]]:
    """The tables in each markup."""
    from tiedlm.markup.latex_text import latex_page
    from tiedlm.markup.markdown_text import markdown_page

    return {
        "markdown": lambda document: markdown_page(parts_of(document)),
        "latex": lambda document: latex_page(parts_of(document)),
    }


def _show_report(document: D, shown: Mapping[str, Callable[[D], Any]], folder: Path, form: Form) -> None:
    from tiedlm.reporting.write import REPORT_FILE

    if form == "json":
        echo_json(document)
    elif form == "text":
        stdout.print(shown[form](document))
        stdout.print()
        tell_place("report", folder / REPORT_FILE)
    else:
        typer.echo(shown[form](document), nl=False)


def show_plan(plan: Plan, as_json: bool) -> None:
    """What a dry run found."""
    from tiedlm.display.plan_lines import note_lines, plan_lines

    if as_json:
        echo_json(plan.document())
    else:
        for line in plan_lines(plan):
            stdout.print(printable(line), highlight=False, markup=False, soft_wrap=True)
        for line in note_lines(plan):
            stdout.print(printable(line), style="yellow", highlight=False, markup=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """One line on stderr, in red: what is wrong."""
    whole = not stderr.is_terminal  # in a log a sentence is a line; a terminal shall not break its words
    stderr.print(f"tiedlm: {printable(sentence)}", style="red", highlight=False, markup=False, soft_wrap=whole)

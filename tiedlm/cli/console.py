"""What the commands print: results on stdout, as tables or as one JSON document, and the rest on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console, RenderableType

from tiedlm.errors import printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tiedlm.comparison.comparison import Comparison
    from tiedlm.comparison.scan import Scan
    from tiedlm.execution.plan import Plan

stdout, stderr = Console(), Console(stderr=True)


def show(document: object, table: RenderableType, as_json: bool) -> None:
    """A document where JSON is asked for, else its table, or its page of Markdown, which no terminal shall break."""
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    elif isinstance(table, str):
        typer.echo(table)
    else:
        stdout.print(table, highlight=False)


def tell_place(what: str, path: Path) -> None:
    """Where something was written."""
    stdout.print(printable(f"{what}: {path}"), highlight=False, markup=False, soft_wrap=True)


def show_comparison(comparison: Comparison, folder: Path, as_json: bool) -> None:
    """A comparison, and where its report lies."""
    from tiedlm.report.terminal import render_comparison

    _show_report(comparison, render_comparison(comparison), folder, as_json)


def show_scan(scan: Scan, folder: Path, as_json: bool) -> None:
    """A scan, and where its report lies."""
    from tiedlm.report.scan_report import render_scan

    _show_report(scan, render_scan(scan), folder, as_json)


def _show_report(document: BaseModel, shown: RenderableType, folder: Path, as_json: bool) -> None:
    from tiedlm.report.write import REPORT_FILE

    if as_json:
        typer.echo(document.model_dump_json(indent=1))
    else:
        stdout.print(shown)
        stdout.print()
        tell_place("report", folder / REPORT_FILE)


def show_plan(plan: Plan, as_json: bool) -> None:
    """What a dry run found."""
    from tiedlm.cli.plan import plan_lines

    if as_json:
        typer.echo(json.dumps(plan.document(), indent=1))
    else:
        for line in plan_lines(plan):
            stdout.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """One line on stderr, in red: what is wrong."""
    whole = not stderr.is_terminal  # in a log a sentence is a line; a terminal shall not break its words
    stderr.print(f"tiedlm: {printable(sentence)}", style="red", highlight=False, markup=False, soft_wrap=whole)

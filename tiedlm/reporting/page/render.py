"""Comparison and records → one HTML file: no request leaves it, and all that is foreign in it is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.comparison import Comparison
from tiedlm.errors import InputError, printable
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting import tables, wording
from tiedlm.reporting.arm_styles import COLOURS, DARK_COLOURS, arm_styles
from tiedlm.reporting.contrast_tables import contrast_table
from tiedlm.reporting.page import answer, svg_plots
from tiedlm.reporting.page.records import run_table
from tiedlm.reporting.page.sections import (
    Section,
    bands_section,
    curves_section,
    differences_section,
    further_sections,
)
from tiedlm.reporting.page.shares import parameter_shares
from tiedlm.reporting.tables import Table


def check_page_path(path: Path) -> None:
    """Refuse a file that the page must not be written to.

    Raises:
        InputError: it is not named as a page is, is a folder, or lies in none.
    """
    if path.suffix not in (".html", ".htm"):
        raise InputError(f"--html {path}: is not the name of a page; give one that ends with .html")
    if path.is_dir():
        raise InputError(f"--html {path}: is a folder; give the file to write, e.g. {path / 'report.html'}")
    if not path.parent.is_dir():
        raise InputError(f"--html {path}: its folder does not exist; make {path.parent} first")


def write_page(folder: Path, comparison: Comparison, path: Path, through_the_head: Section | None = None) -> None:
    """Write the page of a comparison of a folder's records.

    Raises:
        InputError: the file cannot be written.
    """
    records = [
        record
        for record in load_records(folder)
        if record.arm in comparison.arms and str(record.seed) in comparison.arms[record.arm].curves
    ]
    page = render_page(comparison, records, through_the_head)
    save_page(path, page)


def save_page(path: Path, page: str) -> None:
    """Write a page to the file of `--html`.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        write_atomically(path, page)
    except OSError as error:
        raise InputError(f"--html {path}: cannot be written ({error.strerror}); give another file") from error


def render_page(comparison: Comparison, records: Sequence[RunRecord], through_the_head: Section | None = None) -> str:
    """The page as text; the same comparison and records give the same bytes.

    Args:
        comparison: what is shown.
        records: the runs that it compares.
        through_the_head: a section on how some sentences pass through the heads of the arms, if there is one.
    """
    styles = arm_styles(comparison.arms)
    of_head = [] if through_the_head is None else [through_the_head]
    script = Markup(page_environment().get_template("page.js").render())
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        page_environment()
        .get_template("page.html")
        .render(
            comparison=comparison,
            experiment=comparison.experiment,
            title=wording.heading(comparison),
            heading=answer.heading(comparison),
            cards=answer.cards(comparison),
            lede=answer.lede(comparison),
            notes=answer.notes(comparison),
            contrasts=[contrast_table(comparison.contrasts, split) for split in _splits(comparison)],
            headline=tables.headline_table(comparison),
            verdicts=tables.verdict_table(comparison),
            wording=wording,
            saved=wording.saved_sentence(comparison),
            shares=parameter_shares(comparison),
            parameters=tables.parameter_table(comparison),
            marks=[(arm, style.place, svg_plots.draw_mark(style)) for arm, style in styles.items()],
            sections=[
                curves_section(comparison),
                differences_section(comparison),
                bands_section(comparison),
                *of_head,
                *further_sections(comparison),
            ],
            overrides=_override_table(comparison),
            cost=tables.cost_table(comparison),
            runs=run_table(records),
            script=script,
            script_hash=script_hash,
        )
    )


def _splits(comparison: Comparison) -> list[str]:
    """Those of the planned contrasts, valid first."""
    return list(dict.fromkeys(item.split for item in comparison.contrasts))


def page_environment() -> Environment:
    """Where the templates lie, and how what they print is made safe."""
    environment = Environment(
        loader=PackageLoader("tiedlm.reporting.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    environment.globals["arm_colours"] = COLOURS
    environment.globals["dark_arm_colours"] = DARK_COLOURS
    environment.tests["strong"] = lambda cell: isinstance(cell, tables.Strong)
    return environment


def _visible(value: Any) -> Any:
    """What a template prints, its control characters spelled out."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _override_table(comparison: Comparison) -> Table:
    """What each arm sets."""
    keys = list(dict.fromkeys(key for summary in comparison.arms.values() for key in summary.overrides))
    rows = [
        [arm, *(str(summary.overrides.get(key, "as in the file")) for key in keys)]
        for arm, summary in comparison.arms.items()
    ]
    return Table(["arm", *keys], rows)

"""A folder of records → comparison.json, REPORT.md and the plots beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tiedlm.atomic_file import remove_partial_files, write_atomically
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.folder import compare_folder
from tiedlm.errors import InputError
from tiedlm.record.run_id import RunId
from tiedlm.regular_file import read_regular_file
from tiedlm.reporting.markdown import CURVES_FILE, PARAMETERS_FILE, SEARCH_FILE, plot_files, render_markdown

COMPARISON_FILE, REPORT_FILE, PLOT_SUMS_FILE = "comparison.json", "REPORT.md", "plots.sha256"
MAX_PLOT_BYTES = 100_000_000


def update_report(folder: Path, force: bool = False, runs: Collection[RunId] | None = None) -> Comparison:
    """Compare a folder's records, or those of some runs, and write the comparison, REPORT.md and the plots.

    All of it follows from the records, each time. The plots alone, which are slow and differ from one version of the
    plotting library to another, are kept while they are those that were drawn from these records.

    Raises:
        InputError: the folder's records cannot be compared, or the folder cannot be written.
    """
    comparison = compare_folder(folder, runs)
    with told_where_not_written(folder):
        plots = plot_files(comparison)
        keep_plots(folder, comparison.records_sha256, plots, lambda: _draw(comparison, folder), force)
        write_atomically(folder / REPORT_FILE, render_markdown(comparison))
        write_atomically(folder / COMPARISON_FILE, comparison.model_dump_json(indent=1) + "\n")
    return comparison


@contextmanager
def told_where_not_written(folder: Path) -> Iterator[None]:
    """A report that is written without what a killed command left, or cannot be, in a sentence.

    Raises:
        InputError: the folder could not be written inside.
    """
    try:
        remove_partial_files(folder)
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: the report cannot be written ({error.strerror}); mend that, and tiedlm report {folder} "
            "writes it from the records, which are there"
        ) from error


def keep_plots(folder: Path, records_sha256: str, names: Sequence[str], draw: Callable[[], None], force: bool) -> None:
    """Draw the plots unless they are there as they were drawn from these records.

    Raises:
        OSError: the folder cannot be written.
    """
    if force or plot_sums(folder, records_sha256, names) != _kept_sums(folder):
        draw()
        write_atomically(folder / PLOT_SUMS_FILE, plot_sums(folder, records_sha256, names))


def plot_sums(folder: Path, records_sha256: str, names: Sequence[str]) -> str:
    """What the plots in the folder are, and of which records, as `sha256sum -c` reads it."""
    lines = [f"# of records {records_sha256}"]
    for name in names:
        path = folder / name
        content = read_regular_file(path, MAX_PLOT_BYTES) if path.is_file() else b""
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}")
    return "\n".join(lines) + "\n"


def _kept_sums(folder: Path) -> str | None:
    path = folder / PLOT_SUMS_FILE
    return read_regular_file(path, MAX_PLOT_BYTES).decode("utf-8", "replace") if path.is_file() else None


def _draw(comparison: Comparison, folder: Path) -> None:
    from tiedlm.reporting.plots import (  # here because matplotlib takes long to import
        draw_learning_curves,
        draw_parameters,
        draw_search,
    )

    draw_learning_curves(comparison, folder / CURVES_FILE)
    draw_parameters(comparison, folder / PARAMETERS_FILE)
    if SEARCH_FILE in plot_files(comparison):
        draw_search(comparison, folder / SEARCH_FILE)

"""A folder of records → comparison.json, REPORT.md and the plots beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.compare import compare
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.similarity import Similarity
from tiedlm.comparison.tuning_table import SEARCH_FOLDER, search_table
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.experiment import Grid
from tiedlm.config.strict import Strict
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.regular_file import read_regular_file
from tiedlm.report.markdown import CURVES_FILE, PARAMETERS_FILE, render_markdown

COMPARISON_FILE, REPORT_FILE, DESIGN_FILE = "comparison.json", "REPORT.md", "two-stage.json"
PLOT_SUMS_FILE, GRID_FILE, SIMILARITY_FILE = "plots.sha256", "grid.json", "similarity.json"
MAX_DECISION_BYTES, MAX_PLOT_BYTES = 1_000_000, 100_000_000

D = TypeVar("D", bound=Strict)


def update_report(folder: Path, force: bool = False, runs: Collection[RunId] | None = None) -> Comparison:
    """Compare a folder's records, or those of some runs, and write the comparison, REPORT.md and the plots.

    All of it follows from the records, each time. The plots alone, which are slow and differ from one version of the
    plotting library to another, are kept while they are those that were drawn from these records.

    Raises:
        InputError: the folder's records cannot be compared, or the folder cannot be written.
    """
    comparison = compare_folder(folder, runs)
    with told_where_not_written(folder):
        plots = (CURVES_FILE, PARAMETERS_FILE)
        keep_plots(folder, comparison.records_sha256, plots, lambda: _draw(comparison, folder), force)
        write_atomically(folder / REPORT_FILE, render_markdown(comparison))
        write_atomically(folder / COMPARISON_FILE, comparison.model_dump_json(indent=1) + "\n")
    return comparison


@contextmanager
def told_where_not_written(folder: Path) -> Iterator[None]:
    """A report that cannot be written, in a sentence.

    Raises:
        InputError: the folder could not be written inside.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: the report cannot be written ({error.strerror}); mend that, and tiedlm report {folder} "
            "writes it from the records, which are there"
        ) from error


def compare_folder(folder: Path, runs: Collection[RunId] | None = None) -> Comparison:
    """Compare a folder's records, or those of some runs, by all that lies beside them.

    Raises:
        InputError: they cannot be compared.
    """
    records, design = load_records(folder), load_design(folder)
    if runs is not None:
        records = [record for record in records if record.run in runs]
        if design is not None and not set(design.first_stage_seeds) <= {run.seed for run in runs}:
            design = None  # some seeds of the first stage are left out on purpose
    grid = load_grid(folder)
    search = None if grid is None else search_table(folder / SEARCH_FOLDER, grid)
    return compare(records, design, search, load_similarity(folder))


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


def load_design(folder: Path) -> TwoStage | None:
    """What `--to-within` decided in this folder, or None.

    Raises:
        InputError: the file is damaged.
    """
    return load_decision(folder / DESIGN_FILE, TwoStage, "--to-within")


def load_grid(folder: Path) -> Grid | None:
    """What `--tune` searched for this folder, or None.

    Raises:
        InputError: the file is damaged.
    """
    return load_decision(folder / SEARCH_FOLDER / GRID_FILE, Grid, "--tune")


def load_similarity(folder: Path) -> Similarity | None:
    """What was measured on the folder's models, or None.

    Raises:
        InputError: the file is damaged, or was changed.
    """
    similarity = load_decision(folder / SIMILARITY_FILE, Similarity, "the models still there")
    if similarity is not None and similarity.sha256 != similarity.own_sha256():
        raise InputError(
            f"{folder / SIMILARITY_FILE}: was changed after it was written; take it from a copy, or delete it"
        )
    return similarity


def load_decision(path: Path, kind: type[D], option: str) -> D | None:
    """What was decided before runs were trained and is kept beside them, or None.

    Raises:
        InputError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(read_regular_file(path, MAX_DECISION_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValidationError as error:
        raise InputError(f"{path}: is damaged; delete it, and give the command with {option} again") from error


def save_decision(decision: Strict, path: Path) -> None:
    """Write down what was decided, before the runs that follow from it are trained."""
    write_atomically(path, decision.model_dump_json(indent=1) + "\n")


def _draw(comparison: Comparison, folder: Path) -> None:
    from tiedlm.report.plots import (  # here because matplotlib takes long to import
        draw_learning_curves,
        draw_parameters,
    )

    draw_learning_curves(comparison, folder / CURVES_FILE)
    draw_parameters(comparison, folder / PARAMETERS_FILE)

"""A folder of records → comparison.json, REPORT.md and the plots beside them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.compare import compare, fingerprint
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.errors import InputError
from tiedlm.record import load_records
from tiedlm.report.markdown import CURVES_FILE, PARAMETERS_FILE, render_markdown

COMPARISON_FILE, REPORT_FILE, DESIGN_FILE = "comparison.json", "REPORT.md", "two-stage.json"


def update_report(folder: Path, force: bool = False, runs: Collection[tuple[str, int]] | None = None) -> Comparison:
    """Compare a folder's records, or those of some (arm, seed), and write the comparison, REPORT.md and the plots.

    The statistics and the plots, which are slow, are kept while the records and this version stay the same.

    Raises:
        InputError: the folder's records cannot be compared, or the folder cannot be written.
    """
    records, design = load_records(folder), load_design(folder)
    if runs is not None:
        records = [record for record in records if (record.arm, record.seed) in runs]
        if design is not None and not set(design.first_stage_seeds) <= {seed for _, seed in runs}:
            design = None  # some seeds of the first stage are left out on purpose
    comparison = None if force else _kept_comparison(folder, fingerprint(records, design))
    try:
        if comparison is None:
            comparison = compare(records, design)
            _draw(comparison, folder)
        write_atomically(folder / REPORT_FILE, render_markdown(comparison))
        write_atomically(folder / COMPARISON_FILE, comparison.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise InputError(
            f"{folder}: the report cannot be written ({error.strerror}); mend that, and tiedlm report {folder} "
            "writes it from the records, which are there"
        ) from error
    return comparison


def _kept_comparison(folder: Path, records_sha256: str) -> Comparison | None:
    """The comparison in the folder, if it is intact, of the records that are there, and drawn; else None."""
    if not all((folder / name).is_file() for name in (COMPARISON_FILE, CURVES_FILE, PARAMETERS_FILE)):
        return None
    try:
        kept = Comparison.model_validate_json((folder / COMPARISON_FILE).read_bytes())
    except ValidationError:  # damaged, or of another version; the records have it all
        return None
    is_current = kept.records_sha256 == records_sha256 and kept.checksum == kept.own_checksum()
    return kept if is_current else None


def load_design(folder: Path) -> TwoStage | None:
    """What `--to-within` decided in this folder, or None.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / DESIGN_FILE
    if not path.is_file():
        return None
    try:
        return TwoStage.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: is damaged; delete it, and give the command with --to-within again") from error


def save_design(design: TwoStage, folder: Path) -> None:
    """Write down what was decided, before the seeds that it asks for are trained."""
    write_atomically(folder / DESIGN_FILE, design.model_dump_json(indent=1) + "\n")


def _draw(comparison: Comparison, folder: Path) -> None:
    from tiedlm.report.plots import (  # here because matplotlib takes long to import
        draw_learning_curves,
        draw_parameters,
    )

    draw_learning_curves(comparison, folder / CURVES_FILE)
    draw_parameters(comparison, folder / PARAMETERS_FILE)

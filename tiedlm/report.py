"""A folder of records → comparison.json, REPORT.md and the plots beside them."""

from __future__ import annotations

import json
from pathlib import Path

from tiedlm.compare import Comparison, compare, fingerprint
from tiedlm.config import InputError
from tiedlm.markdown import CURVES_FILE, PARAMETERS_FILE, render_markdown
from tiedlm.record import RunRecord, load_records, write_atomically

COMPARISON_FILE, REPORT_FILE = "comparison.json", "REPORT.md"


def update_report(folder: Path, force: bool = False) -> Comparison:
    """Compare a folder's records and write the comparison, REPORT.md and the plots beside them.

    What is there already is kept if neither the records nor this code has changed.

    Raises:
        InputError: the folder's records cannot be compared.
    """
    records = load_records(folder)
    if not records:
        raise InputError(f"{folder}: holds no records (<arm>-seed<k>.json); give the folder that tiedlm compare wrote")
    current = None if force else _current_comparison(folder, records)
    return current or write_report(compare(records), folder)


def write_report(comparison: Comparison, folder: Path) -> Comparison:
    """Write REPORT.md, the two plots and, last, `comparison.json`, whose fingerprint vouches for the others."""
    from tiedlm.plots import draw_learning_curves, draw_parameters  # here because matplotlib takes long to import

    draw_learning_curves(comparison, folder / CURVES_FILE)
    draw_parameters(comparison, folder / PARAMETERS_FILE)
    write_atomically(folder / REPORT_FILE, render_markdown(comparison))
    write_atomically(folder / COMPARISON_FILE, comparison.model_dump_json(indent=1) + "\n")
    return comparison


def _current_comparison(folder: Path, records: list[RunRecord]) -> Comparison | None:
    if not all((folder / name).is_file() for name in (COMPARISON_FILE, REPORT_FILE, CURVES_FILE, PARAMETERS_FILE)):
        return None
    try:
        raw = json.loads((folder / COMPARISON_FILE).read_text(encoding="utf-8"))
    except ValueError:  # a damaged copy of what the records say; it is written anew
        return None
    if not isinstance(raw, dict) or raw.get("records_sha256") != fingerprint(records):
        return None
    return Comparison.model_validate_json(json.dumps(raw))

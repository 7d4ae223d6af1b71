"""A folder of cells, each a folder of records → scan.json, REPORT.md and the map beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan, ScanDesign, make_scan
from tiedlm.errors import InputError
from tiedlm.record.run_id import RunId
from tiedlm.report.scan_report import MAP_FILE, render_scan_markdown
from tiedlm.report.write import (
    REPORT_FILE,
    compare_folder,
    keep_plots,
    load_decision,
    told_where_not_written,
    update_report,
)

SCAN_FILE, SCAN_DESIGN_FILE = "scan.json", "scan-design.json"


def update_scan(folder: Path, force: bool = False) -> Scan:
    """Compare the records of each cell and write the report of each, then of all.

    Raises:
        InputError: no cell has two arms yet, cells cannot be put together, or the folder cannot be written.
    """
    scan = compare_cells(folder, lambda cell: update_report(cell, force))

    def draw() -> None:
        from tiedlm.report.scan_map import draw_map  # here because matplotlib takes long to import

        draw_map(scan, folder / MAP_FILE)

    with told_where_not_written(folder):
        keep_plots(folder, scan.records_sha256, (MAP_FILE,), draw, force)
        write_atomically(folder / REPORT_FILE, render_scan_markdown(scan))
        write_atomically(folder / SCAN_FILE, scan.model_dump_json(indent=1) + "\n")
    return scan


def compare_cells(folder: Path, of_cell: Callable[[Path], Comparison] = compare_folder) -> Scan:
    """Put the cells of a folder together.

    Raises:
        InputError: no cell has two arms yet, or the records of a cell, or two cells, cannot be put together.
    """
    design = load_scan_design(folder)
    if design is None:
        raise InputError(f"{folder}: has no {SCAN_DESIGN_FILE}; give the folder that tiedlm compare --scan wrote")
    arms_of = {name: _arms_with_records(folder / name) for name in cell_folders(design.values)}
    most = max(map(len, arms_of.values()))
    if most < 2:
        raise InputError(f"{folder}: no cell of the scan has records of two arms yet; give its command again")
    found = {}
    for name, arms in arms_of.items():
        if len(arms) == most:  # one with fewer is being trained
            try:
                found[name] = of_cell(folder / name)
            except InputError as error:
                raise InputError(f"cell {name}: {error}") from error
    return make_scan(design, found)


def _arms_with_records(cell: Path) -> set[str]:
    runs = [RunId.of_record_file(path.name) for path in cell.iterdir()] if cell.is_dir() else []
    return {run.arm for run in runs if run}


def load_scan_design(folder: Path) -> ScanDesign | None:
    """What was scanned in a folder, or None.

    Raises:
        InputError: the file is damaged.
    """
    return load_decision(folder / SCAN_DESIGN_FILE, ScanDesign, "--scan")

"""A folder of cells, each a folder of records → scan.json, REPORT.md and the map beside them."""

from __future__ import annotations

from pathlib import Path

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.folder import compare_cells
from tiedlm.comparison.scan_result import Scan
from tiedlm.reporting.scan_report import MAP_FILE, render_scan_markdown
from tiedlm.reporting.write import REPORT_FILE, keep_plots, told_where_not_written, update_report

SCAN_FILE = "scan.json"


def update_scan(folder: Path, force: bool = False) -> Scan:
    """Compare the records of each cell and write the report of each, then of all.

    Raises:
        InputError: no cell has two arms yet, cells cannot be put together, or the folder cannot be written.
    """
    scan = compare_cells(folder, lambda cell: update_report(cell, force))

    def draw() -> None:
        from tiedlm.reporting.scan_map import draw_map  # here because matplotlib takes long to import

        draw_map(scan, folder / MAP_FILE)

    with told_where_not_written(folder):
        keep_plots(folder, scan.records_sha256, (MAP_FILE,), draw, force)
        write_atomically(folder / REPORT_FILE, render_scan_markdown(scan))
        write_atomically(folder / SCAN_FILE, scan.model_dump_json(indent=1) + "\n")
    return scan

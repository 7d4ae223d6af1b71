"""The runs of many cells, of a scan or a tuning, as one queue."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiedlm.api.cell_experiments import Cell
from tiedlm.api.engine import share_out
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.run_queue import Prepared
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId


@dataclass(frozen=True)
class CellRuns:
    """What is wanted of one cell."""

    cell: Cell
    folder: RunFolder
    runs: list[RunId]


def prepare_cells(cells: Sequence[CellRuns], options: RunOptions) -> tuple[list[Prepared], int]:
    """Check everything that the missing runs of all cells need, and say how many go side by side.

    A cell where none is missing is left out.

    Raises:
        InputError: a text or a folder is unfit.
    """
    found = [part.folder.prepare(part.runs, cell=part.cell.folder) for part in cells]
    prepared = [part for part in found if part is not None]
    if not prepared:
        return [], 0

    shared, side_by_side = share_out([job for part in prepared for job in part.jobs], options)
    jobs = iter(shared)
    return [dataclasses.replace(part, jobs=[next(jobs) for _ in part.jobs]) for part in prepared], side_by_side


def make_cells_runs(cells: Sequence[CellRuns], out: Path, options: RunOptions) -> None:
    """Make the missing runs of all cells, which lie below `out`.

    Raises:
        InputError: a text or a folder is unfit.
        RunsFailed: some runs failed.
    """
    prepared, side_by_side = prepare_cells(cells, options)
    if not prepared:
        return

    from tiedlm.execution.plan import plan_of_cells  # here, since it imports torch

    plan = plan_of_cells([part.plan for part in prepared], out, side_by_side, len(cells))
    cells[0].folder.make(prepared, plan)

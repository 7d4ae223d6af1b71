"""What `tiedlm status` shows: a row a run, and last how many there are of each state."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiedlm.errors import printable
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.api.run_states import FolderState, RunState

STYLES = {"done": "", "running": "cyan", "failed": "bold red", "unfinished": "yellow", "missing": "yellow"}
UNPLANNED = "Which runs were asked for is not known; each arm is taken to need every seed that any run has."


def render_states(folder: FolderState) -> RenderableType:
    """A table in a terminal of 80 columns or more."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    has_cells = any(run.cell for run in folder.runs)
    if has_cells:
        table.add_column("cell", overflow="fold")
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    places = [printable(_place(run)) for run in folder.runs]
    if any(places):
        table.add_column("where it stands", overflow="fold")
    for run, place in zip(folder.runs, places, strict=True):
        words = [Text(str(RunId(run.arm, run.seed))), Text(run.state, STYLES[run.state])]
        table.add_row(*([Text(printable(run.cell))] if has_cells else []), *words, *([Text(place)] if place else []))
    numbers = Counter[str](run.state for run in folder.runs)
    counted = ", ".join(f"{numbers[state]} {state}" for state in STYLES if numbers[state])
    notes = [] if folder.is_planned else [Text(UNPLANNED, "dim")]
    return Group(table, Text(), Text(printable(f"{folder.path}: {len(folder.runs)} runs: {counted}")), *notes)


def _place(run: RunState) -> str:
    """`step 120 of 500, process 17 on host b since 2026-11-29T09:00:00+00:00`."""
    words = [] if run.step is None else [f"step {run.step:,} of {run.num_steps:,}"]
    if run.pid is not None:
        words.append(f"process {run.pid} on host {run.host} since {run.since}")
    if run.failure is not None:
        words.append(run.failure)
    return ", ".join(words)

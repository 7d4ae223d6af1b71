"""What `tiedlm ls` shows: a row a folder, and below the table what is wrong with some."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tiedlm.display.plan_lines import runs
from tiedlm.errors import printable

if TYPE_CHECKING:
    from tiedlm.api.list_folders import ListedFolder

LEAST_WIDTH_FOR_NAMES = 110
MAX_ARMS_NAMED = 2
STYLES = {"complete": "", "incomplete": "yellow", "unfinished": "yellow", "running": "cyan", "damaged": "bold red"}
LEGEND = (
    "Answers are on valid. Per cent: how far the perplexity of untied is above that of tied. Of a scan: in how many of "
    "its cells each arm is ahead. Of planned contrasts: how many came out as predicted."
)


class PathCell:
    """A path in a table, which goes on in another line after a slash where it has no room."""

    def __init__(self, path: str) -> None:
        self.parts = re.findall(r"[^/]*/|[^/]+$", path)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """From the longest part to the whole."""
        widths = [*map(cell_len, self.parts)]
        return Measurement(max(widths), sum(widths)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """As many parts in a line as have room; a longer one is broken anywhere."""
        line = ""
        for part in self.parts:
            if line and cell_len(line + part) > options.max_width:
                yield Text(line, overflow="fold")
                line = ""
            line += part
        yield Text(line, overflow="fold")


def render_folders(folders: Sequence[ListedFolder], width: int) -> RenderableType:
    """A table in a terminal of so many columns; the experiment and the names of arms where there is room."""
    is_wide = width >= LEAST_WIDTH_FOR_NAMES
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("folder", overflow="fold")
    if is_wide:
        table.add_column("experiment", overflow="fold")
    table.add_column("state", overflow="fold")
    table.add_column("arms", justify="left" if is_wide else "right", overflow="fold")
    table.add_column("seeds", justify="right", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    for folder in folders:
        is_named = is_wide and len(folder.arms) <= MAX_ARMS_NAMED
        cells: list[RenderableType] = [
            PathCell(printable(folder.path)),
            *([Text(_experiment(folder))] if is_wide else []),
            Text(_state(folder), STYLES[folder.state]),
            Text(", ".join(folder.arms) if is_named else str(len(folder.arms) or "–")),
            Text(str(len(folder.seeds) or "–")),
            Text(folder.answer or "–"),
        ]
        table.add_row(*cells)
    told = [(folder.path, folder.problem, folder.state) for folder in folders if folder.problem]
    problems = [Text(_with_folder(path, problem), STYLES[state]) for path, problem, state in told]
    return Group(table, Text(), Text(LEGEND, "dim"), *problems)


def _experiment(folder: ListedFolder) -> str:
    """`ptb-quick on ptb`, or the name once where it is the corpus's too."""
    if folder.experiment is None or folder.corpus is None:
        return "–"
    both = f"{folder.experiment} on {folder.corpus}"
    return printable(folder.experiment if folder.experiment == folder.corpus else both)


def _state(folder: ListedFolder) -> str:
    """`complete`, `3 of 4 runs`, `running, 3 of 4 runs`, `3 of 4 runs, 1 unfinished`."""
    if folder.state in ("complete", "damaged"):
        return folder.state
    progress = f"{folder.num_runs} of {runs(folder.expected_runs)}"
    if folder.expected_runs == 0:
        progress = f"{runs(folder.tuning_runs)} of the tuning" if folder.tuning_runs else "no run yet"
    if folder.state == "unfinished":
        return f"{progress}, {len(folder.unfinished_runs)} unfinished"
    return f"running, {progress}" if folder.state == "running" else progress


def _with_folder(path: str, problem: str) -> str:
    """A sentence with its folder, unless it begins with the file in question."""
    return problem if problem.startswith(printable(path)) else f"{printable(path)}: {problem}"

"""What `tiedlm explain FOLDER` shows: a command for each run that can be explained, and why others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from tiedlm.display.plan_lines import runs
from tiedlm.errors import printable
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.api.explainable_runs import ExplainableRuns

NONE = "tiedlm explain, with a sentence alone, explains it by the two small models that come with it."


def render_explainable(found: ExplainableRuns) -> RenderableType:
    """For a terminal; a command is a line however long it is, so that it can be copied."""
    commands = [run.command for run in found.runs if run.command is not None]
    heading = f"{found.path}: is a folder of {runs(len(found.runs))}; {len(commands) or 'none'} can be explained"
    lines = [Text(printable(heading)), Text()]
    lines += [Text(printable(command), no_wrap=True, overflow="ignore") for command in commands]
    for run in found.runs:
        if run.reason is not None:
            where = f"{run.cell}, " if run.cell else ""
            lines.append(Text(printable(f"{where}{RunId(run.arm, run.seed)}: {run.reason}"), "yellow"))
    return Group(*lines, *([] if commands else [Text(), Text(NONE)]))

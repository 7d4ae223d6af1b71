"""What `compare --plan` prints: commands, one a line, or a script for Slurm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from tiedlm.cli.console import stderr
from tiedlm.cli.slurm_script import SECONDS_OF_A_START, TimedLine, pack, slurm_script
from tiedlm.errors import printable

if TYPE_CHECKING:
    from tiedlm.api.planned_commands import PlannedCommands

TASK_MINUTES = 60.0


def show_commands(
    found: PlannedCommands, name: str, shared: Sequence[str], form: str, task_minutes: float | None
) -> None:
    """The commands on stdout, in the order in which `compare` would begin them, and on stderr what comes after them."""
    if not found.commands:
        _say("nothing to train: the folder holds every record that is asked for")
        return
    lines = [command.line(shared) for command in found.commands]
    typer.echo("\n".join(lines) if form == "text" else _script(found, name, lines, task_minutes or TASK_MINUTES))
    if found.rest is not None:
        _say(f"{found.rest}; once these runs are done, give the same command again")
    else:
        _say("once these runs are done, the same command without --plan compares them")


def _script(found: PlannedCommands, name: str, lines: Sequence[str], task_minutes: float) -> str:
    of_first = found.seconds_of_first()
    if of_first is None:  # as long as a task, so none is packed
        _say("the time of a run could not be measured, so each run is a task of its own")
    of_first = 60 * task_minutes if of_first is None else of_first + SECONDS_OF_A_START
    timed = [TimedLine(line, of_first * command.share) for line, command in zip(lines, found.commands, strict=True)]
    tasks = pack(timed, 60 * task_minutes)
    num_threads = max(command.num_threads for command in found.commands)
    return slurm_script(name, tasks, num_threads, any(command.device == "cuda" for command in found.commands))


def _say(sentence: str) -> None:
    stderr.print(printable(sentence), highlight=False, markup=False, soft_wrap=True)

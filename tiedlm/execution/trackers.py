"""Which trackers hear of the runs of a command, beside what shows their progress."""

from __future__ import annotations

from pathlib import Path

from tiedlm.execution.listener import Listener, Listeners
from tiedlm.execution.step_log import StepLog
from tiedlm.execution.tensorboard import TensorBoard


def with_trackers(display: Listener, log: Path | None, tensorboard: Path | None, out: Path) -> Listener:
    """The display and what `--log` and `--tensorboard` ask for; `out` is the folder of the command's records.

    Raises:
        InputError: one of them cannot write where it shall.
    """
    trackers: list[Listener] = [] if log is None else [StepLog(log)]
    trackers += [] if tensorboard is None else [TensorBoard(tensorboard, out)]
    return Listeners(display, *trackers)

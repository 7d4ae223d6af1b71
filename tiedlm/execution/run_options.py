"""How runs are made, whatever they compute: where, in which precision, how many at a time, and who hears of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan
    from tiedlm.record import RunRecord
    from tiedlm.training.progress import Progress


class Listener:
    """Hears of runs while they are made. This one logs what a user must know, and shows no progress."""

    def begin(self, plan: Plan) -> None:
        """These runs are to be made now."""

    def update(self, progress: Progress) -> None:
        """A step of one run is done."""

    def finish(self, record: RunRecord) -> None:
        """A run has ended, and its record is written."""

    def notice(self, sentence: str) -> None:
        """Something that a user must know, e.g. that a damaged checkpoint is not used."""
        logging.getLogger("tiedlm").warning(sentence)

    def end(self) -> None:
        """No run is left, or all were stopped."""


@dataclass(frozen=True)
class RunOptions:
    """What changes nothing in the result but its rounding and its cost."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is a CUDA device if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products; `auto` is bf16 where the processor has it."""
    jobs: int | None = None
    """Runs side by side; None is one a processor, or one on a GPU."""
    resume: bool = True
    """Go on from the checkpoint of an unfinished run."""
    checkpoint_seconds: float = 60.0
    """Of training, between two checkpoints of a run."""
    listener: Listener = field(default_factory=Listener)

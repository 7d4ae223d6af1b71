"""How fast runs train side by side, by the first steps of each."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING

from tiedlm.record.run_id import RunId
from tiedlm.training.progress import Progress

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan

UNTIMED_STEPS, TIMED_STEPS = 2, 16
"""The first steps of a process allocate its memory."""


class Pace:
    """How fast runs train side by side, once each that goes has made a few steps."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.num_runs = plan, min(plan.side_by_side, len(plan.to_train))
        self.tokens_per_step = plan.train_tokens / plan.num_steps
        self.seconds: dict[RunId, dict[int, float]] = {}
        """Of training, by run and by step of this process."""
        self.first_step_at = 0.0

    def update(self, progress: Progress) -> None:
        """Note how long a run has trained at a step."""
        self.first_step_at = self.first_step_at or time.monotonic()
        of_run = self.seconds.setdefault(progress.run, {})
        if len(of_run) < UNTIMED_STEPS + TIMED_STEPS:
            of_run.setdefault(progress.step, progress.step * self.tokens_per_step / progress.tokens_per_second)

    @property
    def is_known(self) -> bool:
        """Whether every run that goes has been timed."""
        wanted = min(UNTIMED_STEPS + TIMED_STEPS, self.plan.num_steps)
        timed = [of_run for of_run in self.seconds.values() if len(of_run) >= wanted]
        return len(timed) >= self.num_runs

    @property
    def tokens_per_second(self) -> float:
        """Of the slowest run, by the median of its timed steps."""
        return self.tokens_per_step / max(map(self._seconds_per_step, self.seconds.values()))

    def _seconds_per_step(self, of_run: dict[int, float]) -> float:
        times = [of_run[step] for step in sorted(of_run)]
        steps = [later - earlier for earlier, later in itertools.pairwise(times)][UNTIMED_STEPS - 1 :]
        return statistics.median(steps) if steps else times[-1] / max(of_run)

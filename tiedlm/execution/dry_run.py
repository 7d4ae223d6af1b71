"""How long a plan takes, from a few timed steps of as many runs as go side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import time

from tiedlm.atomic_file import TEMPORARY_PREFIX, temporary_folder
from tiedlm.execution.executor import Executor
from tiedlm.execution.job import Job
from tiedlm.execution.listener import Listener
from tiedlm.execution.pace import Pace
from tiedlm.execution.plan import Plan
from tiedlm.training.progress import Progress


def time_plan(plan: Plan, jobs: list[Job], executor: Executor) -> Plan:
    """The plan with its time, from a few steps of as many runs as go side by side; nothing of them is kept."""
    started, timer = time.monotonic(), _Timer(Pace(plan))
    with temporary_folder(TEMPORARY_PREFIX) as folder:
        tried = [dataclasses.replace(job, out=folder, resume=False) for job in jobs[: plan.side_by_side]]
        with contextlib.suppress(_Enough):
            executor.run(tried, timer)
    pace = timer.pace
    if not pace.is_known:  # a run failed, as it will again; then its reason is told
        return plan
    return plan.timed(pace.tokens_per_second, start_seconds=pace.first_step_at - started)


class _Enough(Exception):
    """Every run that goes has been timed."""


class _Timer(Listener):
    """Ends the runs once they are timed."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def update(self, progress: Progress) -> None:
        self.pace.update(progress)
        if self.pace.is_known:
            raise _Enough

    def notice(self, sentence: str) -> None:
        """That a timed run is stopped is no news."""

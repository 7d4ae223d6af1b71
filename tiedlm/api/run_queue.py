"""The missing runs of one folder or of many → their records, made by this command and by all others that want them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.errors import RunsFailed
from tiedlm.execution.folder_lock import PATIENCE_SECONDS, locked
from tiedlm.execution.job_queue import JobQueue
from tiedlm.execution.listener import Listener
from tiedlm.execution.run_lock import has_locks

if TYPE_CHECKING:
    from tiedlm.execution.executor import Executor
    from tiedlm.execution.job import Job
    from tiedlm.execution.plan import Plan


@dataclass(frozen=True)
class Prepared:
    """The missing runs of one folder, checked, and nothing of them written."""

    place: Path
    jobs: list[Job]
    plan: Plan
    begin: Callable[[list[Job]], list[Job]] = list
    """Writes down what is decided on before the first run, while the folder is locked; returns the jobs by that."""


def make_runs(prepared: Sequence[Prepared], plan: Plan, engine: Callable[[Plan], Executor], listener: Listener) -> None:
    """Make those runs that no other command makes, and wait for the others; one whose maker is gone is taken over.

    Raises:
        InputError: a folder is unfit, or another command trains something else there.
        RunsFailed: some runs failed here.
    """
    from tiedlm.execution.output_folder import clear_leftovers  # here, since it imports torch

    with ExitStack() as held:
        queue = _begin(prepared, held, listener)
        listener.begin(plan)
        failures: list[str] = []
        try:
            goes_on = True
            while goes_on:
                failures += engine(plan).run(queue, listener)
                queue.close()
                goes_on = queue.wait_for_others(listener.tell)
        finally:
            queue.close()
            listener.end()
            for part in prepared:
                clear_leftovers(part.place)
    if failures:
        raise RunsFailed(failures, sum(len(part.jobs) for part in prepared))


def _begin(prepared: Sequence[Prepared], held: ExitStack, listener: Listener) -> JobQueue:
    """Decide in each folder; the first run is held before the first folder is let go, so that others see whose it is.

    Where there are no locks of runs, the folders stay locked until `held` ends.
    """
    from tiedlm.execution.output_folder import make_folder

    make_folder(prepared[0].place)
    queue = JobQueue([], has_locks(prepared[0].place))
    if not queue.has_locks:
        place = prepared[0].place
        listener.notice(f"{place}: its file system has no locks, so only one command at a time may train there")
    for part in prepared:
        make_folder(part.place)
        with ExitStack() as moment:
            moment.enter_context(locked(part.place, PATIENCE_SECONDS if queue.has_locks else 0.0))
            queue.add(part.begin(part.jobs))
            if not queue.taken:
                queue.reserve()
            if not queue.has_locks:
                held.enter_context(moment.pop_all())
    return queue


def decide_alone(prepared: Sequence[Prepared]) -> list[Job]:
    """Write down what is decided on, as before the first run, and return the jobs; nothing is trained.

    Raises:
        InputError: as `make_runs`.
    """
    from tiedlm.execution.output_folder import make_folder

    jobs: list[Job] = []
    for part in prepared:
        make_folder(part.place)
        with locked(part.place, PATIENCE_SECONDS):
            jobs += part.begin(part.jobs)
    return jobs

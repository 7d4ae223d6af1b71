"""The runs that a command wants, of which it makes those that nobody else makes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from tiedlm.execution.run_lock import Holder, held_runs, save_failure, take_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiedlm.execution.job import Job
    from tiedlm.record.run_id import RunId

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_NEWS = 60.0


class JobQueue:
    """Jobs without a result. Each is handed out once, with its lock, when no other command holds its run."""

    def __init__(self, jobs: Iterable[Job], has_locks: bool) -> None:
        """Without locks, nobody else may train in the folders, and all jobs are handed out."""
        self.waiting = {job.key: job for job in jobs}
        self.taken: dict[tuple[Path, RunId], Job] = {}
        self.reserved: list[Job] = []
        self.has_locks = has_locks
        self.looked_at = float("-inf")

    def add(self, jobs: Iterable[Job]) -> None:
        """More of them, behind the others."""
        self.waiting |= {job.key: job for job in jobs}

    def __iter__(self) -> Iterator[Job]:
        """Every job that can be had now, for an engine that does not ask one by one."""
        while (job := self.take()) is not None:
            yield job

    def take(self) -> Job | None:
        """The next job that nobody else holds, held from now on; None where there is none at this moment."""
        if not self.reserved and time.monotonic() - self.looked_at >= SECONDS_BETWEEN_LOOKS:
            self.reserve()
        return self.reserved.pop() if self.reserved else None

    def reserve(self) -> None:
        """Hold the next job already, before it is asked for."""
        for key, job in list(self.waiting.items()):
            if self.has_locks:
                held = None if job.has_result else self._hold(job)
                if held is None:
                    continue
            else:
                held = job
            self.taken[key] = held
            self.reserved.append(held)
            del self.waiting[key]
            return
        self.looked_at = time.monotonic()

    def _hold(self, job: Job) -> Job | None:
        runtime = job.runtime
        holder = {
            "experiment": job.experiment,
            "config": job.arm.config.model_dump(),
            "device": runtime.device,
            "precision": runtime.precision,
        }
        lock = take_run(job.out, job.run, holder)
        if lock is None:
            return None
        if job.has_result:  # another command has made it, between the look and the lock
            lock.release()
            return None
        return dataclasses.replace(job, lock=lock)

    def release(self, job: Job, failure: str | None = None) -> None:
        """Let a job's run go, whose process has ended; a failure is written down for whoever asks."""
        held = self.taken.pop(job.key, None)
        if held is None or held.lock is None:
            return
        if failure is not None:
            save_failure(held.out, held.run, failure)
        held.lock.release()
        self.looked_at = float("-inf")

    def close(self) -> None:
        """Let every run go."""
        for job in list(self.taken.values()):
            self.release(job)
        self.reserved.clear()

    def drop_finished(self) -> list[Job]:
        """Those that others have made since the last look, which nobody need wait for any more."""
        finished = [job for job in self.waiting.values() if job.has_result]
        for job in finished:
            del self.waiting[job.key]
        return finished

    def wait_for_others(self, tell: Callable[[str], None]) -> bool:
        """Wait until a run that another command held can be taken, or all have results; return whether one can.

        Who holds what is told once a minute.
        """
        told_at, told = float("-inf"), ""
        while True:
            for job in self.drop_finished():
                tell(f"{job}: was made by another command")
            self.reserve()
            if self.reserved or not self.waiting:
                return bool(self.reserved)
            if time.monotonic() - told_at >= SECONDS_BETWEEN_NEWS:
                sentence = f"waiting for {held_in_words(self.waiting.values())}"
                if sentence != told:
                    tell(sentence)
                told_at, told = time.monotonic(), sentence
            time.sleep(SECONDS_BETWEEN_LOOKS)


def held_in_words(jobs: Iterable[Job]) -> str:
    """`tied seed 0 and 2 more, of process 17 on host b`, for every holder."""
    holders: dict[Path, dict[RunId, Holder | None]] = {}
    runs_of: dict[str, list[str]] = {}
    for job in jobs:
        if job.out not in holders:
            holders[job.out] = held_runs(job.out)
        runs_of.setdefault(str(holders[job.out].get(job.run) or "another command"), []).append(str(job))
    return "; ".join(
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}, which {who} trains"
        for who, names in runs_of.items()
    )


def as_queue(jobs: Iterable[Job]) -> JobQueue:
    """Jobs as a queue; those that are none are nobody else's."""
    return jobs if isinstance(jobs, JobQueue) else JobQueue(jobs, has_locks=False)

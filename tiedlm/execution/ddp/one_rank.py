"""What one of the processes that `torchrun` has started does: its part of a run, in this very process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from tiedlm.errors import Stopped
from tiedlm.execution.job import Job
from tiedlm.execution.job_queue import as_queue
from tiedlm.execution.listener import Listener
from tiedlm.model.masked_lm import TieError
from tiedlm.processes.held_signals import STOP_SIGNALS
from tiedlm.processes.ranks import Ranks
from tiedlm.training.device import Runtime
from tiedlm.training.loop import RunFailed
from tiedlm.training.resume import CheckpointPolicy, Interrupted
from tiedlm.training.run import train_run

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class OneRank:
    """Makes runs one after the other, together with the other ranks: an `Executor`.

    All ranks are given the same jobs. The first one writes and tells; the others only compute.
    """

    ranks: Ranks

    def run(self, jobs: Iterable[Job], listener: Listener) -> list[str]:
        """Make the runs; return one sentence for each that failed. A signal stops after the step under way.

        Raises:
            Stopped: a signal came; the checkpoint is written.
        """
        failures = []
        queue = as_queue(jobs)
        while (job := queue.take()) is not None:
            failure = self._failure_of(job, listener)
            queue.release(job, failure)
            failures += [] if failure is None else [failure]
        return failures

    def _failure_of(self, job: Job, listener: Listener) -> str | None:
        if job.runtime.device == "cuda":
            torch.cuda.set_device(self.ranks.number_here % torch.cuda.device_count())
        with _stop_signals() as stop, _process_group(job.runtime):
            torch.set_num_threads(self.ranks.num_threads)
            try:
                self._make(job, listener, stop)
            except Interrupted as error:
                listener.notice(f"{job} is saved; the same command goes on from there")
                raise Stopped(stop.number) from error
            except (RunFailed, TieError) as error:
                return f"{job}: {error}"
            except RuntimeError as error:
                if not _tells_of_a_lost_rank(error):
                    raise
                return f"{job}: another rank has ended, so the run stops at its last checkpoint"
        return None

    def _make(self, job: Job, listener: Listener, stop: _Stop) -> None:
        policy = CheckpointPolicy(job.resume, job.checkpoint_seconds, stop.is_set, listener.notice, self.ranks)
        listener.turn_to(job.cell)
        made_of = (job.experiment, job.run, job.arm, job.corpus, job.runtime, job.out, job.command)
        record = train_run(
            *made_of,
            listener.update,
            policy,
            lambda point: listener.evaluated(job.run, point),
            job.design_sha256,
            job.micro_batch,
        )
        listener.finish(record)


def _tells_of_a_lost_rank(error: RuntimeError) -> bool:
    """Gloo says by an error without a type of its own that a peer has closed its connection."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


class _Stop(threading.Event):
    """That a signal came, and which."""

    number = signal.SIGTERM


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()

    def note(number: int, _frame: object) -> None:
        stop.number = signal.Signals(number)
        stop.set()

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _process_group(runtime: Runtime) -> Iterator[None]:
    distributed.init_process_group(BACKENDS[runtime.device])
    try:
        yield
    finally:
        distributed.destroy_process_group()

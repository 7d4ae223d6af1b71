"""Runs side by side: one process a run, so that one run's failure or memory is not another's."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from tiedlm.errors import memory_limit_bytes
from tiedlm.execution.job import Job
from tiedlm.execution.job_queue import SECONDS_BETWEEN_LOOKS, JobQueue, as_queue
from tiedlm.execution.listener import Listener
from tiedlm.execution.local.worker import work
from tiedlm.execution.news import News
from tiedlm.processes.held_signals import HeldSignals, held_signals
from tiedlm.processes.start_method import CONTEXT, main_module_left_out, nothing_of_the_current_folder


@dataclass(frozen=True)
class LocalProcesses:
    """Makes runs on this machine, a process each, some side by side: an `Executor`."""

    num_side_by_side: int

    def run(self, jobs: Iterable[Job], listener: Listener) -> list[str]:
        """Make all runs that nobody else makes; return one sentence for each that failed.

        A failed run does not stop the others. An interrupt stops them all after the step under way; finished runs have
        their records, the others their checkpoints. A second interrupt kills them.
        """
        queue = as_queue(jobs)
        with held_signals() as signals:  # while a process is started or a message read, of which half would be lost
            workers = _Workers(News(listener, queue), signals)
            self._make(queue, workers)
        return list(workers.news.failures.values())

    def _make(self, queue: JobQueue, workers: _Workers) -> None:
        try:
            while True:
                while len(workers.running) < self.num_side_by_side and (job := queue.take()) is not None:
                    workers.start(job)
                if not workers.running:
                    break
                has_room = queue.waiting and len(workers.running) < self.num_side_by_side
                workers.listen(SECONDS_BETWEEN_LOOKS if has_room else None)
        except BaseException:
            workers.stop()
            raise


class _Workers:
    """The processes that run."""

    def __init__(self, news: News, signals: HeldSignals) -> None:
        self.news, self.signals = news, signals
        self.running: dict[Connection, tuple[Job, BaseProcess]] = {}

    def start(self, job: Job) -> None:
        if job.runtime.device == "cuda":
            job = dataclasses.replace(job, gpu=freest_gpu([other.gpu for other, _ in self.running.values()]))
        receiver, sender = CONTEXT.Pipe(duplex=False)
        process: BaseProcess = CONTEXT.Process(target=work, args=(job, sender), name=str(job), daemon=True)
        with main_module_left_out(), nothing_of_the_current_folder():
            try:
                process.start()
            except (EOFError, ConnectionError) as error:
                raise MemoryError("the server of the worker processes has ended") from error
        sender.close()  # the worker holds the other end; its death is then an end of file here
        self.running[receiver] = (job, process)

    def listen(self, timeout_seconds: float | None = None) -> None:
        """Wait for news, no longer than this, and take one from each process that has some."""
        with self.signals.let_through():
            ready = wait(list(self.running), timeout_seconds)
        for receiver in [receiver for receiver in self.running if receiver in ready]:
            job, process = self.running[receiver]
            try:
                message = receiver.recv()
            except EOFError:
                del self.running[receiver]
                process.join()
                self.news.end(job, _death(process.exitcode or 0, self.news.place(job)))
                continue
            self.news.hear(job, message)

    def stop(self) -> None:
        """Let every process finish its step and save; listen on, since a full pipe would hold it up."""
        if not self.running:
            return
        self.news.is_stopping = True
        self.news.listener.notice("stopping after the step under way; again to stop at once")
        processes = [process for _, process in self.running.values()]
        try:
            for process in processes:
                process.terminate()
            while self.running:
                self.listen()
        finally:  # a second interrupt
            for process in processes:
                process.kill()


def freest_gpu(taken: Sequence[int]) -> int:
    """The GPU of this machine that computes the fewest runs; `taken` has one number a run."""
    return min(range(torch.cuda.device_count()), key=taken.count)


def _death(exit_code: int, place: str) -> str:
    """In words; a negative code is a signal's number, and without one a signal was heeded that nobody here sent."""
    if exit_code == 0:
        return f"was stopped{place}; the same command goes on with it"
    if exit_code > 0:
        cause = "" if memory_limit_bytes() is None else "; memory may have run out, so raise its limit (ulimit -v)"
        return f"its process ended with status {exit_code}{place}{cause}"
    name = signal.Signals(-exit_code).name
    cause = "; the kernel does so when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{place}{cause}"

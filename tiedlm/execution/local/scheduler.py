"""Runs side by side: one process a run, so that one run's failure or memory is not another's."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tiedlm.errors import memory_limit_bytes
from tiedlm.execution.job import Job
from tiedlm.execution.job_queue import SECONDS_BETWEEN_LOOKS, JobQueue, as_queue
from tiedlm.execution.listener import Listener
from tiedlm.execution.local.worker import Failure, Notice, work
from tiedlm.processes.start_method import CONTEXT, main_module_left_out, nothing_of_the_current_folder
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.training.progress import Progress


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
        workers = _Workers(listener, queue)
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
        return list(workers.failures.values())


class _Workers:
    """The processes that run, and what they have told."""

    def __init__(self, listener: Listener, queue: JobQueue) -> None:
        self.listener, self.queue = listener, queue
        self.running: dict[Connection, tuple[Job, BaseProcess]] = {}
        self.failures: dict[tuple[Path, RunId], str] = {}
        self.last_progress: dict[tuple[Path, RunId], Progress] = {}
        self.is_stopping = False

    def start(self, job: Job) -> None:
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
        ready = wait(list(self.running), timeout_seconds)
        for receiver in [receiver for receiver in self.running if receiver in ready]:
            job, process = self.running[receiver]
            try:
                message = receiver.recv()
            except EOFError:
                del self.running[receiver]
                self._end(job, process)
                continue
            self.listener.turn_to(job.cell)
            match message:
                case Progress():
                    self.last_progress[job.key] = message
                    self.listener.update(message)
                case CurvePoint():
                    self.listener.evaluated(job.run, message)
                case Notice(sentence):
                    self.listener.notice(f"{job}: {sentence}")
                case Failure(sentence):
                    self.failures[job.key] = f"{job}: {sentence}"

    def stop(self) -> None:
        """Let every process finish its step and save; listen on, since a full pipe would hold it up."""
        if not self.running:
            return
        self.is_stopping = True
        self.listener.notice("stopping after the step under way; again to stop at once")
        processes = [process for _, process in self.running.values()]
        try:
            for process in processes:
                process.terminate()
            while self.running:
                self.listen()
        finally:  # a second interrupt
            for process in processes:
                process.kill()

    def _end(self, job: Job, process: BaseProcess) -> None:
        process.join()
        last = self.last_progress.get(job.key)
        if not job.has_result and not self.is_stopping and job.key not in self.failures:
            place = f" at step {last.step:,}" if last else ""
            cause = f"was stopped{place}; the same command goes on with it"
            self.failures[job.key] = f"{job}: {_death(process.exitcode, place) if process.exitcode else cause}"
        failure = self.failures.get(job.key)
        self.queue.release(job, None if job.has_result else failure)
        record = job.out / job.run.record_file
        if record.exists():
            self.listener.turn_to(job.cell)
            self.listener.finish(load_record(record))
        elif self.is_stopping and not job.has_result:
            if failure is not None:
                self.listener.notice(failure)
            place = f"stands at step {last.step:,} of {last.num_steps:,}" if last else "has done no step"
            self.listener.notice(f"{job} {place}; the same command goes on from there")


def _death(exit_code: int, place: str) -> str:
    """In words; a negative code is a signal's number."""
    if exit_code >= 0:
        cause = "" if memory_limit_bytes() is None else "; memory may have run out, so raise its limit (ulimit -v)"
        return f"its process ended with status {exit_code}{place}{cause}"
    name = signal.Signals(-exit_code).name
    cause = "; the kernel does so when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{place}{cause}"

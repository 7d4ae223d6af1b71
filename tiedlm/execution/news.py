"""What runs tell while they are made → who listens, and the queue that they came from."""

from __future__ import annotations

from pathlib import Path

from tiedlm.execution.job import Job
from tiedlm.execution.job_queue import JobQueue
from tiedlm.execution.listener import Listener
from tiedlm.execution.one_run import Failure, Message, Notice
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.training.progress import Progress


class News:
    """Passes on what is told, and keeps why runs failed and how far each has come."""

    def __init__(self, listener: Listener, queue: JobQueue) -> None:
        self.listener, self.queue = listener, queue
        self.failures: dict[tuple[Path, RunId], str] = {}
        self.last_progress: dict[tuple[Path, RunId], Progress] = {}
        self.is_stopping = False

    def hear(self, job: Job, message: Message) -> None:
        """One message of a run."""
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

    def place(self, job: Job) -> str:
        """How far a run has come: ` at step 1,200`, or nothing before its first."""
        last = self.last_progress.get(job.key)
        return f" at step {last.step:,}" if last else ""

    def end(self, job: Job, cause: str) -> None:
        """A run's process has ended; `cause` is why, should it have left neither a record nor a reason."""
        if not job.has_result and not self.is_stopping and job.key not in self.failures:
            self.failures[job.key] = f"{job}: {cause}"
        failure = self.failures.get(job.key)
        self.queue.release(job, None if job.has_result else failure)
        record = job.out / job.run.record_file
        if record.exists():
            self.listener.turn_to(job.cell)
            self.listener.finish(load_record(record))
        elif self.is_stopping and not job.has_result:
            if failure is not None:
                self.listener.notice(failure)
            last = self.last_progress.get(job.key)
            stands = f"stands at step {last.step:,} of {last.num_steps:,}" if last else "has done no step"
            self.listener.notice(f"{job} {stands}; the same command goes on from there")

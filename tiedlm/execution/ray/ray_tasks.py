"""Runs on a Ray cluster: a task a run, made again elsewhere where its node is lost."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.errors import RunsFailed
from tiedlm.execution.job import Job
from tiedlm.execution.job_queue import JobQueue, as_queue
from tiedlm.execution.listener import Listener
from tiedlm.execution.news import News
from tiedlm.execution.ray.cluster import room
from tiedlm.execution.ray.node_task import Mailbox, make_on_node
from tiedlm.processes.held_signals import HeldSignals, held_signals
from tiedlm.training.provenance import present_code

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_COUNTS = 2.0
MAX_LOSSES = 5
"""How often the process or the node of one run may be lost before the run has failed."""


@dataclass(frozen=True)
class RayTasks:
    """Makes runs on the cluster that this process is connected to: an `Executor`."""

    num_side_by_side: int | None
    """The most; None: as many as the cluster has room for."""

    def run(self, jobs: Iterable[Job], listener: Listener) -> list[str]:
        """Make all runs that nobody else makes; return one sentence for each that failed.

        A run whose process or node is lost goes on from its checkpoint elsewhere. An interrupt stops all runs after
        the step under way, which are saved; a second one kills them.

        Raises:
            RunsFailed: the cluster itself is gone.
        """
        queue = as_queue(jobs)
        with held_signals() as signals:
            tasks = _Tasks(News(listener, queue), self.num_side_by_side, signals)
            self._make(queue, tasks)
        return list(tasks.news.failures.values())

    def _make(self, queue: JobQueue, tasks: _Tasks) -> None:
        try:
            while True:
                while tasks.has_room() and (job := queue.take()) is not None:
                    tasks.start(job)
                if not tasks.running:
                    break
                tasks.listen()
        except RayError as error:  # not of a task, but of the mailbox, which lives as long as the cluster
            gone = (
                f"the Ray cluster is gone ({type(error).__name__}); the same command goes on from the last checkpoints"
            )
            raise RunsFailed([f"{task.job}: {gone}" for task in tasks.running.values()], len(tasks.running)) from error
        except BaseException:
            tasks.stop()
            raise


@dataclass
class _Task:
    """A run under way."""

    job: Job
    number: int
    """Of the task: one that is made again has another."""
    num_losses: int = 0


@dataclass
class _Tasks:
    """The tasks that are submitted, and what they have told."""

    news: News
    num_side_by_side: int | None
    signals: HeldSignals
    running: dict[Any, _Task] = field(default_factory=dict)
    """By the reference that Ray gives of a task's end."""

    def __post_init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.code = present_code()
        self.corpora: dict[int, tuple[TokenizedCorpus, Any]] = {}
        self.num_tasks = 0
        self.counted_at, self.room = float("-inf"), 0

    def has_room(self) -> bool:
        """Whether one more run can be made now; nodes come and go."""
        if self.num_side_by_side is not None:
            return len(self.running) < self.num_side_by_side
        if not self.running:
            return True
        if time.monotonic() - self.counted_at >= SECONDS_BETWEEN_COUNTS:
            self.room = room(next(iter(self.running.values())).job.resources)
            self.counted_at = time.monotonic()
        return len(self.running) < self.room

    def start(self, job: Job, num_losses: int = 0) -> None:
        """Submit a run."""
        self.num_tasks += 1
        parts = {part.name: getattr(job, part.name) for part in dataclasses.fields(job)}
        del parts["corpus"]
        parts |= {"lock": None, "out": job.out.absolute()}  # this process holds it; a task is made in another folder
        corpus = self._sent(job.corpus)
        resources = job.resources
        a_process_each = ray.remote(max_calls=1)(make_on_node)  # so that one run's memory is not another's
        remote = a_process_each.options(
            name=str(job),
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            memory=resources.memory_bytes,
            max_retries=0,  # Ray would begin again as at first, not from the checkpoint
        )
        reference = remote.remote(parts, corpus, self.mailbox, self.num_tasks, self.code)
        self.running[reference] = _Task(job, self.num_tasks, num_losses)

    def _sent(self, corpus: TokenizedCorpus) -> Any:
        """The corpus in Ray's store, where it lies once."""
        if id(corpus) not in self.corpora:
            self.corpora[id(corpus)] = (corpus, ray.put(corpus))
        return self.corpora[id(corpus)][1]

    def listen(self) -> None:
        """Wait a moment for the end of a task, and hear what all have told."""
        ended, _ = ray.wait(list(self.running), num_returns=len(self.running), timeout=SECONDS_BETWEEN_LOOKS)
        by_number = {task.number: task.job for task in self.running.values()}
        for number, message in ray.get(self.mailbox.take.remote()):
            if number in by_number:
                self.news.hear(by_number[number], message)
        for reference in ended:
            self._end(reference, self.running.pop(reference))
        self.signals.deliver()

    def _end(self, reference: Any, task: _Task) -> None:
        job, cause = task.job, "was stopped; the same command goes on with it"
        try:
            ray.get(reference)
        except RayTaskError as error:
            cause = f"its task ended by an error{self.news.place(job)}: {str(error).strip().splitlines()[-1]}"
        except RayError as error:
            self.mailbox.lose.remote(task.number)
            lost = (
                "memory ran out on its node" if isinstance(error, OutOfMemoryError) else "its process or node was lost"
            )
            cause = f"{lost}{self.news.place(job)}"
            is_made_again = not (job.has_result or self.news.is_stopping or job.key in self.news.failures)
            if is_made_again and task.num_losses < MAX_LOSSES:
                self.news.listener.notice(f"{job}: {cause}; it goes on elsewhere from its last checkpoint")
                has_begun = job.key in self.news.last_progress  # else its checkpoint, if any, is an older run's
                self.start(dataclasses.replace(job, resume=job.resume or has_begun), task.num_losses + 1)
                return
            cause += f", for the {task.num_losses + 1}th time" if task.num_losses else ""
        self.news.end(job, cause)

    def stop(self) -> None:
        """Let every task finish its step and save, and listen until all have ended."""
        if not self.running:
            return
        self.news.is_stopping = True
        self.news.listener.notice("stopping after the step under way; again to stop at once")
        try:
            ray.get(self.mailbox.stop.remote())
            for reference, task in self.running.items():
                if task.job.key not in self.news.last_progress:  # it may still wait for room, or for a node
                    ray.cancel(reference)
            while self.running:
                self.listen()
        finally:  # a second interrupt
            for reference in self.running:
                ray.cancel(reference, force=True)

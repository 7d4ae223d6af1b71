"""What a node of the cluster does: one run, told to the command through a mailbox. Ray gives it a process of its own.

Nothing lies in Ray that the folder does not have: the mailbox holds news that the command has not yet heard.
"""

from __future__ import annotations

import os
import platform
import time
from typing import Any, Literal

import ray
from ray.exceptions import RayError

from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.execution.job import Job
from tiedlm.execution.one_run import Failure, Message, make_run
from tiedlm.record.origin import Code
from tiedlm.record.run_id import LOCKS_FOLDER
from tiedlm.training.progress import Progress
from tiedlm.training.provenance import present_code

SECONDS_BETWEEN_LETTERS = 0.2
Answer = Literal["go on", "stop", "nobody waits"]


class Mailbox:
    """Where tasks leave their news and read whether to go on: an actor, on the machine of the command."""

    def __init__(self) -> None:
        self.letters: list[tuple[int, Message]] = []
        self.answer: Answer = "go on"
        self.lost: set[int] = set()

    def tell(self, task: int, messages: list[Message]) -> Answer:
        """Leave news of a task."""
        if task in self.lost:
            return "nobody waits"
        self.letters += [(task, message) for message in messages]
        return self.answer

    def take(self) -> list[tuple[int, Message]]:
        """The news since the last time."""
        taken, self.letters = self.letters, []
        return taken

    def stop(self) -> None:
        """From now on every task is told to save and end."""
        self.answer = "stop"

    def lose(self, task: int) -> None:
        """Another task makes its run now; should its process still be alive, it shall write nothing more."""
        self.lost.add(task)


class _Correspondence:
    """One task's way to the mailbox: its news leave together, a few times a second."""

    def __init__(self, mailbox: Any, task: int) -> None:
        self.mailbox, self.task = mailbox, task
        self.messages: list[Message] = []
        self.sent_at = float("-inf")
        self.shall_stop = False

    def tell(self, message: Message) -> None:
        self.messages.append(message)
        if time.monotonic() - self.sent_at >= SECONDS_BETWEEN_LETTERS:
            self.send()
        if self.shall_stop and isinstance(message, Progress) and message.phase != "training":
            raise SystemExit  # all that was learned is in the checkpoint

    def send(self) -> None:
        try:
            answer: Answer = ray.get(self.mailbox.tell.remote(self.task, self.messages))
        except RayError:  # the command has ended
            answer = "nobody waits"
        if answer == "nobody waits":
            os._exit(1)
        self.messages, self.sent_at = [], time.monotonic()
        self.shall_stop = answer == "stop"


def make_on_node(parts: dict[str, Any], corpus: TokenizedCorpus, mailbox: Any, task: int, code: Code) -> None:
    """The body of a task. `parts` are a job's fields, but for the corpus, which Ray keeps once on each node."""
    import torch

    job = Job(corpus=corpus, **parts)
    torch.set_num_threads(job.num_threads)
    correspondence = _Correspondence(mailbox, task)
    unfit = _unfit(job, code)
    if unfit is not None:
        correspondence.tell(Failure(f"{platform.node()}: {unfit}"))
    else:
        correspondence.send()
        if not correspondence.shall_stop:
            make_run(job, correspondence.tell, lambda: correspondence.shall_stop)
    correspondence.send()


def _unfit(job: Job, code: Code) -> str | None:
    """Why this machine cannot make a run of that command."""
    here = present_code()
    for name in ("tiedlm_version", "git_commit", "torch"):
        mine, theirs = getattr(here, name), getattr(code, name)
        if mine != theirs:
            return f"has {name} {mine}, and the machine of the command has {theirs}; install the same on both"
    if not (job.out / LOCKS_FOLDER / job.run.lock_file).exists():
        return f"does not see {job.out} as the machine of the command does; give an --out on storage that all share"
    return None

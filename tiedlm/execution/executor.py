"""The interface of an engine that makes runs, on this machine (`local/`) or on others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tiedlm.execution.job import Job
from tiedlm.execution.listener import Listener


class Executor(Protocol):
    """Makes runs. `local/` has the one of this machine; another engine is another class with this method."""

    def run(self, jobs: Iterable[Job], listener: Listener) -> list[str]:
        """Make the runs, tell the listener what happens, and return one sentence for each run that failed.

        The jobs of a `JobQueue` can be taken one by one, as there is room, and are released as they end; what is not is
        released afterwards. It hands out none that another command makes.

        Each finished run has its record and its model in the job's folder, each interrupted one its checkpoint. A run
        that fails does not stop the others. What the listener raises stops them all, which are saved.
        """

"""Which engine makes the runs: processes of this machine, the ranks of torchrun, or a Ray cluster; and where they fit.

Each is imported only where it is asked for.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tiedlm.processes.ranks import ranks_of_environment
from tiedlm.processes.start_method import start_server

if TYPE_CHECKING:
    from tiedlm.config.resources import Resources
    from tiedlm.execution.executor import Executor
    from tiedlm.execution.job import Job
    from tiedlm.execution.run_options import RunOptions
    from tiedlm.training.device import Runtime


def start_engine(options: RunOptions) -> None:
    """Let what will be needed begin to start.

    Raises:
        InputError: it cannot be.
    """
    if options.executor == "ray":
        from tiedlm.execution.ray.cluster import connect

        connect(options.address)
    elif ranks_of_environment().number == 1:
        start_server()


def find_runtime(device: str, precision: str, options: RunOptions, resources: Resources) -> Runtime:
    """What a device and a precision, which may be `auto`, are on the machine that the runs will be made on.

    Raises:
        InputError: it lacks what is asked for.
    """
    if options.executor == "ray":
        from tiedlm.execution.ray.cluster import resolve_on_node

        return resolve_on_node(device, precision, resources)
    from tiedlm.training.device import resolve_runtime

    return resolve_runtime(device, precision)


def share_out(jobs: list[Job], options: RunOptions) -> tuple[list[Job], int]:
    """The jobs with the threads that each has, and how many are made side by side.

    Raises:
        InputError: they do not fit.
    """
    if options.executor == "ray":
        from tiedlm.execution.ray.cluster import check_room

        num_side_by_side = options.jobs or check_room(jobs[0].resources)
        shared = [dataclasses.replace(job, num_threads=job.resources.cpus) for job in jobs]
        return shared, min(num_side_by_side, len(jobs))
    from tiedlm.execution.preflight import share_machine

    return share_machine(jobs, options)


def make_executor(num_side_by_side: int, options: RunOptions) -> Executor:
    """What makes them."""
    if options.executor == "ray":
        from tiedlm.execution.ray.ray_tasks import RayTasks

        return RayTasks(options.jobs)  # a cluster may grow while they are made
    ranks = ranks_of_environment()
    if ranks.number > 1:
        from tiedlm.execution.ddp.one_rank import OneRank

        return OneRank(ranks)
    from tiedlm.execution.local.scheduler import LocalProcesses

    return LocalProcesses(num_side_by_side)

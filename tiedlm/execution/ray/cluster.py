"""A Ray cluster: the connection to it, and how many runs it has room for."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
from collections.abc import Iterator

from tiedlm.config.resources import Resources
from tiedlm.errors import InputError
from tiedlm.processes.available_cpus import available_cpus
from tiedlm.processes.held_signals import held_signals
from tiedlm.processes.start_method import SIGNALS_OF_THE_PARENT, memory_kept_by_children
from tiedlm.training.device import Runtime, resolve_runtime

try:
    import ray
except ImportError as error:
    raise InputError("--executor ray: Ray is not installed; pip install 'tiedlm[ray]'") from error

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Ray tells its makers of every cluster unless it is told not to, and warns of what its next version changes."""


def connect(address: str | None) -> None:
    """Connect to the cluster of an address, or start one on this machine that ends with this process.

    Raises:
        InputError: nobody answers there, or the address is one of a Ray client.
    """
    if ray.is_initialized():
        return
    if address is not None and "://" in address:
        raise InputError(
            f"--address {address}: is of a Ray client, which shares no folder with the cluster; give the command on a "
            "machine of the cluster, with --address auto"
        )
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    local = {"num_cpus": available_cpus(), "include_dashboard": False} if address is None else {}
    with held_signals(), memory_kept_by_children(), _signals_of_the_command():
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split()).partition(". ")[0]
            raise InputError(
                f"--address {address}: no Ray cluster answers ({reason}); start one by ray start --head, or leave out "
                "--address for one on this machine"
            ) from error


@contextlib.contextmanager
def _signals_of_the_command() -> Iterator[None]:
    """What a signal means is the command's to say: Ray's processes take none, and its own handler does not stay.

    A terminal, `timeout` and a queue tell the whole group of processes, and the cluster must live until all is saved.
    """
    before = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, *SIGNALS_OF_THE_PARENT])
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def room(resources: Resources) -> int:
    """How many runs the nodes that are there now can make at a time, were nothing else there."""
    wanted = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory_bytes}
    wanted = {name: amount for name, amount in wanted.items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(min(int(node.get(name, 0.0) / amount) for name, amount in wanted.items()) for node in nodes)


def check_room(resources: Resources) -> int:
    """How many runs go side by side.

    Raises:
        InputError: no node can make one.
    """
    num_runs = room(resources)
    if num_runs == 0:
        raise InputError(f"[resources]: no node of the Ray cluster has {resources}; lower them, or add a node")
    return num_runs


@functools.cache
def resolve_on_node(device: str, precision: str, resources: Resources) -> Runtime:
    """Turn `auto` into what a node has; a device that is not `auto` is asked for by `[resources]`.

    Raises:
        InputError: no node has what is asked for.
    """
    if device == "auto":
        device = "cuda" if resources.gpus else "cpu"
    if device == "cuda" and not resources.gpus:
        raise InputError("--device cuda: a run has no GPU of the cluster; set resources.gpus, e.g. to 1 or to 0.5")
    check_room(resources)
    task = ray.remote(resolve_runtime).options(num_cpus=resources.cpus, num_gpus=resources.gpus)
    try:
        with held_signals():
            runtime: Runtime = ray.get(task.remote(device, precision))
    except ray.exceptions.RayTaskError as error:
        raise InputError(f"--device {device}: a node of the Ray cluster cannot use it ({error.cause})") from error
    return runtime

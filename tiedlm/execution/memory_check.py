"""Whether the memory of this machine holds the runs that shall go side by side: refused before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tiedlm.errors import InputError
from tiedlm.execution.job import Job
from tiedlm.processes.ranks import Ranks
from tiedlm.training.cost import expected_cost
from tiedlm.training.device import available_memory_bytes


def check_memory(jobs: Sequence[Job], num_side_by_side: int, ranks: Ranks) -> None:
    """Refuse what no machine of this size can do, rather than let the kernel kill whatever it chooses.

    Each process of a run has the whole model, with its gradients and optimizer states, and its own blocks' activations.

    Raises:
        InputError: saying what does not fit, and what would.
    """
    is_on_gpu = jobs[0].runtime.device == "cuda"
    memory = _smallest_gpu_bytes() if is_on_gpu else available_memory_bytes()
    if memory is None:
        return
    num_devices = torch.cuda.device_count() if is_on_gpu else 1
    of_a_device = -(-num_side_by_side * ranks.on_this_machine // num_devices)
    kinds = {(job.out, job.run.arm): job for job in jobs}
    needs = {kind: _need(job, ranks) for kind, job in kinds.items()}
    needed = [needs[job.out, job.run.arm] for job in jobs for _ in range(ranks.on_this_machine)]
    largest = sorted(needed, key=sum, reverse=True)[:of_a_device]
    total = sum(map(sum, largest))
    if total <= memory:
        return
    states, activations = largest[0]
    parameters = max(expected_cost(job.arm.config, job.corpus).parameters for job in kinds.values())
    processes = f"{of_a_device} ranks" if ranks.number > 1 else f"{of_a_device} runs side by side"
    each = "rank" if ranks.number > 1 else "run"
    remedies = [
        *(["--jobs"] if of_a_device > 1 and ranks.number == 1 else []),
        *(["--micro-batch"] if activations > _need(jobs[0], ranks, blocks=1)[1] else []),
        *(["the number of ranks"] if of_a_device > 1 and ranks.number > 1 else []),
        "train.batch_size",
    ]
    if states > memory:
        remedy = (
            "each process has all of them, for tiedlm does not split a model over devices; lower the model's sizes or "
            "the vocabulary's, or take a device with more memory"
        )
    else:
        remedy = f"lower {', '.join(remedies)} or the model's sizes"
    raise InputError(
        f"{processes} with up to {parameters:,} parameters need over {total / 1e9:,.1f} GB, of which "
        f"{states / 1e9:,.1f} GB a {each} are weights, gradients and optimizer states and {activations / 1e9:,.1f} GB "
        f"activations, and {memory / 1e9:,.1f} GB may be used {'on a GPU' if is_on_gpu else 'here'}; {remedy}"
    )


def _need(job: Job, ranks: Ranks, blocks: int | None = None) -> tuple[int, int]:
    """Bytes of one process: of its states, and of activations, of what goes through the model at a time."""
    cost = expected_cost(job.arm.config, job.corpus)
    of_a_batch = job.arm.config.train.batch_size
    at_a_time = min(-(-of_a_batch // ranks.number), blocks or job.micro_batch or of_a_batch)
    return cost.state_bytes, cost.activation_bytes * at_a_time // of_a_batch


def _smallest_gpu_bytes() -> int:
    return min(torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count()))

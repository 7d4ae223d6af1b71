"""How runs are made, whatever they compute: where, in which precision, how many at a time, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches

from tiedlm.errors import InputError
from tiedlm.execution.listener import Listener

KNOWN = {
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "fp32", "bf16"),
    "executor": ("local", "ray"),
}
MAX_THREADS = 1_024
ALSO_CALLED = {"gpu": "cuda", "float32": "fp32", "32": "fp32", "bfloat16": "bf16", "16": "bf16", "fp16": "bf16"}
"""What else people write, and what it is called here."""


@dataclass(frozen=True)
class RunOptions:
    """What changes nothing in the result but its rounding and its cost."""

    device: str = "auto"
    """`auto`, `cpu` or `cuda`; `auto` is a CUDA device if there is one."""
    precision: str = "auto"
    """Precision of matrix products: `auto`, `fp32` or `bf16`. `auto` is that of the folder's records; without any it is
    bf16 where the processor has it."""
    jobs: int | None = None
    """Runs side by side; None is one a processor, or one on a GPU."""
    resume: bool = True
    """Go on from the checkpoint of an unfinished run."""
    checkpoint_seconds: float = 60.0
    """Seconds of training between two checkpoints of a run."""
    listener: Listener = field(default_factory=Listener)
    """Who hears of the runs while they are made."""
    micro_batch: int | None = None
    """Blocks of a batch that go through the model at a time, so that a large batch needs less memory; None: all."""
    num_threads: int | None = None
    """Threads of each run; None is its share of the processors. On a CPU, sums are equal bit for bit only if it is."""

    executor: str = "local"
    """What makes the runs: `local` processes, or a `ray` cluster, where each takes what `[resources]` says."""
    address: str | None = None
    """Of the Ray cluster, `auto` or `HOST:PORT`; None starts one on this machine."""

    def __post_init__(self) -> None:
        """Refuse what does not exist before anything is read.

        Raises:
            InputError: there is no such device or precision, or a number is out of range.
        """
        for name, known in KNOWN.items():
            value = getattr(self, name)
            if value not in known:
                like = ALSO_CALLED.get(value.lower()) or next(iter(get_close_matches(value, known, n=1)), None)
                hint = f" (did you mean {like}?)" if like else ""
                raise InputError(f"--{name} {value!r} is not one of {', '.join(known)}{hint}; choose one of these")
        if self.address is not None and self.executor != "ray":
            raise InputError(f"--address {self.address} is for --executor ray; give both or neither")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise InputError(f"--micro-batch {self.micro_batch} is no number of blocks from 1 on; give e.g. 8")
        if self.num_threads is not None and not 0 < self.num_threads <= MAX_THREADS:
            raise InputError(f"--threads {self.num_threads} is not a number from 1 to {MAX_THREADS:,}; give one")
        if not self.checkpoint_seconds >= 0:
            raise InputError(f"--save-every {self.checkpoint_seconds} is no number of seconds from 0 on; give e.g. 60")

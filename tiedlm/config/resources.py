"""What one run takes of a machine, where a cluster places it: `[resources]`. It changes nothing in the result."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.strict import NeutralUnwritten


class Resources(NeutralUnwritten):
    """Of one run, for `--executor ray`."""

    cpus: Annotated[int, Field(gt=0, le=1_024)] = 1
    """Processors of a run, which has as many threads. On a CPU, sums are equal bit for bit only if it is the same."""
    gpus: Annotated[float, Field(ge=0.0, le=64.0)] = 0.0
    """GPUs of a run; 0.25 lets four runs share one."""
    memory_gb: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    """Memory of a run in GB, by which no node is given too many; 0: it is not counted."""

    @property
    def memory_bytes(self) -> int:
        """The same in bytes."""
        return round(self.memory_gb * 1e9)

    def __str__(self) -> str:
        """`2 CPUs and 0.5 GPUs`."""
        gpus = f"{self.gpus:g} GPU{'' if self.gpus == 1 else 's'}" if self.gpus else ""
        memory = f"{self.memory_gb:g} GB" if self.memory_gb else ""
        return " and ".join(part for part in (f"{self.cpus} CPU{'' if self.cpus == 1 else 's'}", gpus, memory) if part)

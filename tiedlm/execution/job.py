"""A job: all that it takes to make one run, wherever it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tiedlm.config.experiment import ArmConfig
from tiedlm.config.resources import Resources
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.execution.run_lock import RunLock
from tiedlm.record.origin import DesignOption
from tiedlm.record.run_id import RunId
from tiedlm.training.device import Runtime


@dataclass(frozen=True)
class Job:
    """Everything that whoever makes a run must be given."""

    experiment: str
    run: RunId
    arm: ArmConfig
    corpus: TokenizedCorpus
    runtime: Runtime
    out: Path
    command: str
    num_threads: int
    resume: bool
    checkpoint_seconds: float
    design_sha256: dict[DesignOption, str] | None = None
    """For its record."""
    micro_batch: int | None = None
    """Blocks that go through the model at a time; None: the whole batch."""
    divergence_counts: bool = False
    """Whether that it diverges is its result, which is written down, and no failure: so it is in a tuning."""
    cell: str = ""
    """The folder of its cell, where the runs of several are one queue."""
    resources: Resources = field(default_factory=Resources)
    """What it takes, where a cluster places it."""
    gpu: int = 0
    """Which of the machine's GPUs computes it, if any does."""
    lock: RunLock | None = None
    """By which its maker holds it; None where nobody else may train in the folder."""

    def __str__(self) -> str:
        """`tied seed 0`, or with its cell `fraction=0.1: tied seed 0`."""
        return f"{self.cell}: {self.run}" if self.cell else str(self.run)

    @property
    def key(self) -> tuple[Path, RunId]:
        """What tells it from all others of a queue."""
        return self.out, self.run

    @property
    def has_result(self) -> bool:
        """Whether its record is there, or what stands for that."""
        if (self.out / self.run.record_file).exists():
            return True
        return self.divergence_counts and (self.out / self.run.divergence_file).exists()

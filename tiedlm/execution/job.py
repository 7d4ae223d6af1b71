"""A job: all that it takes to make one run, wherever it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiedlm.config.experiment import Experiment
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.training.device import Runtime


@dataclass(frozen=True)
class Job:
    """Everything that whoever makes a run must be given."""

    experiment: Experiment
    arm: str
    seed: int
    corpus: TokenizedCorpus
    runtime: Runtime
    out: Path
    command: str
    num_threads: int
    resume: bool
    checkpoint_seconds: float

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.arm} seed {self.seed}"

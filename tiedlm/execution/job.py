"""A job: all that it takes to make one run, wherever it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiedlm.config.experiment import ArmConfig
from tiedlm.data.tokens import TokenizedCorpus
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

"""What a run tells of each step; without torch, so that whoever watches need not load it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One run's state for whoever watches."""

    arm: str
    seed: int
    phase: str
    """`training`, or `evaluating` at the end."""
    step: int
    num_steps: int
    loss_nats: float
    tokens_per_second: float
    evaluated: float = 0.0
    """Share of the split that an evaluation has done."""

"""What a run tells of each step; without torch, so that whoever watches need not load it."""

from __future__ import annotations

from dataclasses import dataclass

from tiedlm.record.run_id import RunId


@dataclass(frozen=True)
class Progress:
    """One run's state, for whoever watches."""

    run: RunId
    phase: str
    """`training` once a step is done; `evaluating SPLIT` at the end, many times."""
    step: int
    num_steps: int
    num_tokens: int
    """Read in training so far; padding of a short block counts as read."""
    loss_nats: float
    """Of the batch of this step, a token."""
    learning_rate: float
    """Of the embeddings in this step."""
    tokens_per_second: float
    """Over all of its training so far, evaluations not counted."""
    evaluated: float = 0.0
    """Share of the split that an evaluation has done."""

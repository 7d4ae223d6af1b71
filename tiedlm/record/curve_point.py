"""One look at a model while it trains: a point of its learning curve."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.strict import Strict
from tiedlm.record.metrics import MAX_NATS, Count

LossNats = Annotated[float, Field(ge=0.0, le=MAX_NATS)]
NonNegative = Annotated[float, Field(ge=0.0)]


class GradientSides(Strict):
    """The gradients of the two uses of the word-embedding table, or of the two matrices of an untied model."""

    input_norm: NonNegative
    output_norm: NonNegative
    cosine: Annotated[float, Field(ge=-1.0, le=1.0)]
    """Of the two, each as one vector of V×H numbers."""


class CurvePoint(Strict):
    """One look at the model during training, by one evaluation fold of evenly spaced blocks of each split."""

    step: Count
    num_tokens: Count
    """Read in training so far."""
    train_seconds: NonNegative
    train_loss_nats: LossNats
    valid_loss_nats: LossNats
    gradients: GradientSides | None
    """None in records that are older than it."""

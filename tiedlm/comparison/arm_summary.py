"""One arm over its seeds, as data."""

from __future__ import annotations

from typing import Any

from tiedlm.config.strict import Strict
from tiedlm.record.curve_point import CurvePoint

METRICS = ("masked_lm_perplexity", "masked_lm_loss_nats", "masked_lm_accuracy", "bits_per_byte", "nats_per_word")
"""Of a run on a split, in the order in which they are told."""


class Summary(Strict):
    """One number a seed; `std` over seeds (n − 1), absent for one seed."""

    mean: float
    std: float | None
    values: list[float]


class SplitSummary(Strict):
    """One arm on one split."""

    masked_lm_perplexity: Summary
    masked_lm_loss_nats: Summary
    masked_lm_accuracy: Summary
    num_tokens: int
    unigram_perplexity: float
    bits_per_byte: Summary
    nats_per_word: Summary
    """Of the text's bytes and words, which no tokenizer decides."""
    unk_fraction: float
    """Share of the tokens that are `[UNK]`."""
    masked_lm_perplexity_without_unk: Summary | None
    """Over the other tokens; None where none is `[UNK]`, or all are."""

    @property
    def bits_of_a_nat(self) -> float:
        """How many bits a byte one nat a token is; by the text and its tokens alone, so the same in all arms."""
        return self.bits_per_byte.mean / self.masked_lm_loss_nats.mean


class ArmSummary(Strict):
    """One arm over its seeds; costs are means, memory the largest."""

    overrides: dict[str, Any]
    """What the arm changes, as `section.key`."""
    parameters: dict[str, int]
    metrics: dict[str, SplitSummary]
    train_seconds: float
    total_seconds: float
    """With the evaluations."""
    tokens_per_second: float
    peak_memory_bytes: int
    checkpoint_bytes: int
    curves: dict[str, list[CurvePoint]]
    """The learning curve of each seed."""


class Saved(Strict):
    """What tying saves at this size."""

    parameters: int
    fraction: float
    """Of the untied model."""
    formula: str

"""What a record keeps of the fold evaluation of a split: sums rather than means."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from tiedlm.config.strict import Strict

MAX_NATS = 700.0  # a token; beyond it the perplexity is no number; a uniform guess over a million words has 14
SUM_TOLERANCE = 1e-12  # of sums of doubles that were added in another order
BAND_TOLERANCE = 1e-9  # of sums over many more of them

Count = Annotated[int, Field(ge=0, lt=2**63)]
Nats = Annotated[float, Field(ge=0.0, le=MAX_NATS * 2**53)]


class BandMetrics(Strict):
    """The same sums over the tokens of one frequency band."""

    least_count: Count
    """How often they occur in train at least; at most, one less than those of the next band."""
    num_tokens: Count
    total_nll_nats: Nats
    num_correct: Count


class SplitMetrics(Strict):
    """The fold evaluation of one split: sums over all its tokens, and over those of each block."""

    num_tokens: Annotated[Count, Field(gt=0)]
    total_nll_nats: Nats
    num_correct: Count
    unigram_perplexity: Annotated[float, Field(ge=1.0)]
    """Of the split under the train split's token frequencies: the level of having learned nothing else."""
    num_unk: Count
    """Tokens that are `[UNK]`: of words that train does not have."""
    unk_nll_nats: Nats
    """Of these; a part of `total_nll_nats`."""
    num_words: Annotated[Count, Field(gt=0)]
    """Of the text, between blanks, and one more for the end of each line; no tokenizer decides it."""
    num_bytes: Annotated[Count, Field(gt=0)]
    """Of the text in UTF-8, and one more for the end of each line."""
    bands: list[BandMetrics] | None
    """By how often the token occurs in train, the rarest first; None in records that are older than it."""
    block_nll_nats: list[Nats]
    block_num_tokens: list[Annotated[Count, Field(gt=0)]]

    @model_validator(mode="after")
    def _sums_close(self) -> Self:
        if len(self.block_nll_nats) != len(self.block_num_tokens) or sum(self.block_num_tokens) != self.num_tokens:
            raise ValueError("block_nll_nats, block_num_tokens and num_tokens disagree")
        if not math.isclose(math.fsum(self.block_nll_nats), self.total_nll_nats, rel_tol=SUM_TOLERANCE):
            raise ValueError(f"total_nll_nats={self.total_nll_nats} is not the sum of block_nll_nats")
        if self.total_nll_nats > MAX_NATS * self.num_tokens:
            raise ValueError(f"total_nll_nats={self.total_nll_nats} is over {MAX_NATS:.0f} a token, which is no result")
        for name in ("num_unk", "num_correct"):
            if getattr(self, name) > self.num_tokens:
                raise ValueError(f"{name}={getattr(self, name)} is more than num_tokens={self.num_tokens}")
        if self.unk_nll_nats > self.total_nll_nats * (1 + SUM_TOLERANCE) or (self.unk_nll_nats > 0) != (
            self.num_unk > 0
        ):
            raise ValueError(f"unk_nll_nats={self.unk_nll_nats} cannot be of {self.num_unk} of the tokens")
        if self.bands is not None:
            self._check_bands(self.bands)
        return self

    def _check_bands(self, bands: list[BandMetrics]) -> None:
        least_counts = [band.least_count for band in bands]
        if least_counts != sorted(set(least_counts)) or least_counts[:1] != [0]:
            raise ValueError(f"bands begin at {least_counts[:20]}, not at 0 and then higher")
        for name in ("num_tokens", "num_correct", "total_nll_nats"):
            whole, parts = getattr(self, name), [getattr(band, name) for band in bands]
            if not math.isclose(math.fsum(parts), whole, rel_tol=BAND_TOLERANCE):
                raise ValueError(f"{name}={whole} is not the sum of those of the bands")
        if any(band.num_correct > band.num_tokens for band in bands):
            raise ValueError("a band has more correct tokens than tokens")

    @property
    def masked_lm_loss_nats(self) -> float:
        """Mean over all tokens of the split."""
        return self.total_nll_nats / self.num_tokens

    @property
    def masked_lm_perplexity(self) -> float:
        """exp(Σ nll / n); not comparable with a causal perplexity."""
        return math.exp(self.masked_lm_loss_nats)

    @property
    def has_learned(self) -> bool:
        """Whether it is better than the token frequencies of train alone."""
        return self.masked_lm_perplexity < self.unigram_perplexity

    @property
    def masked_lm_accuracy(self) -> float:
        """Share of tokens whose top-1 prediction is right."""
        return self.num_correct / self.num_tokens

    @property
    def bits_per_byte(self) -> float:
        """The split's loss over the bytes of its text, which is the same for every tokenizer."""
        return self.total_nll_nats / math.log(2) / self.num_bytes

    @property
    def nats_per_word(self) -> float:
        """The same over its words; where words are the tokens, the loss a token."""
        return self.total_nll_nats / self.num_words

    @property
    def unk_fraction(self) -> float:
        """Share of the tokens that are `[UNK]`."""
        return self.num_unk / self.num_tokens

    @property
    def masked_lm_perplexity_without_unk(self) -> float | None:
        """Over the tokens that are words of the vocabulary; None if none is."""
        num_known = self.num_tokens - self.num_unk
        return math.exp((self.total_nll_nats - self.unk_nll_nats) / num_known) if num_known else None

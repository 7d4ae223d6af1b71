"""Two models' sums over one text → how far they are apart there, with an interval for the choice of the text.

One pair of models has no verdict: it says nothing of what other seeds of the same two would do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tiedlm.comparison.paired_statistics import MIN_BLOCKS, text_bootstrap
from tiedlm.data.frequency_bands import LEAST_COUNTS
from tiedlm.exchange.split_text import Reading
from tiedlm.exchange.text_evaluation import Evaluation, ScoredText, SplitSums

Unit = Literal["nats a token", "bits a byte"]


@dataclass(frozen=True)
class BandOfPair:
    """Of the tokens that occur at least so often in train, and less often than those of the next band."""

    least_count: int
    num_tokens: int
    a: float | None
    b: float | None
    difference: float | None
    """Nats a token, and B − A; all three None where no token is of this band."""


@dataclass(frozen=True)
class SplitOfPair:
    """Both models on the same part of one split, in the pair's unit."""

    split: str
    a: float
    b: float
    difference: float
    """B − A: positive where A predicts the text better."""
    ci95: tuple[float, float]
    """Over the choice of text alone, not over seeds."""
    method: str
    num_parts: int
    """Blocks, or stretches of the text, whose order is kept where the interval draws them anew."""
    size: int
    """Tokens, or bytes of the text."""
    share: float
    """Of the split's; 1.0 is all."""
    bands: list[BandOfPair] | None
    """None where the two do not count the same tokens in train."""


@dataclass(frozen=True)
class PairEvaluation:
    """Two models on one text."""

    schema_version: Literal[1] = field(default=1, init=False)
    a: Evaluation
    b: Evaluation
    """Each by itself, as `evaluate` has it, on the blocks that were scored."""
    unit: Unit
    unlike: list[str]
    """Why it is bits a byte: what of their tokens, blocks or masks differs; empty where it is nats a token."""
    splits: list[SplitOfPair]
    notes: list[str]

    def __repr__(self) -> str:
        """In a line for each split; every field is in `dataclasses.asdict`."""
        lines = [
            f"  {one.split}: B − A {one.difference:+.4f} [{one.ci95[0]:+.4f}, {one.ci95[1]:+.4f}] {self.unit}"
            for one in self.splits
        ]
        return "\n".join([f"A {self.a.model}, B {self.b.model} on {self.a.corpus}", *lines])


def unlikeness(a: Mapping[str, Reading], b: Mapping[str, Reading]) -> list[str]:
    """Why two models cannot be scored on the same tokens in the same blocks under the same masks; [] if they can."""
    pairs = [(a[split], b[split]) for split in a]
    found = []
    if any(mine.tokens_sha256 != theirs.tokens_sha256 for mine, theirs in pairs):
        found.append("they cut the text into different tokens")
    if lengths := next(((m.seq_length, t.seq_length) for m, t in pairs if m.seq_length != t.seq_length), None):
        found.append(f"they read blocks of {lengths[0]} and of {lengths[1]} tokens")
    if any(mine.eval_mask_seed != theirs.eval_mask_seed for mine, theirs in pairs):
        found.append("their masks are drawn by different seeds")
    return found


def common_stretches(a: Reading, b: Reading, max_tokens: int) -> list[int]:
    """Evenly spaced runs of stretches, each as long as a block of either, of about `max_tokens` in all for either."""
    per_stretch = [reading.stretch_num_tokens.mean() for reading in (a, b)]
    num_stretches = len(a.stretch_num_bytes)
    longest = max(math.ceil(one.seq_length / tokens) for one, tokens in zip((a, b), per_stretch, strict=True))
    length = min(num_stretches, longest)
    num_runs = max(1, int(max_tokens // (length * max(per_stretch))))
    starts = np.linspace(0, num_stretches - length, num_runs).astype(int)
    return np.unique(starts[:, np.newaxis] + np.arange(length)).tolist()  # type: ignore[no-any-return]


def compare_models(a: ScoredText, b: ScoredText, stretches: Mapping[str, Sequence[int]] | None) -> PairEvaluation:
    """B − A on each split: in nats a token by block, or, where tokens or blocks differ, in bits a byte by stretch.

    `stretches` are those that were scored of each split; None is all.
    """
    unlike = unlikeness(*({split: sums.reading for split, sums in one.sums.items()} for one in (a, b)))
    splits = []
    for score in a.evaluation.splits:
        split, sums = score.split, (a.sums[score.split], b.sums[score.split])
        some = None if stretches is None else stretches[split]
        splits.append(_by_stretch(split, *sums, some) if unlike else _by_block(split, *sums, score.share))
    return PairEvaluation(
        a=a.evaluation,
        b=b.evaluation,
        unit="bits a byte" if unlike else "nats a token",
        unlike=unlike,
        splits=splits,
        notes=_notes(a, b, splits, unlike),
    )


def _by_block(split: str, a: SplitSums, b: SplitSums, share: float) -> SplitOfPair:
    bands = None
    if (a.band_num_tokens == b.band_num_tokens).all():
        sums = zip(LEAST_COUNTS, a.band_num_tokens, a.band_nll_nats, b.band_nll_nats, strict=True)
        bands = [_band(least, int(number), float(mine), float(theirs)) for least, number, mine, theirs in sums]
    nll = (a.block_nll_nats, b.block_nll_nats)
    return _apart(split, "blocks", nll, a.block_num_tokens, share, bands)


def _band(least_count: int, num_tokens: int, a_nats: float, b_nats: float) -> BandOfPair:
    if not num_tokens:
        return BandOfPair(least_count, 0, None, None, None)
    a, b = a_nats / num_tokens, b_nats / num_tokens
    return BandOfPair(least_count, num_tokens, a, b, b - a)


def _by_stretch(split: str, a: SplitSums, b: SplitSums, stretches: Sequence[int] | None) -> SplitOfPair:
    """The ends of lines count where both models predict them, and else for neither."""
    reading, has_ends = a.reading, a.reading.has_line_ends and b.reading.has_line_ends
    num_bytes = reading.stretch_num_bytes + (reading.stretch_num_lines if has_ends else 0)
    some = slice(None) if stretches is None else np.array(stretches)
    bits = [
        (sums.stretch_nll_nats + (sums.line_end_nll_nats if has_ends else 0.0))[some] / math.log(2) for sums in (a, b)
    ]
    share = float(num_bytes[some].sum() / num_bytes.sum())
    return _apart(split, "stretches", (bits[0], bits[1]), num_bytes[some], share, None)


def _apart(
    split: str,
    parts: str,
    losses: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    sizes: npt.NDArray[Any],
    share: float,
    bands: list[BandOfPair] | None,
) -> SplitOfPair:
    a, b = losses
    found = text_bootstrap(b - a, sizes)
    return SplitOfPair(
        split=split,
        a=float(a.sum() / sizes.sum()),
        b=float(b.sum() / sizes.sum()),
        difference=found.mean,
        ci95=found.ci95,
        method=f"bootstrap over runs of {found.length} {parts}: the choice of text alone, not over seeds",
        num_parts=len(sizes),
        size=int(sizes.sum()),
        share=share,
        bands=bands,
    )


def _notes(a: ScoredText, b: ScoredText, splits: Sequence[SplitOfPair], unlike: Sequence[str]) -> list[str]:
    notes = []
    if a.evaluation.has_line_ends != b.evaluation.has_line_ends:
        reader = "A" if a.evaluation.has_line_ends else "B"
        notes.append(f"{reader} alone predicts the ends of lines, so they are left out of both.")
    parts = "stretches" if unlike else "blocks"
    for split in splits:
        if split.num_parts < MIN_BLOCKS:
            notes.append(
                f"{split.split}: the interval is over {split.num_parts} of the split's {parts}; it needs {MIN_BLOCKS} "
                "or more to be trusted."
            )
    return notes

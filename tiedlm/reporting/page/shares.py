"""Comparison → where each arm's parameters are, as parts of a strip whose areas are to scale."""

from __future__ import annotations

from typing import NamedTuple

from tiedlm.comparison.comparison import Comparison

PARTS = {
    "word_embeddings": ("E", "word embeddings E, V × H"),
    "encoder_layers": ("encoder", "encoder layers"),
    "head_transform": ("g", "head transform g"),
    "decoder_weight": ("W", "output matrix W, V × H"),
}
OTHER, NOT_STORED = (
    ("other", "", "all else: positions, norms, bias"),
    ("saved", "", "not stored: E is also the output matrix"),
)


class Part(NamedTuple):
    """A stretch of an arm's strip."""

    kind: str
    letter: str
    label: str
    parameters: int


class Strip(NamedTuple):
    """One arm; the widest of all strips is as wide as the page."""

    arm: str
    total: int
    parts: list[Part]
    blank: int
    """Parameters that the widest strip has more."""


def parameter_shares(comparison: Comparison) -> list[Strip]:
    """The strips of all arms; where a matrix is not stored there is a gap of its size."""
    strips = []
    for arm, summary in comparison.arms.items():
        counts = dict(summary.parameters)
        total = counts.pop("total")
        kinds = ("word_embeddings", "encoder_layers", "head_transform")
        parts = [Part(kind, *PARTS[kind], counts[kind]) for kind in kinds if counts[kind]]
        others = sum(count for kind, count in counts.items() if kind not in PARTS)
        parts.append(Part(*OTHER, others))
        if counts["decoder_weight"]:
            parts.append(Part("decoder_weight", *PARTS["decoder_weight"], counts["decoder_weight"]))
        else:
            parts.append(Part(*NOT_STORED, counts["word_embeddings"]))
        strips.append(Strip(arm, total, parts, 0))
    widest = max(sum(part.parameters for part in strip.parts) for strip in strips)
    return [strip._replace(blank=widest - sum(part.parameters for part in strip.parts)) for strip in strips]

"""What is asked of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """Which part of a text is scored, and how."""

    splits: tuple[str, ...]
    max_tokens: int | None
    """Of each split; None is all."""
    seq_length: int | None
    """Tokens of a block; None as long as the model reads, or as its run had them."""
    device: str
    precision: str
    stretches: Mapping[str, Sequence[int]] | None = None
    """Of each split, those of its text (`SplitText`) that are scored, in whole blocks; None is by `max_tokens`."""

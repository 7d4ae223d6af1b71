"""What is asked of an evaluation."""

from __future__ import annotations

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

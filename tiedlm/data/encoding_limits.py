"""What a stranger's tokenizer may take of memory and processor time."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.processes.guarded_process import Guard

TOKENIZER_BYTES = 1 << 30
"""The largest ones take a quarter of it."""
TOKENIZER_CPU_SECONDS = 30.0
"""Some seconds are usual, for a vocabulary of 250,000 too."""
BYTES_PER_CHARACTER = 500
"""A character may be a token of its own, and each comes with its offsets and masks."""
CPU_SECONDS, CHARACTERS_PER_CPU_SECOND = 20.0, 20_000
"""A tokenizer in Python reads some 200,000 in a second."""


def enter_reading(guard: Guard) -> None:
    """A tokenizer is read from its files."""
    guard.enter("reading the tokenizer", TOKENIZER_BYTES, TOKENIZER_CPU_SECONDS)


def enter_encoding(guard: Guard, texts: Sequence[str]) -> None:
    """Some text is encoded."""
    num_characters = sum(map(len, texts))
    num_bytes = TOKENIZER_BYTES + BYTES_PER_CHARACTER * num_characters
    guard.enter(
        "reading the text by its tokenizer", num_bytes, CPU_SECONDS + num_characters / CHARACTERS_PER_CPU_SECOND
    )

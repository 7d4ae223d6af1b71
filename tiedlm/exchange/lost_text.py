"""What of a text a tokenizer leaves out in silence, as a BPE without bytes and without an unknown token does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Offsets = Sequence[tuple[int, int]]


def num_lost_bytes(texts: Iterable[str], offsets: Iterable[Offsets]) -> int:
    """UTF-8 bytes of the characters in no token, but for blanks and control characters, which many leave out.

    `offsets` has, for each text, each token's first character and the one after its last.
    """
    return sum(_of_text(text, of_text) for text, of_text in zip(texts, offsets, strict=True))


def _of_text(text: str, offsets: Offsets) -> int:
    lost, read_to = 0, 0
    for start, end in sorted(offsets):
        if start > read_to:
            lost += _bytes(text[read_to:start])
        read_to = max(read_to, end)
    return lost + _bytes(text[read_to:])


def _bytes(text: str) -> int:
    return sum(len(character.encode()) for character in text if not character.isspace() and character.isprintable())

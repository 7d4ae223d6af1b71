"""Lines of text, in pieces that are short enough for a tokenizer however long a line is; and the hash of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

LONGEST_PIECE = 1 << 16  # characters
PIECES_AT_ONCE, CHARACTERS_AT_ONCE = 10_000, 1 << 21


class Piece(NamedTuple):
    """A line, or a part of a long one."""

    text: str
    ends_line: bool


Reader = Callable[[], Iterator[Piece]]
"""Reads a split from its beginning, each time that it is called."""


def cut(text: str, ends_line: bool = True) -> Iterator[Piece]:
    """Pieces that together are the text.

    A cut lies before a single blank where there is one, so that the next piece begins as a word within a line does, and
    words (and BPE, which joins a blank to the word after it) become the same tokens as in one piece.
    """
    start = 0
    while len(text) - start > LONGEST_PIECE:
        end = _place_to_cut(text, start)
        yield Piece(text[start:end], False)
        start = end
    yield Piece(text[start:] if start else text, ends_line)


def _place_to_cut(text: str, start: int) -> int:
    end = start + LONGEST_PIECE
    while (end := text.rfind(" ", start + 1, end)) > 0:
        if not text[end - 1].isspace() and not text[end + 1].isspace():
            return end
    return start + LONGEST_PIECE  # no text of words


def stripped(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Lines without the blanks at their ends, in which sources of one corpus differ."""
    begins_line = True
    for text, ends_line in pieces:
        text = text.lstrip() if begins_line else text
        yield Piece(text.rstrip() if ends_line else text, ends_line)
        begins_line = ends_line


def batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Some thousands of pieces at a time, fewer where they are long."""
    batch: list[Piece] = []
    num_characters = 0
    for piece in pieces:
        batch.append(piece)
        num_characters += len(piece.text)
        if len(batch) == PIECES_AT_ONCE or num_characters >= CHARACTERS_AT_ONCE:
            yield batch
            batch, num_characters = [], 0
    if batch:
        yield batch


class TextHash:
    """SHA-256 over lines, each with a line break after it, whatever the file was that held them.

    A line break within a line, as rows of a table may have, has the byte 0xff before it, which UTF-8 never has.
    """

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def add(self, batch: list[Piece]) -> None:
        """Read on."""
        for text, ends_line in batch:
            line = text.encode()
            self.digest.update(line.replace(b"\n", b"\xff\n") if b"\n" in line else line)
            if ends_line:
                self.digest.update(b"\n")

    def hexdigest(self) -> str:
        """Of what was read."""
        return self.digest.hexdigest()


class TextCounts(NamedTuple):
    """The sizes of a split that do not depend on a tokenizer."""

    num_lines: int
    num_words: int
    """Between blanks, and one more for the end of each line."""
    num_bytes: int
    """Of UTF-8, and one more for the end of each line."""

    def plus(self, batch: list[Piece]) -> TextCounts:
        """Those of the text up to and with a batch."""
        ends = sum(piece.ends_line for piece in batch)
        return TextCounts(
            self.num_lines + ends,
            self.num_words + ends + sum(len(piece.text.split()) for piece in batch),
            self.num_bytes + ends + sum(len(piece.text.encode()) for piece in batch),
        )

"""The lines of a text → its documents, which go to a split as a whole: rows, lines, or paragraphs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tiedlm.data.sources.pieces import Piece

MAX_PARAGRAPH_CHARACTERS, MAX_PARAGRAPH_PIECES = 1 << 20, 1 << 16  # a paragraph is in memory as a whole
DocumentKind = Literal["paragraph", "line", "row"]


class Document(NamedTuple):
    """A row, a line, a paragraph, or a part of one that is too long."""

    pieces: list[Piece]
    is_part: bool = False
    """Whether the paragraph goes on after it, or began before it."""

    def hash(self) -> int:
        """The same for equal documents; of a paragraph of one line that of the line."""
        digest = hashlib.sha256()
        for number, (text, ends_line) in enumerate(self.pieces, start=1):
            digest.update(text.encode())
            if ends_line and number < len(self.pieces):
                digest.update(b"\n")
        return int.from_bytes(digest.digest()[:8], "big")


DocumentReader = Callable[[], Iterator[Document]]
"""Reads the documents of a text from its beginning, each time that it is called."""


@dataclass(frozen=True)
class Documents:
    """What the documents of a text are."""

    kind: DocumentKind
    number: int | None
    """Of different ones; None where they are too many to be counted beforehand."""
    may_cut_paragraphs: bool
    """Whether they are lines, of which several may make a paragraph."""


def one_a_piece(pieces: Iterable[Piece]) -> Iterator[Document]:
    """Every line or row, and every piece of a long one; blank ones are left out."""
    return (Document([Piece(text, True)]) for text, _ in pieces if not _is_blank(text))


def paragraphs(pieces: Iterable[Piece]) -> Iterator[Document]:
    """The lines between blank lines, which are left out; one that is too long in several parts."""
    held: list[Piece] = []
    num_characters, begins_line, is_part = 0, True, False
    for piece in pieces:
        if begins_line and piece.ends_line and _is_blank(piece.text):
            yield from _without_blank([Document(held, is_part)])
            held, num_characters, is_part = [], 0, False
            continue
        begins_line = piece.ends_line
        held.append(piece)
        num_characters += len(piece.text)
        if num_characters >= MAX_PARAGRAPH_CHARACTERS or len(held) >= MAX_PARAGRAPH_PIECES:
            held[-1] = Piece(piece.text, True)  # what follows may go to another split
            yield from _without_blank([Document(held, True)])
            held, num_characters, is_part = [], 0, True
    yield from _without_blank([Document(held, is_part)])


def _without_blank(documents: Iterable[Document]) -> Iterator[Document]:
    return (document for document in documents if not all(_is_blank(piece.text) for piece in document.pieces))


def _is_blank(text: str) -> bool:
    return not text or text.isspace()

"""A text without valid or test → splits by the hash of each document, so that equal documents are never in two."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from tiedlm.data.sources.pieces import Piece, Reader

PARTS = 20  # of which each missing split takes one: 5 %
PART_OF_SPLIT = {"valid": 0, "test": 1}
FEW_DOCUMENTS = 1_000  # up to which the shares are exact rather than left to chance, which could leave a split empty


def split_by_document(train: Reader, missing: Collection[str]) -> dict[str, Reader] | None:
    """Readers of train and of the splits that it lacks; None if it has too few different documents.

    A line or a row is a document, and so is each piece of a long line. Blank ones are left out.
    """
    wanted = [split for split in PART_OF_SPLIT if split in missing]
    few = _different_documents(train())
    if few is not None and len(few) <= len(wanted):
        return None
    exact: dict[int, str] = {}
    if few is not None:
        share = max(1, len(few) // PARTS)
        for index, split in enumerate(wanted):
            exact |= dict.fromkeys(sorted(few)[index * share : (index + 1) * share], split)
    shares = _Shares(exact if few is not None else None, {PART_OF_SPLIT[split]: split for split in wanted})
    return {split: partial(_of_split, train, shares, split) for split in ("train", *wanted)}


@dataclass(frozen=True)
class _Shares:
    """Which split has which documents."""

    exact: dict[int, str] | None
    """By hash; the others are train's. None where they are many."""
    by_part: dict[int, str]

    def split_of(self, document: int) -> str:
        return self.by_part.get(document % PARTS, "train") if self.exact is None else self.exact.get(document, "train")


def _of_split(train: Reader, shares: _Shares, split: str) -> Iterator[Piece]:
    return (Piece(text, True) for text in _documents(train()) if shares.split_of(_hash(text)) == split)


def _documents(pieces: Iterable[Piece]) -> Iterator[str]:
    return (text for text, _ in pieces if text and not text.isspace())


def _hash(document: str) -> int:
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big")


def _different_documents(pieces: Iterable[Piece]) -> set[int] | None:
    """The hashes of all, or None where they are more than a few."""
    found: set[int] = set()
    for document in _documents(pieces):
        found.add(_hash(document))
        if len(found) > FEW_DOCUMENTS:
            return None
    return found

"""A text without valid or test → splits by the hash of each document, so that equal documents are never in two."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from tiedlm.data.sources.documents import Document, DocumentKind, DocumentReader, Documents, one_a_piece
from tiedlm.data.sources.layout import FileReader
from tiedlm.data.sources.pieces import Piece, Reader

PARTS = 20  # of which each missing split takes one: 5 %
PART_OF_SPLIT = {"valid": 0, "test": 1}
FEW_DOCUMENTS = 1_000  # up to which the shares are exact rather than left to chance, which could leave a split empty


@dataclass(frozen=True)
class DocumentSplit:
    """Train, and the splits that were taken from it."""

    readers: dict[str, Reader]
    documents: Documents


def split_by_document(train: Reader, missing: Collection[str]) -> DocumentSplit | None:
    """Readers of train and of the splits that it lacks; None if it has too few different documents.

    In plain text a document is a paragraph, where it has enough of them between blank lines, else a line; elsewhere it
    is a row. Blank lines are left out.
    """
    wanted = [split for split in PART_OF_SPLIT if split in missing]
    read, few, documents = _documents_of(train)
    if few is not None and len(few) <= len(wanted):
        return None
    exact: dict[int, str] = {}
    if few is not None:
        share = max(1, len(few) // PARTS)
        for index, split in enumerate(wanted):
            exact |= dict.fromkeys(sorted(few)[index * share : (index + 1) * share], split)
    shares = _Shares(exact if few is not None else None, {PART_OF_SPLIT[split]: split for split in wanted})
    readers: dict[str, Reader] = {split: partial(_of_split, read, shares, split) for split in ("train", *wanted)}
    return DocumentSplit(readers, documents)


def _documents_of(train: Reader) -> tuple[DocumentReader, set[int] | None, Documents]:
    """How the documents of a text are read, the hashes of the different ones if they are few, and what they are."""
    files = train if isinstance(train, FileReader) else None
    if files is not None and files.is_plain_text:
        few = _different_documents(files.paragraphs())
        if few is None or len(few) >= PARTS:
            return files.paragraphs, few, Documents("paragraph", None if few is None else len(few), False)
    read = partial(_lines_or_rows, train)
    few = _different_documents(read())
    kind: DocumentKind = "line" if files is not None and files.holds_lines else "row"
    may_cut_paragraphs = files is not None and files.is_plain_text
    return read, few, Documents(kind, None if few is None else len(few), may_cut_paragraphs)


def _lines_or_rows(train: Reader) -> Iterator[Document]:
    return one_a_piece(train())


@dataclass(frozen=True)
class _Shares:
    """Which split has which documents."""

    exact: dict[int, str] | None
    """By hash; the others are train's. None where they are many."""
    by_part: dict[int, str]

    def split_of(self, document: int) -> str:
        return self.by_part.get(document % PARTS, "train") if self.exact is None else self.exact.get(document, "train")


def _of_split(read: DocumentReader, shares: _Shares, split: str) -> Iterator[Piece]:
    for document in read():
        if shares.split_of(document.hash()) == split:
            yield from document.pieces


def _different_documents(documents: Iterable[Document]) -> set[int] | None:
    """The hashes of all, or None where they are more than a few; a part of a paragraph is none."""
    found: set[int] = set()
    for document in documents:
        if not document.is_part:
            found.add(document.hash())
        if len(found) > FEW_DOCUMENTS:
            return None
    return found

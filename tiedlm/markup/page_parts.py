"""What a page of tables is made of, as plain text: each markup escapes it for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """Of what follows."""

    text: str


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    lead: str = ""
    """Stands before it and stands out."""


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table, each of whose rows is as long as its header: the first column names, the others are mostly numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    sums: Sequence[Sequence[str]] = ()
    """Below a line."""


Part = Heading | Words | Points | Grid

"""Text and tables as Markdown: what a stranger wrote stays text on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tiedlm.errors import printable


def escaped(text: object) -> str:
    """Text from a record, so that it is text on the page too: no heading, no HTML, no new line or cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~!])", r"\\\1", printable(str(text)))


def code(text: object) -> str:
    """Text from a record as code; a backtick would end it."""
    return f"`{printable(str(text)).replace('`', chr(0x2B9)).replace('|', chr(0x2758))}`"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, numbers to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"

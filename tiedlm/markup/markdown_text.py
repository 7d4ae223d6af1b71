"""Text, tables and pages of them as Markdown: what a stranger wrote stays text on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tiedlm.errors import printable
from tiedlm.markup.page_parts import Grid, Heading, Part, Points, Words


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


def markdown_page(parts: Sequence[Part]) -> str:
    """Parts below each other, with an empty line between two."""
    return "\n\n".join(map(_markdown, parts)) + "\n"


def _markdown(part: Part) -> str:
    match part:
        case Heading(text):
            return f"## {escaped(text)}"
        case Words(text, lead):
            return f"**{escaped(lead)}**{escaped(text)}" if lead else escaped(text)
        case Points(lines):
            return "\n".join(f"- {escaped(line)}" for line in lines)
        case Grid(header, rows, sums):
            cells = [[_cell(cell) for cell in row] for row in (*rows, *sums)]
            return markdown_table([_cell(cell) for cell in header], cells).rstrip()


def _cell(text: str) -> str:
    """Escaped, but for an interval and for a bound of a number, which no reader of Markdown takes for anything else."""
    shown = re.sub(r"\\\[([-+\d., ]+)\\\](?!\()", r"[\1]", escaped(text))
    return re.sub(r"\\< (?=\d)", "< ", shown)

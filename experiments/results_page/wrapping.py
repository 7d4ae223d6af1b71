"""Prose in lines of one width, whatever length the numbers in it have."""

from __future__ import annotations

import re
import textwrap

WIDTH = 120
NO_BREAK = "\0"
"""Stands for a blank at which no line ends."""
KEPT = re.compile(r"\||#|    |<!--|```|$")
"""How a line begins that stays as it is: a table's, a heading, code, a comment, or none."""


def wrapped(text: str) -> str:
    """Each paragraph and each item of a list in lines of WIDTH at most; tables, headings and code as they are."""
    lines: list[str] = []
    prose: list[str] = []
    is_code = False
    for line in [*text.splitlines(), ""]:
        is_code ^= line.startswith("```")
        is_kept = is_code or KEPT.match(line) is not None
        if prose and (is_kept or line.startswith("- ")):
            lines += _filled(prose)
            prose = []
        if is_kept:
            lines.append(line)
        else:
            prose.append(line.strip())
    return ("\n".join(lines[:-1]) + "\n").replace(NO_BREAK, " ")


def _filled(prose: list[str]) -> list[str]:
    indent = "  " if prose[0].startswith("- ") else ""
    text = " ".join(prose)
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

r"""Text, tables and pages of them as LaTeX, for papers: tables of booktabs, in which what a stranger wrote stays text.

The page stands in a document whose preamble has `\usepackage{booktabs}`; a table is a bare `tabular`, which its author
puts into a float with a caption of his own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tiedlm.errors import printable
from tiedlm.markup.page_parts import Grid, Heading, Part, Points, Words

PREAMBLE = r"% in the preamble: \usepackage{booktabs}"
SPELLED = {
    **{character: f"\\{character}" for character in "%_&#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # else it is the argument of the \\ before it
    "]": "{]}",
    "*": "{*}",  # so too
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "²": "$^2$",
    "Σ": r"$\Sigma$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "√": r"$\surd$",
    "→": r"$\rightarrow$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "·": r"\textperiodcentered{}",
    "‖": r"$\|$",
    "\N{NO-BREAK SPACE}": "~",
}


def latex_text(text: object) -> str:
    """Text from anywhere, so that LaTeX sets it as it is written; a hyphen before a number is a minus."""
    spelled = "".join(SPELLED.get(character, character) for character in printable(str(text)))
    spelled = re.sub(r"(?<![\w.$-])-(?=[\d.])", "$-$", spelled)
    return re.sub(r"-(?=-)", "-{}", spelled)  # two would be a dash


def latex_page(parts: Sequence[Part]) -> str:
    """Parts below each other, with an empty line between two."""
    return "\n\n".join([PREAMBLE, *map(_latex, parts)]) + "\n"


def _latex(part: Part) -> str:
    match part:
        case Heading(text):
            return rf"\subsection*{{{latex_text(text)}}}"
        case Words(text, lead):
            return rf"\textbf{{{latex_text(lead)}}}{latex_text(text)}" if lead else latex_text(text)
        case Points(lines):
            items = "\n".join(rf"\item {latex_text(line)}" for line in lines)
            return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
        case Grid():
            return _latex_table(part)


def _latex_table(grid: Grid) -> str:
    """The first column to the left, numbers to the right, as in Markdown."""
    columns = "l" + "r" * (len(grid.header) - 1)
    body = [_row(row) for row in grid.rows]
    sums = [r"\midrule", *map(_row, grid.sums)] if grid.sums else []
    lines = [r"\toprule", _row(grid.header), r"\midrule", *body, *sums, r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *lines, r"\end{tabular}"])


def _row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(latex_text, cells))} \\"

"""Parameter counts → the parts of a page for papers and READMEs, in Markdown or LaTeX. Formats, never computes."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.counting.closed_forms.parameters import ParameterCount
from tiedlm.counting.cross_check import Answer
from tiedlm.counting.shown.count_tables import (
    LIST_LEGEND,
    MAX_COLUMNS,
    active_sentence,
    group_rows,
    list_rows,
    product,
    saved_sentence,
    side_rows,
    tie_words,
    what_if_lines,
    what_if_rows,
)
from tiedlm.markup.page_parts import Part, Words


def answer_parts(answer: Answer) -> list[Part]:
    """One model: what it is, its groups, what tying saves, and the notes."""
    count = answer.count
    tie, who = tie_words(count)
    told = f": {count.architecture or 'a checkpoint'}, {tie}"
    mismatch = None if answer.checkpoint is None else answer.checkpoint.mismatch
    active = active_sentence(count)
    return [
        Words(f"{told} ({who})." if who else f"{told}.", lead=count.name),
        *([Words(f" {answer.by_names}.", lead="Basis:")] if answer.by_names else []),
        *([Words(f" {mismatch}.", lead="Tie mismatch:")] if mismatch else []),
        group_rows(count),
        *([] if count.no_tie else [Words(f"{product(count)} = {' '.join(saved_sentence(count))}.")]),
        *([Words(active)] if active else []),
        *(Words(f"Note: {note}.") for note in answer.notes),
    ]


def counts_parts(counts: Sequence[ParameterCount]) -> list[Part]:
    """A line a model."""
    return [list_rows(counts), Words(LIST_LEGEND)]


def sides_parts(counts: Sequence[ParameterCount]) -> list[Part]:
    """Models side by side; where they are too many for that, a line each."""
    return counts_parts(counts) if len(counts) > MAX_COLUMNS else [side_rows(counts)]


def what_if_parts(counts: Sequence[ParameterCount]) -> list[Part]:
    """The model and its variants, a line each."""
    return [what_if_rows(counts), *map(Words, what_if_lines(counts))]

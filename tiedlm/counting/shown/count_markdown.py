"""Parameter counts → Markdown for papers and READMEs. Formats, never computes."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.counting.closed_forms.parameters import ParameterCount
from tiedlm.counting.cross_check import Answer
from tiedlm.counting.shown.count_tables import (
    LIST_LEGEND,
    MAX_COLUMNS,
    Rows,
    active_sentence,
    group_rows,
    list_rows,
    saved_sentence,
    side_rows,
    tie_words,
    what_if_lines,
    what_if_rows,
)
from tiedlm.markdown_text import escaped, markdown_table


def answer_markdown(answer: Answer) -> str:
    """One model: what it is, its groups, what tying saves, and the notes."""
    count = answer.count
    tie, who = tie_words(count)
    told = f"**{escaped(count.name)}**: {escaped(count.architecture or 'a checkpoint')}, {escaped(tie)}"
    mismatch = None if answer.checkpoint is None else answer.checkpoint.mismatch
    paragraphs = [f"{told} ({escaped(who)})." if who else f"{told}."]
    paragraphs += [f"**Tie mismatch:** {escaped(mismatch)}."] if mismatch else []
    paragraphs += [rows_markdown(group_rows(count)).rstrip()]
    paragraphs += [] if count.no_tie else [f"V × E = {' '.join(saved_sentence(count))}."]
    active = active_sentence(count)
    paragraphs += [active] if active else []
    paragraphs += [f"Note: {escaped(note)}." for note in answer.notes]
    return "\n\n".join(paragraphs)


def counts_markdown(counts: Sequence[ParameterCount]) -> str:
    """A line a model."""
    return f"{rows_markdown(list_rows(counts))}\n{escaped(LIST_LEGEND)}"


def sides_markdown(counts: Sequence[ParameterCount]) -> str:
    """Models side by side; where they are too many for that, a line each."""
    return counts_markdown(counts) if len(counts) > MAX_COLUMNS else rows_markdown(side_rows(counts)).rstrip()


def what_if_markdown(counts: Sequence[ParameterCount]) -> str:
    """The model and its variants, a line each."""
    return "\n\n".join([rows_markdown(what_if_rows(counts)).rstrip(), *map(escaped, what_if_lines(counts))])


def rows_markdown(shown: Rows) -> str:
    """A table as Markdown."""
    return markdown_table([*map(escaped, shown.header)], [[*map(escaped, row)] for row in (*shown.rows, *shown.sums)])

"""Comparison and record → what a person reads in a terminal: draws tables and words, has none of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tested_differences import ContrastResult
from tiedlm.counting.shown.count_tables import percent
from tiedlm.counting.shown.count_terminal import plain_table, saved_text
from tiedlm.errors import printable
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.contrast_tables import contrast_lines, contrast_reasons
from tiedlm.reporting.tables import Table, narrow_arms_table, parameter_table, perplexity_table, record_table
from tiedlm.reporting.tuning_report import EXPECTED, expected_table, lowest_sentences
from tiedlm.reporting.wording import (
    WARNING,
    basis_lines,
    count_seeds,
    differing_lines,
    heading,
    is_inconclusive,
    pace_sentence,
    reasons,
    text_sentence,
    verdict_lines,
)

MAX_COLUMNS = 3  # arms beside each other in 80 columns
INDENT = 6
LARGEST_GROUPS = ("total", "decoder_weight")


def render_comparison(comparison: Comparison) -> RenderableType:
    """The whole answer for a terminal."""
    has_few_arms = len(comparison.arms) <= MAX_COLUMNS
    tables = _tables_of_few_arms if has_few_arms else _tables_of_many_arms
    has_brackets = len(comparison.seeds) > 1
    signs = ", in brackets the 95 % interval" if has_brackets else ""
    if has_few_arms:
        signs = ", in parentheses the accuracy"
    parts: list[RenderableType] = [
        Text(heading(comparison), style="bold"),
        *(Text(printable(line), style="bold yellow") for line in differing_lines(comparison)),
        *contrast_parts(comparison.contrasts),
        Text(printable(f"{text_sentence(comparison)} {pace_sentence(comparison)}")),
        *tables(comparison),
        Text(f"± is the standard deviation over seeds{signs}. {WARNING}", style="dim"),
        *(Text(printable(f"note: {note}"), style="yellow") for note in comparison.notes),
        *_tuning_parts(comparison),
    ]
    if has_few_arms:
        brackets = [Text("in brackets is the 95 % interval", style="dim")] if has_brackets else []
        parts += [Text(), _verdict_text(comparison), *brackets, *map(Text, basis_lines(comparison))]
    return Group(*parts)


def contrast_parts(results: Sequence[ContrastResult]) -> list[RenderableType]:
    """The planned contrasts, two lines each, and why some are not decided; nothing where there are none."""
    if not results:
        return []
    parts: list[RenderableType] = [Text("Planned contrasts, nats a token")]
    for verdict, basis in contrast_lines(results):
        line = Text(verdict)
        line.highlight_regex(r"\b(as predicted|equal within ± \S+)(?=: )", "bold green")
        line.highlight_regex(r"\b(inconclusive|no verdict|contrary to the prediction)(?=: )", "bold yellow")
        parts += [line, Padding(Text(printable(basis)), (0, 0, 0, INDENT))]
    return [*parts, *map(Text, contrast_reasons(results)), Text()]


def _tuning_parts(comparison: Comparison) -> list[RenderableType]:
    """Where each arm's loss was lowest, and what fewer trials find."""
    if comparison.tuning is None:
        return []
    parts: list[RenderableType] = [Text(printable(line)) for line in lowest_sentences(comparison.tuning)]
    expected = expected_table(comparison)
    return parts if expected is None else [*parts, Text(), draw(expected), Text(EXPECTED, style="dim")]


def draw(table: Table, bold: Collection[str] = (), dim: Collection[str] = ()) -> RichTable:
    """A table of a report; rows of these names stand out, or stand back."""
    drawn = plain_table(*table.header)
    for name, *cells in table.rows:
        drawn.add_row(name, *cells, style="bold" if name in bold else "dim" if name in dim else "")
    return drawn


def _tables_of_few_arms(comparison: Comparison) -> list[RenderableType]:
    """An arm a column."""
    parameters = draw(parameter_table(comparison), bold=LARGEST_GROUPS)
    saved = saved_text(comparison.saved.formula, comparison.saved.fraction)
    return [parameters, saved, Text(), draw(perplexity_table(comparison))]


def _tables_of_many_arms(comparison: Comparison) -> list[RenderableType]:
    """An arm a row, beside its difference from the first; a table a split."""
    parts: list[RenderableType] = [saved_text(comparison.saved.formula, comparison.saved.fraction)]
    for split in next(iter(comparison.arms.values())).metrics:
        table = draw(narrow_arms_table(comparison, split), dim=("unigram",))
        table.columns[0].no_wrap = table.columns[3].no_wrap = True
        parts += [Text(), table]
    seeds = count_seeds(len(comparison.seeds))
    missed = f"± under inconclusive: {seeds} are too few; a difference below that would usually be missed"
    has_missed = any(map(is_inconclusive, comparison.differences))
    return [*parts, *(Text(line) for line in [*([missed] if has_missed else []), *reasons(comparison)])]


def _verdict_text(comparison: Comparison) -> Text:
    text = Text("\n".join(verdict_lines(comparison)), no_wrap=True, overflow="ignore")
    text.highlight_regex(r"\b\S+ better\b", "bold green")
    text.highlight_regex(r"\b(inconclusive|no verdict)\b", "bold yellow")
    return text


def render_record(record: RunRecord) -> RenderableType:
    """One run in a few lines."""
    header = Text(f"{record.experiment}: {record.run}", style="bold")
    valid = record.metrics["valid"]
    across = f"valid: {valid.bits_per_byte:.4f} bits a byte, {valid.nats_per_word:.4f} nats a word"
    if valid.num_unk:
        across += f"; {percent(valid.unk_fraction)} of its tokens are [UNK]"
    cost = f"{sum(record.parameters.values()):,} parameters; {record.cost.train_seconds:,.0f} s of training"
    return Group(header, draw(record_table(record)), Text(across), Text(cost), Text(WARNING, style="dim"))

"""Parameter counts → what a person reads in a terminal. Formats, never computes."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, OverflowMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tiedlm.counting.closed_forms.parameter_bytes import TRAINING_RECIPES
from tiedlm.counting.closed_forms.parameters import MASKED_FRACTION, ParameterCount
from tiedlm.counting.cross_check import Answer
from tiedlm.counting.shown.count_tables import (
    LIST_LEGEND,
    MAX_COLUMNS,
    OUTPUT_MATRIX,
    active_sentence,
    cost_rows,
    group_rows,
    list_rows,
    percent,
    product,
    saved_sentence,
    side_rows,
    size,
    tie_words,
    what_if_lines,
    what_if_rows,
)
from tiedlm.counting.stored.tie_verdict import CheckpointCount
from tiedlm.errors import printable
from tiedlm.markup.page_parts import Grid

BAR_WIDTH = 24
LEGEND = "▒ the output matrix, which a tied model does not store again"
COPIES = {
    "one": "stored once",
    "identical": "both stored, bit for bit the same",
    "different": "two different matrices",
    "unknown": "both stored, and not compared",
}


def render_answer(answer: Answer) -> RenderableType:
    """One model: groups as bars, tied and untied side by side, the V × H rectangle set apart, and what it costs."""
    count = answer.count
    parts: list[RenderableType] = [_title(count)]
    if answer.by_names:
        parts.append(Text(answer.by_names, style="yellow"))
    if answer.checkpoint is not None:
        parts += [_checkpoint_lines(answer.checkpoint)]
        if answer.checkpoint.mismatch:
            mismatch = Text(answer.checkpoint.mismatch, style="bold red")
            parts.append(Panel(mismatch, title="TIE MISMATCH", border_style="bold red", expand=False))
    parts += [_group_table(count), _saved_panel(count), _table(cost_rows(count)), _cost_text(count)]
    if count.other_totals:
        parts.append(_other_totals(count))
    parts += [Text(f"note: {note}", style="yellow") for note in answer.notes]
    return Group(*parts)


def render_notes(answer: Answer) -> RenderableType:
    """The notes of one of several models, by its name."""
    notes = [f"note, {printable(answer.count.name)}: {note}" for note in answer.notes]
    return Group(*(Text(note, style="yellow") for note in notes))


NAMES_SHOWN = 3


def _title(count: ParameterCount) -> Text:
    tie, who = tie_words(count)
    title = Text.assemble((printable(count.name), "bold"), f": {count.architecture or 'a checkpoint'}, ", (tie, "bold"))
    return title.append(f"\n{tie} {who}", style="dim") if who else title


def _checkpoint_lines(checkpoint: CheckpointCount) -> Text:
    output = checkpoint.output_embedding
    names = checkpoint.input_embedding.name + (f" and {output.name}" if output else "")
    names += " (the output matrix)" if checkpoint.pair.only_output else ""
    dtypes = ", ".join(f"{number:,} {dtype}" for dtype, number in checkpoint.dtypes.items())
    lines = [
        f"{checkpoint.num_tensors:,} tensors, {size(checkpoint.num_bytes)}: {dtypes}",
        f"embeddings: {names}; {COPIES[checkpoint.copies]}",
    ]
    again = "not compared, taken for a copy" if checkpoint.copies == "unknown" else "a copy, counted once"
    lines += [f"{again}: {name}, {number:,}" for name, number in checkpoint.duplicates.items()]
    lines += [f"no parameters, not counted: {kind}, {number:,}" for kind, number in checkpoint.not_parameters.items()]
    lines += [
        f"with a row for each word, under no known name: {name}" for name in checkpoint.pair.may_be_output[:NAMES_SHOWN]
    ]
    return Text("\n".join(lines))


def _group_table(count: ParameterCount) -> RenderableType:
    shown = group_rows(count)
    table = plain_table(*shown.header)
    table.add_column()
    for group, *numbers in shown.rows:
        is_output = group == OUTPUT_MATRIX and not count.no_tie
        number = count.saved if is_output else count.groups[group]
        bar = _bar(number / count.total_untied, "▒" if is_output else "█")
        table.add_row(group, *numbers, bar, style="bold cyan" if is_output else "")
    table.add_section()
    styles = {True: ("bold", "dim"), False: ("dim", "bold"), None: ("", "")}[count.tie_word_embeddings]
    for title, *numbers in shown.sums:
        table.add_row(Text(title, "bold"), *map(Text, numbers, styles), "")
    return table if count.no_tie else Group(table, Text(f" {LEGEND}\n", style="dim"))


def _bar(fraction: float, block: str) -> str:
    """To an eighth of a block, and never nothing."""
    eighths = max(1, round(8 * BAR_WIDTH * fraction))
    whole, rest = divmod(eighths, 8)
    if block != "█":
        return block * max(1, round(eighths / 8))
    return block * whole + "▏▎▍▌▋▊▉"[rest - 1 : rest or -8]


def _saved_panel(count: ParameterCount) -> Panel:
    if count.no_tie:
        return Panel(Text(count.no_tie), title_align="left", border_style="cyan", expand=False)
    formula, rest = saved_sentence(count)
    text = Text.assemble((formula, "bold cyan"), f" {rest}")
    return Panel(text, title=product(count), title_align="left", border_style="cyan", expand=False)


def _cost_text(count: ParameterCount) -> Text:
    active = active_sentence(count)
    lines = [active] if active else []
    everywhere = count.head_fraction()
    if everywhere is not None:
        share = f"The head's share of the forward pass is {percent(everywhere)}"
        masked = count.head_fraction(MASKED_FRACTION)
        if count.is_masked_lm and masked is not None:
            share += f", or {percent(masked)} if only the {100 * MASKED_FRACTION:.0f} % masked positions reach it"
        stacks = ", one token through each stack" if {"encoder_layers", "decoder_layers"} <= _present(count) else ""
        lines.append(f"{share} (without attention scores{stacks}).")
    if not count.no_tie:
        lines.append("Tying changes memory, not FLOPs: the head multiplies by V × H either way.")
    recipes = [
        f"{recipe.weights} + {recipe.gradients} + {recipe.optimizer} {recipe.title}"
        for recipe in TRAINING_RECIPES.values()
    ]
    lines.append(
        f"Training: bytes a parameter of weights + gradients + AdamW, without activations: {', '.join(recipes)}."
    )
    return Text("\n".join(lines), style="dim")


def _present(count: ParameterCount) -> set[str]:
    return {group for group, number in count.groups.items() if number}


def _other_totals(count: ParameterCount) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right")
    for what, total in count.other_totals.items():
        grid.add_row(f"{total:,}", Text(what, style="dim"))
    return Group(Text("\nOther totals that you may meet for this model:"), grid)


def render_counts(counts: Sequence[ParameterCount]) -> RenderableType:
    """A line a model, 80 columns wide."""
    return Group(_dense_table(list_rows(counts)), Text(f"\n{LIST_LEGEND}", style="dim"))


def render_sides(counts: Sequence[ParameterCount]) -> RenderableType:
    """Models side by side; where they are too many for that, a line each."""
    return render_counts(counts) if len(counts) > MAX_COLUMNS else _table(side_rows(counts), overflow="fold")


def render_what_if(counts: Sequence[ParameterCount]) -> RenderableType:
    """The model and its variants, a line each, 80 columns wide."""
    lines = what_if_lines(counts)
    return Group(Text(), _dense_table(what_if_rows(counts), "bold"), Text("\n" + "\n".join(lines), style="dim"))


def _table(shown: Grid, overflow: OverflowMethod = "ellipsis") -> Table:
    table = plain_table(*shown.header)
    for column in table.columns:
        column.overflow = overflow
    for row in shown.rows:
        table.add_row(*map(Text, row))
    return table


def _dense_table(shown: Grid, first_style: str = "") -> Table:
    """As wide as it must be: its numbers are never cut."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column(shown.header[0], overflow="fold")
    for column in shown.header[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for place, row in enumerate(shown.rows):
        table.add_row(*map(Text, row), style="" if place else first_style)
    return table


def saved_text(formula: str, fraction: float) -> Text:
    """The V × H sentence."""
    return Text.assemble("V × H = ", (f"{formula} saved, {percent(fraction)}", "bold"), " of the untied model")


def plain_table(name_column: str, *number_columns: str) -> Table:
    """A first column of names, then numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(name_column)
    for column in number_columns:
        table.add_column(column, justify="right")
    return table

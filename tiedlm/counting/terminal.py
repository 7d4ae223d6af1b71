"""Parameter counts → what a person reads in a terminal. Formats, never computes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tiedlm.counting.cross_check import Answer
from tiedlm.counting.parameters import (
    CHECKPOINT_BYTES,
    MASKED_FRACTION,
    TRAINING_RECIPES,
    ParameterCount,
    saved_formula,
)
from tiedlm.counting.tie_verdict import CheckpointCount
from tiedlm.errors import printable

BAR_WIDTH = 24
OUTPUT_MATRIX = "decoder_weight"
CHECKPOINT_TITLES = {"float32": "checkpoint, fp32", "bfloat16": "checkpoint, bf16"}
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
    if answer.checkpoint is not None:
        parts += [_checkpoint_lines(answer.checkpoint)]
        if answer.checkpoint.mismatch:
            mismatch = Text(answer.checkpoint.mismatch, style="bold red")
            parts.append(Panel(mismatch, title="TIE MISMATCH", border_style="bold red", expand=False))
    parts += [_group_table(count), _saved_panel(count), _cost_table(count), _cost_text(count)]
    if count.other_totals:
        parts.append(_other_totals(count))
    parts += [Text(f"note: {note}", style="yellow") for note in answer.notes]
    return Group(*parts)


NAMES_SHOWN = 3
TIES = {True: "tied", False: "untied", None: "one embedding matrix, and nothing tells whether a head shares it"}


def _title(count: ParameterCount) -> Text:
    tie = count.no_tie or TIES[count.tie_word_embeddings]
    title = Text.assemble((printable(count.name), "bold"), f": {count.architecture or 'a checkpoint'}, ", (tie, "bold"))
    if count.source and count.no_tie is None:
        title.append(f"\n{tie} according to {count.source}", style="dim")
    return title


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
        f"of the embeddings' shape, under no known name: {name}" for name in checkpoint.pair.may_be_output[:NAMES_SHOWN]
    ]
    return Text("\n".join(lines))


def _group_table(count: ParameterCount) -> Table:
    table = plain_table("group", "tied", "untied")
    table.add_column()
    for group, number in count.groups.items():
        is_output = group == OUTPUT_MATRIX and count.output_shape is None
        untied = count.saved if is_output else number
        if untied:
            bar = Text(_bar(untied / count.total_untied, "▒" if is_output else "█"))
            tied = "shared" if is_output else f"{number:,}"
            table.add_row(group, tied, f"{untied:,}", bar, style="bold cyan" if is_output else "")
    table.add_section()
    styles = ("bold", "dim") if count.tie_word_embeddings else ("dim", "bold")
    if count.tie_word_embeddings is None:
        styles = ("", "")
    totals = (Text(f"{count.total_tied:,}", styles[0]), Text(f"{count.total_untied:,}", styles[1]))
    table.add_row(Text("total", "bold"), *totals, "")
    return table


def _bar(fraction: float, block: str) -> str:
    """To an eighth of a block, and never nothing."""
    eighths = max(1, round(8 * BAR_WIDTH * fraction))
    whole, rest = divmod(eighths, 8)
    if block != "█":
        return block * max(1, round(eighths / 8))
    return block * whole + "▏▎▍▌▋▊▉"[rest - 1 : rest or -8]


def _saved_panel(count: ParameterCount) -> Panel:
    if count.output_shape is not None:
        return Panel(Text(str(count.no_tie)), title_align="left", border_style="cyan", expand=False)
    width = "H" if count.embedding_size == count.hidden_size else "E"
    verb = {True: "saved", False: "to be saved by tying", None: "in a matrix"}[count.tie_word_embeddings]
    formula = saved_formula(count.vocab_size, count.embedding_size)
    text = Text.assemble((formula, "bold cyan"), f" {verb}, ", (percent(count.saved_fraction), "bold"))
    text.append(" of the untied model")
    return Panel(text, title=f"V × {width}", title_align="left", border_style="cyan", expand=False)


def _cost_table(count: ParameterCount) -> Table:
    table = plain_table("what it costs", "tied", "untied", "saved")
    numbers = (count.total_tied, count.total_untied, count.saved)
    for precision, num_bytes in CHECKPOINT_BYTES.items():
        table.add_row(CHECKPOINT_TITLES[precision], *(size(num_bytes * number) for number in numbers))
    for recipe in TRAINING_RECIPES.values():
        terms = f"{recipe.weights} + {recipe.gradients} + {recipe.optimizer}"
        table.add_row(f"{recipe.title} ({terms})", *(size(recipe.total * number) for number in numbers))
    if count.head_flops is not None:
        flops = f"{count.head_flops / 1e6:,.1f} M"
        table.add_row("head, forward FLOPs a predicted token", flops, flops, "0")
    return table


def _cost_text(count: ParameterCount) -> Text:
    lines = []
    everywhere = count.head_fraction()
    if everywhere is not None:
        share = f"The head's share of the forward pass is {percent(everywhere)}"
        masked = count.head_fraction(MASKED_FRACTION)
        if count.is_masked_lm and masked is not None:
            share += f", or {percent(masked)} if only the {100 * MASKED_FRACTION:.0f} % masked positions reach it"
        stacks = ", one token through each stack" if {"encoder_layers", "decoder_layers"} <= _present(count) else ""
        lines.append(f"{share} (without attention scores{stacks}).")
    lines.append("Tying changes memory, not FLOPs: the head multiplies by V × H either way.")
    lines.append("Training: bytes a parameter of weights + gradients + AdamW, without activations.")
    return Text("\n".join(lines), style="dim")


def _present(count: ParameterCount) -> set[str]:
    return {group for group, number in count.groups.items() if number}


def _other_totals(count: ParameterCount) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right")
    for what, total in count.other_totals.items():
        grid.add_row(f"{total:,}", Text(what, style="dim"))
    return Group(Text("\nOther totals that you may meet for this model:"), grid)


def render_counts(counts: Iterable[ParameterCount]) -> RenderableType:
    """A line a model, 80 columns wide."""
    table = _dense_table("model", "V", "H or E/H", "tied", "parameters", "V × E", "share")
    for count in counts:
        tied = "yes" if count.tie_word_embeddings else "no"
        table.add_row(count.name, f"{count.vocab_size:,}", _width(count), tied, f"{count.total:,}", *_saved(count))
    legend = "V × E: saved where tied, to be saved where not; E = H unless given. share: of the untied model."
    return Group(table, Text(f"\n{legend}", style="dim"))


def render_what_if(counts: Sequence[ParameterCount]) -> RenderableType:
    """The model and its variants, a line each, 80 columns wide."""
    table = _dense_table("what if", "V", "H or E/H", "tied", "untied", "V × E", "share")
    for count in counts:
        cells = (f"{count.vocab_size:,}", _width(count), f"{count.total_tied:,}", f"{count.total_untied:,}")
        is_model = count is counts[0]
        table.add_row("as it is" if is_model else "", *cells, *_saved(count), style="bold" if is_model else "")
    lines = []
    if len({count.hidden_size for count in counts}) > 1:
        lines.append("With hidden_size, intermediate_size and head_dim change in proportion, and E where E = H.")
    architectures = {count.architecture for count in counts[1:]} - {counts[0].architecture}
    lines += [f"Factorised as {name} is." for name in sorted(filter(None, architectures))]
    return Group(Text(), table, Text("\n" + "\n".join(lines), style="dim"))


def _dense_table(name_column: str, *number_columns: str) -> Table:
    """As wide as it must be: its numbers are never cut."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column(name_column, overflow="fold")
    for column in number_columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _width(count: ParameterCount) -> str:
    if count.embedding_size == count.hidden_size:
        return f"{count.hidden_size:,}"
    return f"{count.embedding_size}/{count.hidden_size}"


def _saved(count: ParameterCount) -> tuple[str, str]:
    return f"{count.saved:,}", percent(count.saved_fraction)


def saved_text(formula: str, fraction: float) -> Text:
    """The V × H sentence."""
    return Text.assemble("V × H = ", (f"{formula} saved, {percent(fraction)}", "bold"), " of the untied model")


def percent(fraction: float) -> str:
    """`38.1 %`."""
    return f"{100 * fraction:.1f} %"


def size(num_bytes: float) -> str:
    """`438.1 MB`; a kB is 1,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.95:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:,.{2 if unit == 'GB' else 1}f} {unit}"
        num_bytes /= 1_000
    return f"{num_bytes:,.2f} TB"


def plain_table(name_column: str, *number_columns: str) -> Table:
    """A first column of names, then numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(name_column)
    for column in number_columns:
        table.add_column(column, justify="right")
    return table

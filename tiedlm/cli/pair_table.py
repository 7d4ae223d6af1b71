"""What `tiedlm evaluate A B` shows: both models, how far they are apart, and what that number is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiedlm.cli.evaluation_table import bands_table, blocks_words, model_line, tokenizer_notes
from tiedlm.errors import printable

if TYPE_CHECKING:
    from tiedlm.exchange.model_pair import BandOfPair, PairEvaluation

INTERVAL = (
    "The 95 % interval is over the choice of text alone, not over seeds: a model of another seed may lie outside it. "
    "So one pair of models has no verdict; tiedlm compare trains several seeds of each arm and gives one."
)
SAME_TOKENS = "Both models predict the same tokens, in the same blocks and under the same masks."
STRETCHES = (
    "Each difference is summed over the same stretches of the text, of whole lines. There is none by frequency, since "
    "it would not be of the same tokens in the same places."
)
NO_BANDS = "There is no difference by frequency: the two do not find the same tokens in train."


def render_pair(pair: PairEvaluation) -> RenderableType:
    """For a terminal of 80 columns or more."""
    parts: list[RenderableType] = []
    for name, model in (("A", pair.a), ("B", pair.b)):
        words = f"{model_line(model)}, {blocks_words(model)}"
        parts += [Text(printable(f"{name}  {model.model}")), Padding(Text(printable(words)), (0, 0, 0, 3))]
    parts += [Text(printable(f"{pair.a.corpus}, {pair.a.precision}")), Text(), _splits(pair), Text()]
    has_bands = all(split.bands for split in pair.splits)
    if has_bands:
        parts += [_bands(pair), Text()]
    told = [f"B − A is the loss of B less that of A, in {pair.unit}: below 0, B predicts this text better.", INTERVAL]
    told.append(SAME_TOKENS if not pair.unlike else f"In bits a byte, since {' and '.join(pair.unlike)}. {STRETCHES}")
    told += [] if pair.unlike or has_bands else [NO_BANDS]
    told += pair.notes
    for name, model in (("A", pair.a), ("B", pair.b)):
        told += [f"{name}, {note}" for note in (*tokenizer_notes(model), *model.notes)]
    return Group(*parts, *(Text(printable(line)) for line in told))


def _splits(pair: PairEvaluation) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title=pair.unit.capitalize(), title_justify="left")
    table.add_column("")
    size = "bytes" if pair.unlike else "tokens"
    for title in ("A", "B", "B − A", "95 % interval", size):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for split in pair.splits:
        low, high = split.ci95
        table.add_row(
            split.split,
            f"{split.a:.4f}",
            f"{split.b:.4f}",
            f"{split.difference:+.4f}",
            Text(f"[{low:+.4f}, {high:+.4f}]"),
            f"{split.size:,}" + ("" if split.share == 1.0 else f", {split.share:.1%}"),
        )
    return table


def _bands(pair: PairEvaluation) -> Table:
    least = [band.least_count for band in pair.splits[0].bands or []]
    table = bands_table(least)
    for split in pair.splits:
        for name in ("A", "B", "B − A"):
            table.add_row(f"{split.split} {name}", *(_cell(band, name) for band in split.bands or []))
    return table


def _cell(band: BandOfPair, name: str) -> str:
    value = {"A": band.a, "B": band.b, "B − A": band.difference}[name]
    return "–" if value is None else f"{value:+.3f}" if name == "B − A" else f"{value:.3f}"

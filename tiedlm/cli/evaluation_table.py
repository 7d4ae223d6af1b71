"""What `tiedlm evaluate` shows: the model, and a table of splits and of frequency bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiedlm.errors import printable

if TYPE_CHECKING:
    from tiedlm.exchange.text_evaluation import Evaluation


def render_evaluation(evaluation: Evaluation) -> RenderableType:
    """For a terminal."""
    lines = [
        evaluation.model,
        model_line(evaluation),
        f"{evaluation.corpus}, {blocks_words(evaluation)}, {evaluation.precision}",
    ]
    notes = [
        "Masked-LM perplexity predicts masked tokens from both sides; it is not comparable with a causal perplexity, "
        "nor with that of another vocabulary. Bits a byte are, of the same text."
    ]
    if any(split.share < 1.0 for split in evaluation.splits):
        notes.append("Bits a byte of a part of a split: at the whole split's number of bytes a token.")
    notes += tokenizer_notes(evaluation)
    notes += evaluation.notes
    return Group(
        *(Text(printable(line)) for line in lines),
        "",
        _splits(evaluation),
        "",
        _bands(evaluation),
        "",
        *map(Text, notes),
    )


def model_line(evaluation: Evaluation) -> str:
    """Its class, its size and its tie."""
    tie = "tied" if evaluation.is_tied else "untied"
    return f"{evaluation.kind}, {evaluation.num_parameters:,} parameters, {tie} as measured on its tensors"


def blocks_words(evaluation: Evaluation) -> str:
    """In what the text is read."""
    return f"blocks of {evaluation.seq_length} tokens, {'with' if evaluation.has_line_ends else 'without'} line ends"


def tokenizer_notes(evaluation: Evaluation) -> list[str]:
    """What its tokenizer does not read of each split."""
    notes = []
    for split in evaluation.splits:
        if split.num_unk:
            notes.append(f"{split.split}: its tokenizer does not know {split.num_unk:,} of the tokens.")
        if split.num_bytes_left_out:
            notes.append(
                f"{split.split}: its tokenizer leaves out {split.num_bytes_left_out:,} bytes, characters that it has "
                "no token for."
            )
    return notes


def _splits(evaluation: Evaluation) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for title in ("perplexity", "accuracy", "bits a byte", "unigram", "[UNK]", "tokens"):
        table.add_column(Text(title), justify="right")
    for split in evaluation.splits:
        tokens = f"{split.num_tokens:,}" + ("" if split.share == 1.0 else f", {split.share:.1%}")
        table.add_row(
            split.split,
            f"{split.masked_lm_perplexity:,.2f}",
            f"{split.masked_lm_accuracy:.1%}",
            f"{split.bits_per_byte:.3f}",
            f"{split.unigram_perplexity:,.0f}",
            f"{split.unk_fraction:.1%}",
            tokens,
        )
    return table


def _bands(evaluation: Evaluation) -> Table:
    table = bands_table([band.least_count for band in evaluation.splits[0].bands])
    for split in evaluation.splits:
        table.add_row(
            split.split, *("–" if band.loss_nats is None else f"{band.loss_nats:.3f}" for band in split.bands)
        )
    return table


def bands_table(least_counts: Sequence[int]) -> Table:
    """A first column of names, and one for each frequency band."""
    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        title="Nats a token, by how often the token occurs in train",
        title_justify="left",
    )
    table.add_column("")
    for low, high in zip(least_counts, [*least_counts[1:], None], strict=True):
        table.add_column(f"{low:,} to {high - 1:,}" if high else f"{low:,} or more", justify="right")
    return table

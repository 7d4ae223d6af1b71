"""Records → the table of runs: what is shown in each cell, and the number behind it as the record has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tiedlm.config.corpus_config import SPLITS
from tiedlm.counting.shown.count_tables import percent
from tiedlm.record.run_record import RunRecord


class Cell(NamedTuple):
    """One value of one run."""

    shown: str
    value: str
    """As it is sorted and saved: a number with all its digits."""


class RunTable(NamedTuple):
    """A row a run, an entry a column; the first column names the row."""

    names: list[str]
    """What a column is called where it is saved."""
    labels: list[str]
    rows: list[list[Cell]]


def run_table(records: Sequence[RunRecord]) -> RunTable:
    """All runs of a comparison. Numbers, names and a hash alone: no text of a record can be a spreadsheet's formula."""
    rows = [_cells(record) for record in records]
    return RunTable(
        names=list(rows[0]),
        labels=[label for label, _ in rows[0].values()],
        rows=[[cell for _, cell in row.values()] for row in rows],
    )


def _cells(record: RunRecord) -> dict[str, tuple[str, Cell]]:
    """By the column's name, its label and the run's cell."""
    cells: dict[str, tuple[str, Cell]] = {
        "arm": ("arm", Cell(record.arm, record.arm)),
        "seed": ("seed", _number(record.seed)),
        "parameters": ("parameters", _number(sum(record.parameters.values()))),
    }
    for split in SPLITS:
        if split in record.metrics:
            metrics = record.metrics[split]
            shown: dict[str, tuple[str, float, Callable[[float], str]]] = {
                "masked_lm_perplexity": ("perplexity", metrics.masked_lm_perplexity, "{:,.2f}".format),
                "masked_lm_loss_nats": ("nats a token", metrics.masked_lm_loss_nats, "{:.4f}".format),
                "masked_lm_accuracy": ("accuracy", metrics.masked_lm_accuracy, percent),
                "bits_per_byte": ("bits a byte", metrics.bits_per_byte, "{:.4f}".format),
            }
            cells |= {
                f"{split}_{name}": (f"{split} {label}", Cell(write(value), repr(value)))
                for name, (label, value, write) in shown.items()
            }
    cost = record.cost
    cells |= {
        "train_seconds": ("training, seconds", Cell(f"{cost.train_seconds:,.0f}", repr(cost.train_seconds))),
        "tokens_per_second": ("tokens a second", Cell(f"{cost.tokens_per_second:,.0f}", repr(cost.tokens_per_second))),
        "peak_memory_bytes": ("peak memory, bytes", _number(cost.peak_memory_bytes)),
        "checkpoint_bytes": ("checkpoint, bytes", _number(cost.checkpoint_bytes)),
        "sha256": ("SHA-256 of the record", Cell(record.sha256[:12] + "…", record.sha256)),
    }
    return cells


def _number(value: int) -> Cell:
    return Cell(f"{value:,}", str(value))

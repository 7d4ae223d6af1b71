"""Comparison and scan → CSV: the figures behind the tables, for a spreadsheet or another program. Computes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from tiedlm.comparison.comparison import METRICS, Comparison
from tiedlm.comparison.scan_result import Scan

CURVE = ("step", "num_tokens", "train_seconds", "train_loss_nats", "valid_loss_nats")
"""Of a point, as its record calls it."""


def comparison_csv(comparison: Comparison) -> str:
    """A line for each arm, seed and split; differences follow from lines of one seed and split."""
    header = ["experiment", "arm", "seed", "split", "parameters", *METRICS, "num_tokens", "unigram_perplexity"]
    rows = (
        [
            *(comparison.experiment, arm, seed, split, summary.parameters["total"]),
            *(getattr(metrics, name).values[place] for name in METRICS),
            *(metrics.num_tokens, metrics.unigram_perplexity),
        ]
        for arm, summary in comparison.arms.items()
        for place, seed in enumerate(summary.curves)
        for split, metrics in summary.metrics.items()
    )
    return _csv(header, rows)


def scan_csv(scan: Scan) -> str:
    """A line for each cell, pair of arms and split; without an interval where the cell has no verdict.

    The column of the differences names their unit, in which the ends of the intervals are too.
    """
    keys = list(scan.design.values)
    delta = "delta_bits_per_byte" if scan.is_across_vocabularies else "delta_nats"
    header = [*keys, "arm", "minus_arm", "split", "seeds", delta, "ci95_low", "ci95_high", "verdict"]
    rows = (
        [
            *(cell.values[key] for key in keys),
            *(test.arms[1], test.arms[0], test.split, len(cell.seeds)),
            *(result.mean, *(result.ci95 or ("", "")), result.verdict),
        ]
        for cell in scan.cells
        for test in scan.tests
        if (result := test.cells.get(cell.folder)) is not None
    )
    return _csv(header, rows)


def curves_csv(comparison: Comparison) -> str:
    """A line for each arm, seed and point of its learning curve, the untrained model first.

    The losses are estimates from one evaluation fold of evenly spaced blocks of train and of valid.
    """
    header = ["experiment", "arm", "seed", *CURVE]
    rows = (
        [comparison.experiment, arm, seed, *(getattr(point, name) for name in CURVE)]
        for arm, summary in comparison.arms.items()
        for seed, curve in summary.curves.items()
        for point in curve
    )
    return _csv(header, rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()

"""Comparison and scan → CSV: the figures behind the tables, for a spreadsheet or another program. Computes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from tiedlm.comparison.comparison import METRICS, Comparison
from tiedlm.comparison.scan_result import Scan


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
    """A line for each cell, pair of arms and split; without an interval where the cell has no verdict."""
    keys = list(scan.design.values)
    header = [*keys, "arm", "minus_arm", "split", "seeds", "delta_nats", "ci95_low", "ci95_high", "verdict"]
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


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()

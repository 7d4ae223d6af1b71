"""Comparison and scan → CSV: the figures behind the tables, for a spreadsheet or another program. Computes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.tabular import Row


def comparison_csv(comparison: Comparison) -> str:
    """A line for each arm, seed and split."""
    return _csv(comparison.tables()["runs"])


def scan_csv(scan: Scan) -> str:
    """A line for each cell, pair of arms and split.

    The column of the differences names their unit, in which the ends of the intervals are too.
    """
    return _csv(scan.tables()["cells"])


def curves_csv(comparison: Comparison) -> str:
    """A line for each arm, seed and point of its learning curve, the untrained model first.

    The losses are estimates from one evaluation fold of evenly spaced blocks of train and of valid.
    """
    return _csv(comparison.tables()["curves"])


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

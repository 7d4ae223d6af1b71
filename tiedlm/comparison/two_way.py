"""A table of rows × seeds, split into what a row adds, what a seed adds to all rows, and the rest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

ROUNDING = 1e-12  # of the largest value: what is smaller is the rounding of sums, not variance


class TwoWay(NamedTuple):
    """A randomized block design, of additive effects: a row a treatment, a seed a block (Fisher 1935, chapter 4)."""

    row_means: list[float]
    residuals: list[list[float]]
    residual_variance: float
    residual_freedom: int
    seed_variance: float
    """The mean square of seeds: near the residual variance where a seed adds nothing to all rows alike."""


def two_way(rows: Sequence[Sequence[float]]) -> TwoWay | None:
    """Split rows that have a value for each of the same seeds; None where a row, or its residual, has no variance."""
    num_seeds = len(rows[0]) if rows else 0
    if len(rows) < 2 or num_seeds < 2:
        return None
    row_means = [statistics.fmean(row) for row in rows]
    mean = statistics.fmean(row_means)
    of_seed = [statistics.fmean(values) - mean for values in zip(*rows, strict=True)]
    residuals = [
        [value - row_mean - added for value, added in zip(row, of_seed, strict=True)]
        for row, row_mean in zip(rows, row_means, strict=True)
    ]
    rounding = ROUNDING * max(abs(value) for row in rows for value in row)
    if any(max(row) - min(row) <= rounding for row in (*rows, *residuals)):
        return None
    freedom = (len(rows) - 1) * (num_seeds - 1)
    return TwoWay(
        row_means=row_means,
        residuals=residuals,
        residual_variance=math.fsum(value**2 for row in residuals for value in row) / freedom,
        residual_freedom=freedom,
        seed_variance=len(rows) * math.fsum(added**2 for added in of_seed) / (num_seeds - 1),
    )

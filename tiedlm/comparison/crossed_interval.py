"""The interval of a mean over seeds and items at once, where every seed has seen every item.

Both are samples: of seeds that might have been drawn, and of words that might have been asked. An interval over items
alone says nothing of another seed, one over seeds alone nothing of other words (Clark 1973, "The
language-as-fixed-effect fallacy"). Items of one group, such as all places of one word, resemble each other, so that it
is groups that count as drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiedlm.comparison.paired_statistics import t_test

Floats = npt.NDArray[np.float64]
FEWEST_GROUPS = 10
"""Fewer, and their variance tells too little for an interval."""


@dataclass(frozen=True)
class CrossedInterval:
    """A mean over seeds and items with its 95 % t-interval."""

    mean: float
    ci95: tuple[float, float] | None
    """None below ten groups of items."""
    p_value: float | None
    """Two-sided; None where there is no interval, and for one seed, which tells nothing of other seeds."""
    num_seeds: int
    num_groups: int


def crossed_interval(values: Floats, groups: npt.NDArray[np.int64]) -> CrossedInterval:
    """The interval of the mean of (S, N) values: S seeds, N items, `groups` (N,) numbering their groups from 0.

    With the variance of the seeds' means v_S, that of the groups' sums v_G and that of what is left v_R, all of the
    mean of all values: v = max(v_S + v_G − v_R, v_S, v_G), since v_S and v_G both hold v_R; and v² / (v_S² / (S − 1) +
    v_G² / (G − 1)) degrees of freedom (the quasi-F of Clark 1973, by Satterthwaite 1946). One seed: v = v_G alone.
    `experiments/pairs/coverage.py` simulates how often it misses the truth.
    """
    num_seeds, num_items = values.shape
    num_groups = int(groups.max()) + 1
    mean, of_seeds, of_items = float(values.mean()), values.mean(1), values.mean(0)
    if num_groups < FEWEST_GROUPS:
        return CrossedInterval(mean, None, None, num_seeds, num_groups)
    unbiased = num_groups / (num_groups - 1)
    groups_variance = unbiased * _square_of_sums(of_items - mean, groups, num_groups) / num_items**2
    if num_seeds == 1:
        variance, freedom = groups_variance, float(num_groups - 1)
    else:
        seeds_variance = float(of_seeds.var(ddof=1)) / num_seeds
        left = values - of_seeds[:, None] - of_items + mean
        left_variance = sum(_square_of_sums(row, groups, num_groups) for row in left) / (num_seeds * num_items) ** 2
        left_variance *= unbiased * num_seeds / (num_seeds - 1)
        variance = max(seeds_variance + groups_variance - left_variance, seeds_variance, groups_variance)
        parts = seeds_variance**2 / (num_seeds - 1) + groups_variance**2 / (num_groups - 1)
        freedom = max(1.0, variance**2 / parts) if parts else 1.0
    if variance == 0:  # all values are equal
        return CrossedInterval(mean, (mean, mean), float(mean == 0) if num_seeds > 1 else None, num_seeds, num_groups)
    test = t_test(mean, math.sqrt(variance), freedom)
    ends = (mean - test.half_width, mean + test.half_width)
    return CrossedInterval(mean, ends, test.p_value if num_seeds > 1 else None, num_seeds, num_groups)


def _square_of_sums(of_items: Floats, groups: npt.NDArray[np.int64], num_groups: int) -> float:
    """Σ over groups of (Σ over its items)²: (N,) → a number."""
    return float(np.square(np.bincount(groups, weights=of_items, minlength=num_groups)).sum())

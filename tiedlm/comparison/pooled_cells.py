"""The differences of all cells of a map, tested by the variance over seeds that they share.

Two seeds a cell give one degree of freedom, and an interval so wide that hardly anything is found. If the variance is
the same in all cells, all of them estimate it: the error mean square of a one-way analysis of variance with cells as
groups. A seed may add to all cells alike, since they share its batches and masks; the degrees of freedom are then fewer
(Satterthwaite 1946). If a test of equal variances (Bartlett 1937) has p ≥ 0.25, the level that is advised where a test
decides on pooling (Bancroft 1964), all cells share one pooled variance; with two seeds this test is weak even so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from pydantic import computed_field

from tiedlm.comparison.comparison import NO_VERDICT, Difference, verdict_of
from tiedlm.comparison.differences import arm_ahead
from tiedlm.comparison.paired_statistics import Delta, equal_variances_p, holm, t_test
from tiedlm.comparison.two_way import two_way
from tiedlm.config.strict import Strict

LEAST_P_TO_POOL = 0.25


class SeedVariance(Strict):
    """Of the differences of one pair of arms over seeds, in the cells that have a verdict."""

    std_nats: float
    """In all cells together."""
    degrees_of_freedom: float
    cell_stds_nats: tuple[float, float]
    """The least and the largest in a cell."""
    equal_variances_p: float
    """Bartlett's: small where variances differ between cells."""

    @property
    def is_pooled(self) -> bool:
        """Whether an interval is by the variance of all cells together, and not by that of its cell."""
        return self.equal_variances_p >= LEAST_P_TO_POOL


class CellResult(Strict):
    """The difference in one cell, as the map shows it."""

    mean: float
    """In nats a token, positive where the first arm is ahead."""
    ci95: tuple[float, float] | None
    """Of the cell alone; None where it has no verdict."""
    p_holm: float | None
    ahead: str | None
    """The arm that is found ahead."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str:
        """In words."""
        return verdict_of(self.ahead, self.p_holm)


class PooledCells(Strict):
    """Two arms on one split, in all cells."""

    arms: tuple[str, str]
    split: str
    variance: SeedVariance | None
    """None where cells have not the same seeds, are fewer than two, or where arms compute the same."""
    num_tests: int
    """On the split, of which Holm's p-values are: every pair of arms in every cell that has a verdict."""
    cells: dict[str, CellResult]


def pooled_cells(split: str, cells: Mapping[str, Sequence[Difference]], has_same_seeds: bool) -> list[PooledCells]:
    """Test what was compared on a split, by cell; a cell without a verdict of its own gets none here."""
    of_pair: dict[tuple[str, str], dict[str, Difference]] = {}
    for name, differences in cells.items():
        for item in differences:
            if item.split == split:
                of_pair.setdefault(item.arms, {})[name] = item
    variances: dict[tuple[str, str], SeedVariance | None] = {}
    intervals: dict[tuple[tuple[str, str], str], tuple[tuple[float, float], float]] = {}
    for arms, found in of_pair.items():
        tested = {name: item.delta_nats for name, item in found.items() if item.verdict != NO_VERDICT}
        variances[arms] = _seed_variance([delta.values for delta in tested.values()]) if has_same_seeds else None
        for name, delta in tested.items():
            intervals[arms, name] = _interval(delta, variances[arms])
    adjusted = dict(zip(intervals, holm([p for _, p in intervals.values()]), strict=True))
    return [
        PooledCells(
            arms=arms,
            split=split,
            variance=variances[arms],
            num_tests=len(adjusted),
            cells={
                name: _result(item, intervals.get((arms, name)), adjusted.get((arms, name)))
                for name, item in found.items()
            },
        )
        for arms, found in of_pair.items()
    ]


def _seed_variance(rows: list[list[float]]) -> SeedVariance | None:
    if len({len(row) for row in rows}) != 1 or (table := two_way(rows)) is None:
        return None
    num_seeds, num_others = len(rows[0]), len(rows) - 1
    within = table.seed_variance + num_others * table.residual_variance  # len(rows) times the variance in a cell
    squares = table.seed_variance**2 + num_others * table.residual_variance**2
    stds = [statistics.stdev(row) for row in rows]
    return SeedVariance(
        std_nats=math.sqrt(within / len(rows)),
        degrees_of_freedom=(num_seeds - 1) * within**2 / squares,
        cell_stds_nats=(min(stds), max(stds)),
        equal_variances_p=equal_variances_p(rows),
    )


def _interval(delta: Delta, variance: SeedVariance | None) -> tuple[tuple[float, float], float]:
    """The t-interval and p of a cell's mean: by the pooled variance, or by the cell's own."""
    if variance is None or not variance.is_pooled:
        assert delta.p_value is not None  # it has a verdict, so it has seeds
        return delta.ci95, delta.p_value
    test = t_test(delta.mean, variance.std_nats / math.sqrt(len(delta.values)), variance.degrees_of_freedom)
    return (delta.mean - test.half_width, delta.mean + test.half_width), test.p_value


def _result(item: Difference, tested: tuple[tuple[float, float], float] | None, p_holm: float | None) -> CellResult:
    ahead = None if p_holm is None else arm_ahead(item.arms, item.delta_nats.mean, p_holm)
    interval = None if tested is None else tested[0]
    return CellResult(mean=item.delta_nats.mean, ci95=interval, p_holm=p_holm, ahead=ahead)

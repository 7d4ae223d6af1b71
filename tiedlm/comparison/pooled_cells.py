"""The differences of all cells of a map, tested by the scatter over seeds that they share.

Two seeds a cell give one degree of freedom, and an interval so wide that hardly anything is found. If seeds scatter as
much in one cell as in another, all cells together tell how much: the error mean square of a one-way analysis of
variance with cells as groups. A seed may add to all cells alike, since they share its batches and masks; the degrees of
freedom are then fewer (Satterthwaite 1946). Cells are pooled where a test of equal scatter (Bartlett 1937) has p ≥
0.25, the level that is advised where a test decides on pooling (Bancroft 1964); with two seeds it is weak even so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from tiedlm.comparison.comparison import NO_VERDICT, Difference
from tiedlm.comparison.differences import winner
from tiedlm.comparison.paired_statistics import Delta, equal_scatter_p, holm, t_test
from tiedlm.comparison.two_way import two_way
from tiedlm.config.strict import Strict

LEAST_P_TO_POOL = 0.25


class Scatter(Strict):
    """How the differences of one pair of arms scatter over seeds, in the cells that have a verdict."""

    std_nats: float
    """In all cells together."""
    degrees_of_freedom: float
    cell_stds_nats: tuple[float, float]
    """The least and the largest in a cell."""
    equal_scatter_p: float
    """Bartlett's: small where cells scatter differently."""

    @property
    def is_pooled(self) -> bool:
        """Whether an interval is by the scatter in all cells together, and not by that in its cell."""
        return self.equal_scatter_p >= LEAST_P_TO_POOL


class CellResult(Strict):
    """The difference in one cell, as the map shows it."""

    mean: float
    """In nats a token, positive where the first arm is ahead."""
    ci95: tuple[float, float] | None
    """Of the cell alone; None where it has no verdict."""
    p_holm: float | None
    verdict: str


class PooledTest(Strict):
    """Two arms on one split, in all cells."""

    arms: tuple[str, str]
    split: str
    scatter: Scatter | None
    """None where cells have not the same seeds, are fewer than two, or where arms compute the same."""
    num_tests: int
    """On the split, of which Holm's p-values are: every pair of arms in every cell that has a verdict."""
    cells: dict[str, CellResult]


def pooled_tests(split: str, cells: Mapping[str, Sequence[Difference]], has_same_seeds: bool) -> list[PooledTest]:
    """Test what was compared on a split, by cell; a cell without a verdict of its own gets none here."""
    of_pair: dict[tuple[str, str], dict[str, Difference]] = {}
    for name, differences in cells.items():
        for item in differences:
            if item.split == split:
                of_pair.setdefault(item.arms, {})[name] = item
    scatters: dict[tuple[str, str], Scatter | None] = {}
    intervals: dict[tuple[tuple[str, str], str], tuple[tuple[float, float], float]] = {}
    for arms, found in of_pair.items():
        tested = {name: item.delta_nats for name, item in found.items() if item.verdict != NO_VERDICT}
        scatters[arms] = _scatter([delta.values for delta in tested.values()]) if has_same_seeds else None
        for name, delta in tested.items():
            intervals[arms, name] = _interval(delta, scatters[arms])
    adjusted = dict(zip(intervals, holm([p for _, p in intervals.values()]), strict=True))
    return [
        PooledTest(
            arms=arms,
            split=split,
            scatter=scatters[arms],
            num_tests=len(adjusted),
            cells={
                name: _result(item, intervals.get((arms, name)), adjusted.get((arms, name)))
                for name, item in found.items()
            },
        )
        for arms, found in of_pair.items()
    ]


def _scatter(rows: list[list[float]]) -> Scatter | None:
    if len({len(row) for row in rows}) != 1 or (table := two_way(rows)) is None:
        return None
    num_seeds, num_others = len(rows[0]), len(rows) - 1
    within = table.seed_variance + num_others * table.residual_variance  # len(rows) times the variance in a cell
    squares = table.seed_variance**2 + num_others * table.residual_variance**2
    stds = [statistics.stdev(row) for row in rows]
    return Scatter(
        std_nats=math.sqrt(within / len(rows)),
        degrees_of_freedom=(num_seeds - 1) * within**2 / squares,
        cell_stds_nats=(min(stds), max(stds)),
        equal_scatter_p=equal_scatter_p(rows),
    )


def _interval(delta: Delta, scatter: Scatter | None) -> tuple[tuple[float, float], float]:
    """The t-interval and p of a cell's mean: by the scatter of all, or by the cell's own."""
    if scatter is None or not scatter.is_pooled:
        assert delta.p_value is not None  # it has a verdict, so it has seeds
        return delta.ci95, delta.p_value
    test = t_test(delta.mean, scatter.std_nats / math.sqrt(len(delta.values)), scatter.degrees_of_freedom)
    return (delta.mean - test.half_width, delta.mean + test.half_width), test.p_value


def _result(item: Difference, tested: tuple[tuple[float, float], float] | None, p_holm: float | None) -> CellResult:
    verdict = NO_VERDICT if p_holm is None else winner(item.arms, item.delta_nats.mean, p_holm)
    return CellResult(
        mean=item.delta_nats.mean, ci95=None if tested is None else tested[0], p_holm=p_holm, verdict=verdict
    )

"""The differences of all cells of a map, tested by the scatter over seeds that they share.

Two seeds a cell give one degree of freedom, and an interval so wide that hardly anything is found. If seeds scatter as
much in one cell as in another, all cells together tell how much: the error mean square of a one-way analysis of
variance with cells as groups (Fisher 1925, chapter 7). Whether they do is tested first (Bartlett 1937), and where they
do not, each cell has the interval of its own.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiedlm.comparison.comparison import INCONCLUSIVE, NO_VERDICT, Difference
from tiedlm.comparison.paired_statistics import CONFIDENCE, Delta, holm
from tiedlm.config import Strict


class CellResult(Strict):
    """The difference in one cell, as the map shows it."""

    mean: float
    """In nats a token, positive where the first arm is ahead."""
    ci95: tuple[float, float] | None
    """None where the cell has no verdict."""
    p_holm: float | None
    verdict: str


class PooledTest(Strict):
    """Two arms on one split, in all cells."""

    arms: tuple[str, str]
    split: str
    is_pooled: bool
    """Whether an interval is by the scatter in all cells together, and not by that in its cell."""
    std_nats: float | None
    """Of a paired difference over seeds, in all cells together; None where no two cells have several seeds."""
    degrees_of_freedom: int
    cell_stds_nats: tuple[float, float] | None
    """The least and the largest in a cell."""
    equal_scatter_p: float | None
    """Bartlett's: small where cells scatter differently."""
    num_tests: int
    """On the split, of which Holm's p-values are: every pair of arms in every cell that has a verdict."""
    cells: dict[str, CellResult]


@dataclass(frozen=True)
class _Scatter:
    """How the differences of one pair of arms scatter over seeds."""

    std_nats: float | None
    degrees_of_freedom: int
    cell_stds_nats: tuple[float, float] | None
    equal_scatter_p: float | None

    @property
    def is_pooled(self) -> bool:
        return self.equal_scatter_p is not None and self.equal_scatter_p >= 1 - CONFIDENCE


def pooled_tests(split: str, cells: Mapping[str, Sequence[Difference]]) -> list[PooledTest]:
    """Test what was compared on a split, by cell; a cell without a verdict of its own gets none here."""
    of_pair: dict[tuple[str, str], dict[str, Difference]] = {}
    for name, differences in cells.items():
        for item in differences:
            if item.split == split:
                of_pair.setdefault(item.arms, {})[name] = item
    scatters = {arms: _scatter([item.delta_nats.values for item in _tested(found)]) for arms, found in of_pair.items()}
    intervals = {
        (arms, name): _interval(item.delta_nats, scatters[arms])
        for arms, found in of_pair.items()
        for name, item in found.items()
        if item.verdict != NO_VERDICT
    }
    adjusted = dict(zip(intervals, holm([p for _, p in intervals.values()]), strict=True))
    return [
        PooledTest(
            arms=arms,
            split=split,
            is_pooled=scatters[arms].is_pooled,
            std_nats=scatters[arms].std_nats,
            degrees_of_freedom=scatters[arms].degrees_of_freedom,
            cell_stds_nats=scatters[arms].cell_stds_nats,
            equal_scatter_p=scatters[arms].equal_scatter_p,
            num_tests=len(adjusted),
            cells={
                name: CellResult(
                    mean=item.delta_nats.mean,
                    ci95=intervals[arms, name][0] if (arms, name) in intervals else None,
                    p_holm=adjusted.get((arms, name)),
                    verdict=_verdict(item, adjusted.get((arms, name))),
                )
                for name, item in found.items()
            },
        )
        for arms, found in of_pair.items()
    ]


def _tested(found: Mapping[str, Difference]) -> list[Difference]:
    return [item for item in found.values() if item.verdict != NO_VERDICT]


def _scatter(groups: list[list[float]]) -> _Scatter:
    from scipy import stats  # here because it takes a second to import

    freedom = sum(len(values) - 1 for values in groups)
    stds = [statistics.stdev(values) for values in groups]
    ends = (min(stds), max(stds)) if stds else None
    if len(groups) < 2 or 0 in stds:  # nothing to compare, or arms that compute the same thing
        return _Scatter(None, freedom, ends, None)
    variance = sum((len(values) - 1) * std**2 for values, std in zip(groups, stds, strict=True)) / freedom
    bartlett = stats.bartlett(*groups)  # of equal variances it has no p-value where rounding makes the statistic < 0
    return _Scatter(math.sqrt(variance), freedom, ends, float(bartlett.pvalue) if bartlett.statistic > 0 else 1.0)


def _interval(delta: Delta, scatter: _Scatter) -> tuple[tuple[float, float], float]:
    """The t-interval and two-sided p of a cell's mean: by the scatter of all, or the cell's own."""
    from scipy import stats  # as above

    if not scatter.is_pooled or scatter.std_nats is None:
        assert delta.p_value is not None  # it has a verdict, so it has seeds
        return delta.ci95, delta.p_value
    error, freedom = scatter.std_nats / math.sqrt(len(delta.values)), scatter.degrees_of_freedom
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return (delta.mean - half, delta.mean + half), float(2 * stats.t.sf(abs(delta.mean) / error, freedom))


def _verdict(item: Difference, p_holm: float | None) -> str:
    if p_holm is None:
        return NO_VERDICT
    if p_holm >= 1 - CONFIDENCE:
        return INCONCLUSIVE
    return f"{item.arms[0] if item.delta_nats.mean > 0 else item.arms[1]} better"

"""The cells of a map tested together: by one pooled variance, if theirs are not found to differ."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import special, stats

from tests.comparison.test_compare import pairs
from tiedlm.comparison.compare import compare
from tiedlm.comparison.comparison import Difference
from tiedlm.comparison.paired_statistics import holm
from tiedlm.comparison.pooled_cells import PooledCells, SeedVariance, pooled_cells

TIED = 4.0


def cells(differences: dict[str, list[float]]) -> dict[str, list[Difference]]:
    return {
        name: compare(pairs([TIED] * len(values), [TIED + value for value in values])).differences
        for name, values in differences.items()
    }


def on_valid(differences: dict[str, list[float]], has_same_seeds: bool = True) -> PooledCells:
    (test,) = pooled_cells("valid", cells(differences), has_same_seeds)
    return test


def variance_of(test: PooledCells) -> SeedVariance:
    assert test.variance is not None
    return test.variance


def test_a_pooled_interval_is_that_of_a_one_way_analysis_where_a_seed_adds_nothing() -> None:
    """Against ordinary least squares on a column a cell. Where the mean squares are equal, no degree is lost."""
    values = {"a": [0.10, 0.14], "b": [0.30, 0.26], "c": [0.04, 0.00], "d": [0.16, 0.20]}  # a seed's mean is the same
    design = np.array([[float(name == of) for of in values] for name in values for _ in values[name]])
    observed = np.array([value for name in values for value in values[name]])
    coefficients, residuals, _, _ = np.linalg.lstsq(design, observed, rcond=None)
    error = math.sqrt(float(residuals[0]) / 4 / 2)
    test = on_valid(values)
    assert variance_of(test).is_pooled
    assert variance_of(test).std_nats / math.sqrt(2) == pytest.approx(error)
    freedom = variance_of(test).degrees_of_freedom
    assert freedom == pytest.approx(3)  # of (k − 1)(n − 1): the mean square of seeds is 0 and says nothing
    for name, mean in zip(values, coefficients, strict=True):
        assert test.cells[name].mean == pytest.approx(mean)
        assert test.cells[name].ci95 == pytest.approx(
            (mean - stats.t.ppf(0.975, freedom) * error, mean + stats.t.ppf(0.975, freedom) * error)
        )
    p_values = (2 * stats.t.sf(np.abs(coefficients / error), freedom)).tolist()
    assert [cell.p_holm for cell in test.cells.values()] == pytest.approx(holm(p_values))
    assert [cell.verdict for cell in test.cells.values()] == [
        "tied better",
        "tied better",
        "inconclusive",
        "tied better",
    ]


@pytest.mark.parametrize(("values", "has_same_seeds"), [
    ({"a": [0.100, 0.101], "b": [0.4, -0.4], "c": [0.2, 0.2002], "d": [0.3, 0.3003]}, True),
    ({"a": [0.10, 0.14], "b": [0.30, 0.26]}, False),
    ({"a": [0.10, 0.14], "b": [0.30, 0.26, 0.28]}, True),
    ({"a": [0.10, 0.14], "b": [0.0, 0.0], "c": [0.2, 0.25]}, True),
])  # fmt: skip
def test_cells_of_different_variances_or_that_have_other_seeds_keep_their_own_tests(
    values: dict[str, list[float]], has_same_seeds: bool
) -> None:
    test = on_valid(values, has_same_seeds)
    assert test.variance is None or not test.variance.is_pooled
    alone = [differences[0].delta_nats for differences in cells(values).values()]
    assert [cell.ci95 for cell in test.cells.values()] == [delta.ci95 for delta in alone]
    assert [cell.p_holm for cell in test.cells.values()] == holm([delta.p_value or 0.0 for delta in alone])


def test_cells_without_a_verdict_tell_nothing_of_the_variance() -> None:
    """One is worse than token frequencies, or has one seed: its difference is shown, and is no part of the test."""
    values = {"a": [0.10, 0.14], "b": [0.30, 0.25]}
    worse_than_unigram = cells({"c": [1.5, 0.7]})["c"]
    one_seed = cells({"d": [0.2]})["d"]
    (test,) = pooled_cells("valid", {**cells(values), "c": worse_than_unigram, "d": one_seed}, True)
    assert test.num_tests == 2
    within = statistics.fmean(np.var(of, ddof=1) for of in values.values())
    assert variance_of(test).std_nats == pytest.approx(math.sqrt(within))
    assert [test.cells[name].verdict for name in "cd"] == ["no verdict", "no verdict"]
    assert [test.cells[name].ci95 for name in "cd"] == [None, None]
    assert test.cells["c"].mean == pytest.approx(1.1)


def share_of_maps_with_a_verdict(shared: float, stds: Sequence[float], num_maps: int = 500) -> float:
    """Of maps without a difference, two seeds a cell; the share `shared` of the variance is what a seed adds to all."""
    generator = np.random.default_rng(0)
    of_cell = cells({"a": [0.1, 0.2]})["a"][0]
    found = 0
    for _ in range(num_maps):
        own, of_seed = generator.normal(size=(len(stds), 2)), generator.normal(size=2)
        drawn = np.array(stds)[:, None] * (math.sqrt(1 - shared) * own + math.sqrt(shared) * of_seed)
        differences = {}
        for number, values in enumerate(drawn.tolist()):
            mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(2)
            p_value = float(2 * special.stdtr(1, -abs(mean) / error))
            delta = of_cell.delta_nats.model_copy(update={"values": values, "mean": mean, "p_value": p_value})
            differences[str(number)] = [of_cell.model_copy(update={"delta_nats": delta, "verdict": "inconclusive"})]
        (of_map,) = pooled_cells("valid", differences, True)
        found += any(cell.verdict != "inconclusive" for cell in of_map.cells.values())
    return found / num_maps


def test_a_map_without_a_difference_hardly_ever_has_a_verdict() -> None:
    """5 % is asked; what the weak test of equal variances lets through is known to cost more, and by how much."""
    assert share_of_maps_with_a_verdict(0.0, [0.05] * 12) < 0.08
    assert share_of_maps_with_a_verdict(0.5, [0.05] * 12) < 0.09
    assert share_of_maps_with_a_verdict(0.0, [0.05] * 4 + [0.03] * 4 + [0.015] * 4) < 0.16

"""The cells of a map tested together: by the scatter of all, if they scatter alike."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from tests.comparison.test_compare import pairs
from tiedlm.comparison.compare import compare
from tiedlm.comparison.comparison import Difference
from tiedlm.comparison.pooled_test import PooledTest, pooled_tests

TIED = 4.0


def cells(differences: dict[str, list[float]], tied: float = TIED) -> dict[str, list[Difference]]:
    return {
        name: compare(pairs([tied] * len(values), [tied + value for value in values])).differences
        for name, values in differences.items()
    }


def on_valid(differences: dict[str, list[float]]) -> PooledTest:
    (test,) = pooled_tests("valid", cells(differences))
    return test


def test_pooled_intervals_are_those_of_a_linear_model_with_cells_as_groups() -> None:
    """Against ordinary least squares on one column a cell, whose error has a variance in common."""
    values = {"a": [0.10, 0.14], "b": [0.30, 0.25, 0.28], "c": [-0.02, 0.05]}
    design = np.array([[float(name == of) for of in values] for name in values for _ in values[name]])
    observed = np.array([value for name in values for value in values[name]])
    coefficients, residuals, _, _ = np.linalg.lstsq(design, observed, rcond=None)
    freedom = len(observed) - len(values)
    errors = np.sqrt(float(residuals[0]) / freedom * np.diag(np.linalg.inv(design.T @ design)))
    test = on_valid(values)
    assert test.is_pooled
    assert test.degrees_of_freedom == freedom == 4
    for name, mean, error in zip(values, coefficients, errors, strict=True):
        low, high = test.cells[name].ci95 or (math.nan, math.nan)
        assert test.cells[name].mean == pytest.approx(mean)
        assert ((low + high) / 2, (high - low) / 2) == pytest.approx((mean, stats.t.ppf(0.975, freedom) * error))
    p_values = 2 * stats.t.sf(np.abs(coefficients / errors), freedom)
    assert test.cells["b"].p_holm == pytest.approx(3 * p_values[1])
    assert [cell.verdict for cell in test.cells.values()] == ["tied better", "tied better", "inconclusive"]


def test_cells_that_scatter_differently_keep_their_own_intervals() -> None:
    values = {"a": [0.100, 0.101], "b": [0.4, -0.4], "c": [0.2, 0.2002], "d": [0.3, 0.3003]}
    test = on_valid(values)
    assert not test.is_pooled
    assert test.equal_scatter_p == pytest.approx(stats.bartlett(*values.values()).pvalue, rel=1e-6)
    for name, differences in cells(values).items():
        assert test.cells[name].ci95 == differences[0].delta_nats.ci95


def test_cells_without_a_verdict_tell_nothing_of_scatter() -> None:
    """One has overfit, or has one seed: its difference is shown, and is no part of the test."""
    values = {"a": [0.10, 0.14], "b": [0.30, 0.25]}
    worse_than_unigram = cells({"c": [1.5, 0.7]})["c"]
    one_seed = cells({"d": [0.2]})["d"]
    (test,) = pooled_tests("valid", {**cells(values), "c": worse_than_unigram, "d": one_seed})
    assert (test.degrees_of_freedom, test.num_tests) == (2, 2)
    assert test.std_nats == pytest.approx(math.sqrt(statistics.fmean(np.var(of, ddof=1) for of in values.values())))
    assert [test.cells[name].verdict for name in "cd"] == ["no verdict", "no verdict"]
    assert [test.cells[name].ci95 for name in "cd"] == [None, None]
    assert test.cells["c"].mean == pytest.approx(1.1)


def test_a_pooled_test_rejects_as_often_as_it_says() -> None:
    """Of 400 maps of 6 cells × 2 seeds without a difference, about 5 % have a verdict; pooling changes no null."""
    generator = np.random.default_rng(0)
    of_cell = cells({"a": [0.1, 0.2]})["a"][0]
    found = 0
    for _ in range(400):
        drawn = generator.normal(0.0, 0.05, size=(6, 2))
        differences = {}
        for number, values in enumerate(drawn.tolist()):
            delta = of_cell.delta_nats.model_copy(
                update={"values": values, "mean": statistics.fmean(values), "p_value": 0.5, "ci95": (-1.0, 1.0)}
            )
            differences[str(number)] = [of_cell.model_copy(update={"delta_nats": delta, "verdict": "inconclusive"})]
        (test,) = pooled_tests("valid", differences)
        found += any(cell.verdict != "inconclusive" for cell in test.cells.values())
    assert 0.02 <= found / 400 <= 0.08

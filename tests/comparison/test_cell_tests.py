"""The cells of a map: each tested by itself, corrected for their number."""

from __future__ import annotations

import pytest
from scipy import stats

from tests.comparison.test_compare import pairs
from tiedlm.comparison.cell_tests import cell_tests
from tiedlm.comparison.compare import compare
from tiedlm.comparison.paired_statistics import holm
from tiedlm.comparison.tested_differences import Difference

TIED = 4.0


def cells(differences: dict[str, list[float]]) -> dict[str, list[Difference]]:
    return {
        name: compare(pairs([TIED] * len(values), [TIED + value for value in values])).differences
        for name, values in differences.items()
    }


def test_a_cell_is_tested_by_its_own_paired_t_and_holm_over_the_cells() -> None:
    values = {"a": [0.10, 0.102, 0.101], "b": [0.30, -0.26, 0.1], "c": [-0.2, -0.21, -0.22]}
    (test,) = cell_tests("valid", cells(values))
    alone = [stats.ttest_1samp(of_cell, 0.0) for of_cell in values.values()]
    assert test.num_tests == 3
    for result, expected in zip(test.cells.values(), alone, strict=True):
        assert result.ci95 == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert [result.p_holm for result in test.cells.values()] == pytest.approx(holm([of.pvalue for of in alone]))
    assert [result.verdict for result in test.cells.values()] == ["tied better", "inconclusive", "untied better"]


def test_cells_without_a_verdict_are_no_part_of_the_test() -> None:
    """One is worse than token frequencies, or has one seed: its difference is shown, without an interval."""
    found = {**cells({"a": [0.10, 0.14], "b": [0.30, 0.25]}), **cells({"c": [1.5, 0.7]}), **cells({"d": [0.2]})}
    (test,) = cell_tests("valid", found)
    assert test.num_tests == 2
    assert [test.cells[name].verdict for name in "cd"] == ["no verdict", "no verdict"]
    assert [test.cells[name].ci95 for name in "cd"] == [None, None]
    assert test.cells["c"].mean == pytest.approx(1.1)


def test_beside_contrasts_no_cell_is_tested() -> None:
    found = {
        name: [item.model_copy(update={"is_exploratory": True, "p_holm": None, "ahead": None}) for item in of_cell]
        for name, of_cell in cells({"a": [0.10, 0.102, 0.101], "d": [0.2]}).items()
    }
    (test,) = cell_tests("valid", found)
    assert test.num_tests == 0
    assert [result.verdict for result in test.cells.values()] == ["exploratory", "no verdict"]
    assert test.cells["a"].ci95 == found["a"][0].delta_nats.ci95

"""Stein's two-stage interval keeps its promise; adding seeds until p is small does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.comparison.test_compare import pairs
from tiedlm.comparison.compare import compare
from tiedlm.comparison.paired_statistics import paired_t
from tiedlm.comparison.two_stage import TwoStage, seeds_needed, two_stage_t
from tiedlm.errors import InputError

TRUTH, STD, HALF_WIDTH, NUM_TRIES = 0.05, 0.04, 0.04, 20_000


def test_the_interval_covers_the_truth_and_is_as_narrow_as_asked() -> None:
    generator = np.random.default_rng(0)
    quantile, covered, counts = stats.t.ppf(0.975, 2), 0, []
    for _ in range(NUM_TRIES):
        first = generator.normal(TRUTH, STD, 3)
        number = max(3, int((quantile * first.std(ddof=1) / HALF_WIDTH) ** 2) + 1)
        counts.append(number)
        mean = (first.sum() + generator.normal(TRUTH * (number - 3), STD * (number - 3) ** 0.5)) / number
        reach = quantile * first.std(ddof=1) / number**0.5
        assert reach <= HALF_WIDTH
        covered += abs(mean - TRUTH) <= reach
    assert 0.94 <= covered / NUM_TRIES <= 0.96
    assert 3 < np.mean(counts) < 40


def test_adding_seeds_until_p_is_small_does_not() -> None:
    """For contrast: of two arms that are equal, seeds 3 to 20 one by one call far more than 5 % different."""
    draws = np.random.default_rng(1).normal(0.0, STD, (2_000, 20))
    numbers = np.arange(1, 21)
    means = draws.cumsum(1) / numbers
    variances = ((draws**2).cumsum(1) - numbers * means**2)[:, 2:] / (numbers[2:] - 1)
    t = abs(means[:, 2:]) / (variances / numbers[2:]) ** 0.5
    is_found = (2 * stats.t.sf(t, numbers[2:] - 1) < 0.05).any(1)
    assert is_found.mean() > 0.15


@pytest.mark.parametrize("seed", range(20))
def test_the_functions_are_the_formulas(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = generator.normal(TRUTH, STD, generator.integers(3, 8)).tolist()
    number = seeds_needed(first, HALF_WIDTH)
    values = first + generator.normal(TRUTH, STD, number - len(first)).tolist()
    delta = two_stage_t(first, values)
    low, high = delta.ci95
    assert high - low <= 2 * HALF_WIDTH + 1e-12
    narrower = stats.t.ppf(0.975, len(first) - 1) * np.std(first, ddof=1) / max(1, number - 1) ** 0.5
    assert number == len(first) or narrower >= HALF_WIDTH  # one seed less would not do
    assert (low + high) / 2 == pytest.approx(np.mean(values))
    assert delta.p_value is not None
    assert (delta.p_value < 0.05) == (not low <= 0 <= high)
    assert two_stage_t(first, first).ci95 == pytest.approx(paired_t(first).ci95)


def test_a_comparison_takes_the_variance_of_the_first_stage() -> None:
    tied, untied = [4.0, 4.1, 4.05, 4.2, 4.3], [4.2, 4.33, 4.21, 4.1, 4.9]
    design = TwoStage(half_width_nats=0.1, first_stage_seeds=[0, 1, 2], max_seeds=5)
    valid = compare(pairs(tied, untied), design).differences[0]
    values = np.subtract(untied, tied)
    reach = stats.t.ppf(0.975, 2) * values[:3].std(ddof=1) / 5**0.5
    assert valid.delta_nats.ci95 == pytest.approx((values.mean() - reach, values.mean() + reach))
    assert "two-stage" in valid.delta_nats.method


def test_a_first_stage_that_is_not_there_is_said() -> None:
    design = TwoStage(half_width_nats=0.1, first_stage_seeds=[0, 1, 7], max_seeds=5)
    with pytest.raises(InputError, match="seed 7"):
        compare(pairs([4.0, 4.1, 4.05], [4.2, 4.3, 4.2]), design)


def test_an_interval_that_was_cut_short_says_so() -> None:
    design = TwoStage(half_width_nats=0.001, first_stage_seeds=[0, 1, 2], max_seeds=4)
    comparison = compare(pairs([4.0, 4.1, 4.05, 4.2], [4.2, 4.3, 4.21, 4.35]), design)
    assert any("--max-seeds 4" in note and "± 0.001" in note for note in comparison.notes)

"""Several arms over the same seeds, tested by one pooled variance."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from tests.comparison.test_differences import many_arms
from tiedlm.comparison.compare import compare
from tiedlm.comparison.paired_statistics import holm
from tiedlm.comparison.pooled_arms import pooled_arms
from tiedlm.report.markdown import render_markdown
from tiedlm.report.terminal import render_comparison
from tiedlm.report.wording import reasons

LOSSES = {"tied": [4.00, 4.03, 3.98, 4.01], "arm-1": [4.11, 4.12, 4.06, 4.13], "arm-2": [4.02, 4.02, 4.01, 4.03]}


def test_it_is_the_linear_model_with_a_column_for_each_arm_and_each_seed() -> None:
    """Against ordinary least squares: the coefficients of the arms, with the first arm and the first seed left out."""
    arms, num_seeds = list(LOSSES), 4
    rows = [
        [1.0, *(float(arm == of) for of in arms[1:]), *(float(seed == of) for of in range(1, num_seeds))]
        for arm in arms
        for seed in range(num_seeds)
    ]
    observed = np.array([loss for losses in LOSSES.values() for loss in losses])
    design = np.array(rows)
    coefficients, residuals, rank, _ = np.linalg.lstsq(design, observed, rcond=None)
    freedom = len(observed) - int(rank)
    variance = float(residuals[0]) / freedom
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))[1:3]
    test = pooled_arms("valid", LOSSES)
    assert test is not None
    assert test.holds
    assert test.degrees_of_freedom == freedom == 6
    assert test.std_nats == pytest.approx(np.sqrt(variance))
    assert test.half_width_nats == pytest.approx(stats.t.ppf(0.975, freedom) * errors[0])
    p_values = 2 * stats.t.sf(np.abs(coefficients[1:3] / errors), freedom)
    assert test.p_holm == pytest.approx(dict(zip(arms[1:], holm(p_values.tolist()), strict=True)))


def test_a_report_of_many_arms_has_it_and_one_of_two_has_not() -> None:
    comparison = compare(many_arms(LOSSES))
    assert [test.split for test in comparison.pooled_arms] == ["valid", "test"]
    assert any("behind the first arm by Holm's p < 0.05: arm-1; ahead: none" in line for line in reasons(comparison))
    told = io.StringIO()
    Console(file=told, width=80).print(render_comparison(comparison))
    assert "behind the first arm by Holm's p < 0.05: arm-1; ahead: none" in " ".join(told.getvalue().split())
    assert "# toy: tied against 2 other arms" in render_markdown(comparison)
    assert compare(many_arms({arm: LOSSES[arm] for arm in ("tied", "arm-1")})).pooled_arms == []


def test_arms_of_different_variances_are_not_pooled() -> None:
    """Also where a large effect of the seed, which all arms share, hides it in their losses."""
    shared = [0.2, -0.1, -0.2, 0.1]
    unlike = [-0.08, 0.09, -0.11, 0.1]
    losses = {arm: [mean + added for mean, added in zip(LOSSES[arm], shared, strict=True)] for arm in LOSSES}
    losses |= {
        f"arm-{number}": [3.9 + added + number * 1e-3 * (-1) ** seed for seed, added in enumerate(shared)]
        for number in (4, 5, 6)
    }
    losses["arm-3"] = [3.9 + added + own for added, own in zip(shared, unlike, strict=True)]
    assert stats.bartlett(*losses.values()).pvalue > 0.5
    comparison = compare(many_arms(losses))
    assert not comparison.pooled_arms[0].holds
    assert any("valid: variances differ between arms, so they are not pooled" in line for line in reasons(comparison))
    assert "| – | tied better |" in render_markdown(comparison)


def test_arms_that_run_in_parallel_have_no_variance_to_pool() -> None:
    assert pooled_arms("valid", {"a": [4.0, 4.1, 4.2], "b": [4.1, 4.2, 4.3], "c": [4.05, 4.15, 4.25]}) is None


def test_an_arm_with_other_seeds_or_without_learning_is_no_part_of_it() -> None:
    assert compare([*many_arms(LOSSES), *many_arms({"arm-3": [4.0, 4.1, 4.2]})]).pooled_arms == []
    without = compare(many_arms({**LOSSES, "arm-3": [5.0, 4.6, 4.7, 4.8]})).pooled_arms
    assert [list(test.p_holm) for test in without] == [["arm-1", "arm-2"]] * 2

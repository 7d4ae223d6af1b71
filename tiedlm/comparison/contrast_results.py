"""Losses of arms, in one folder or in the cells of a scan → the results of the planned contrasts.

A sign is tested by the two-sided paired t-test over seeds, a margin of equality by two one-sided tests (Schuirmann
1987, J. Pharmacokinetics and Biopharmaceutics 15). Holm (1979) corrects for the number of contrasts on a split.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tiedlm.comparison.arm_summary import ArmSummary
from tiedlm.comparison.differences import SEEDS_FOR_A_VERDICT
from tiedlm.comparison.paired_statistics import SIGNIFICANCE, Delta, detectable_nats, equality_p, holm, paired_t
from tiedlm.comparison.tested_differences import AS_PREDICTED, CONTRARY, INCONCLUSIVE, NO_VERDICT, ContrastResult
from tiedlm.comparison.two_stage import TwoStage, two_stage_t
from tiedlm.config.contrasts import Contrast, Contrasts
from tiedlm.record.run_record import why_worse_than_unigram


class Cell(NamedTuple):
    """The arms of one cell of a scan, or of a folder that is none."""

    arms: Mapping[str, ArmSummary]
    values: Mapping[str, Any] = {}
    """By `section.key`; of a folder that is no cell there are none."""


class _Tested(NamedTuple):
    """A contrast with its values, and its test where there is one."""

    name: str
    contrast: Contrast
    values: dict[int, float]
    delta: Delta | None
    p_value: float | None
    reason: str | None


def contrast_results(
    planned: Contrasts | None,
    cells: Sequence[Cell],
    split: str,
    design: TwoStage | None = None,
    missing: Sequence[Mapping[str, Any]] = (),
) -> list[ContrastResult]:
    """Test all contrasts on a split, which are one family: those that have no test yet count in it as p = 1.

    So a verdict stays when the runs of the others come. None is tested over fewer seeds than were planned, since who
    tests again with each new seed finds a difference that is not there in more than 5 of 100 cases; a two-stage design
    has a number of its own. `missing` are the values of the cells that are not trained yet.
    """
    if planned is None:
        return []
    num_seeds = planned.num_seeds if design is None else None
    tested = [
        _tested(name, contrast, cells, split, design, missing, num_seeds)
        for name, contrast in planned.contrasts.items()
    ]
    adjusted = holm([1.0 if item.p_value is None else item.p_value for item in tested])
    return [
        _result(item, split, None if item.p_value is None else p_holm, design, num_seeds)
        for item, p_holm in zip(tested, adjusted, strict=True)
    ]


def seed_values(contrast: Contrast, cells: Sequence[Cell], split: str) -> dict[int, float]:
    """The value of a contrast for each seed that all its arms have in all its cells, in nats a token."""
    losses = [(cell.values, _losses(contrast, cell, split)) for cell in cells if is_chosen(contrast, cell.values)]
    seeds = (
        set.intersection(*(set(of_arm) for _, of_cell in losses for of_arm in of_cell.values())) if losses else set()
    )
    return {
        seed: _over_cells(contrast, [(at, _weighted(contrast, of, seed)) for at, of in losses])
        for seed in sorted(seeds)
    }


def is_chosen(contrast: Contrast, values: Mapping[str, Any]) -> bool:
    """Whether a contrast is over a cell of these values."""
    return all(values.get(key) in wanted for key, wanted in contrast.where.items())


def _losses(contrast: Contrast, cell: Cell, split: str) -> dict[str, dict[int, float]]:
    """By arm and seed; nothing of an arm that is not there."""
    found: dict[str, dict[int, float]] = {}
    for arm in contrast.used_weights:
        summary = cell.arms.get(arm)
        of_seeds = [] if summary is None else summary.metrics[split].masked_lm_loss_nats.values
        found[arm] = dict(zip(map(int, summary.curves if summary else ()), of_seeds, strict=True))
    return found


def _weighted(contrast: Contrast, losses: dict[str, dict[int, float]], seed: int) -> float:
    return math.fsum(weight * losses[arm][seed] for arm, weight in contrast.used_weights.items())


def _over_cells(contrast: Contrast, values: list[tuple[Mapping[str, Any], float]]) -> float:
    """Their mean, or the least-squares slope against log2 of a key's value, the other keys averaged."""
    key = contrast.slope_per_doubling_of
    if key is None:
        return statistics.fmean(value for _, value in values)
    of_step: dict[float, list[float]] = {}
    for at, value in values:
        of_step.setdefault(math.log2(at[key]), []).append(value)
    return statistics.linear_regression(list(of_step), list(map(statistics.fmean, of_step.values()))).slope


def _tested(
    name: str,
    contrast: Contrast,
    cells: Sequence[Cell],
    split: str,
    design: TwoStage | None,
    missing: Sequence[Mapping[str, Any]],
    num_seeds: int | None,
) -> _Tested:
    why_not = _why_no_value(contrast, cells, missing)
    values = {} if why_not else seed_values(contrast, cells, split)
    if not values:
        return _Tested(name, contrast, {}, None, None, why_not or "no verdict: no seed has all its runs")
    delta, error, freedom = _delta(values, design)
    reason = _why_no_verdict(contrast, cells, split, delta, len(values), num_seeds)
    p_value = delta.p_value if delta is not None and reason is None else None
    if p_value is not None and contrast.equal_within_nats is not None:
        p_value = equality_p(statistics.fmean(values.values()), error, freedom, contrast.equal_within_nats)
    return _Tested(name, contrast, values, delta, p_value, reason)


def _delta(values: dict[int, float], design: TwoStage | None) -> tuple[Delta | None, float, int]:
    """The interval of the mean with its standard error and degrees of freedom; no interval for too few seeds."""
    everything = list(values.values())
    if design is not None:
        first_stage = [values[seed] for seed in design.first_stage_seeds if seed in values]
        if len(first_stage) < len(design.first_stage_seeds):
            return None, math.nan, 0
        error = statistics.stdev(first_stage) / math.sqrt(len(everything))
        return two_stage_t(first_stage, everything), error, len(first_stage) - 1
    if len(everything) < 2:
        return None, math.nan, 0
    error = statistics.stdev(everything) / math.sqrt(len(everything))
    return paired_t(everything), error, len(everything) - 1


def _why_no_value(contrast: Contrast, cells: Sequence[Cell], missing: Sequence[Mapping[str, Any]]) -> str | None:
    if contrast.is_of_scan and not any(cell.values for cell in cells):
        return "no verdict: it is over cells, and these runs are no scan; give --scan"
    chosen = [cell for cell in cells if is_chosen(contrast, cell.values)]
    number = sum(is_chosen(contrast, values) for values in missing)
    if number:
        return f"no verdict: {number} of its {number + len(chosen)} cells are not trained yet"
    for arm in contrast.used_weights:
        if any(arm not in cell.arms for cell in chosen):
            return f"no verdict: {arm} has no runs"
    return None


def _why_no_verdict(
    contrast: Contrast, cells: Sequence[Cell], split: str, delta: Delta | None, number: int, planned: int | None
) -> str | None:
    """Why its values, so many of the planned ones, are not tested, and what to do; None where they are."""
    for cell in cells:
        for arm in contrast.used_weights if is_chosen(contrast, cell.values) else ():
            summary = cell.arms[arm]
            metrics = summary.metrics[split]
            of_seeds = zip(metrics.masked_lm_perplexity.values, summary.curves.values(), strict=True)
            for perplexity, curve in of_seeds:
                why = why_worse_than_unigram(perplexity, metrics.unigram_perplexity, curve[-1].train_loss_nats)
                if why:
                    return f"no verdict: {arm} is worse than token frequencies alone; it {why}"
    if planned is not None and number < planned:
        return f"no verdict: {number} of the {planned} seeds that were planned are trained"
    if delta is None:
        return f"no verdict: too few seeds; --seeds {SEEDS_FOR_A_VERDICT} trains more"
    return None


def _result(
    item: _Tested, split: str, p_holm: float | None, design: TwoStage | None, num_seeds: int | None
) -> ContrastResult:
    values = list(item.values.values())
    mean = statistics.fmean(values) if values else None
    ci95 = None if item.delta is None else item.delta.ci95
    has_variance = len(values) > 1 and len(set(values)) > 1
    verdict = _verdict(item.contrast, mean or 0.0, p_holm)
    return ContrastResult(
        name=item.name,
        split=split,
        contrast=item.contrast,
        seeds=list(item.values),
        num_planned_seeds=num_seeds,
        values=values,
        mean=mean,
        ci95=ci95,
        p_value=item.p_value,
        p_holm=p_holm,
        detectable_nats=detectable_nats(values) if design is None and has_variance else None,
        method=None if item.delta is None else item.delta.method,
        verdict=verdict,
        reason=item.reason or _why_not_equal(item.contrast, verdict, ci95),
    )


def _verdict(contrast: Contrast, mean: float, p_holm: float | None) -> str:
    if p_holm is None:
        return NO_VERDICT
    if p_holm >= SIGNIFICANCE:
        return INCONCLUSIVE
    if contrast.equal_within_nats is not None:
        return f"equal within ± {contrast.equal_within_nats:g}"
    return AS_PREDICTED if (mean > 0) is (contrast.predicted == "positive") else CONTRARY


def _why_not_equal(contrast: Contrast, verdict: str, ci95: tuple[float, float] | None) -> str | None:
    """Where the interval lies that does not decide on equality."""
    margin = contrast.equal_within_nats
    if verdict != INCONCLUSIVE or margin is None or ci95 is None:
        return None
    low, high = ci95
    if low > margin or high < -margin:
        return f"the 95 % interval lies wholly outside ± {margin:g}"
    if low >= -margin and high <= margin:
        return f"the 95 % interval lies within ± {margin:g}, but Holm's p is {SIGNIFICANCE} or more"
    return f"the 95 % interval reaches beyond ± {margin:g}"

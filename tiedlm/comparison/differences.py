"""Pairs of records → Differences: each arm against the first, with its interval, its bands and a verdict."""

from __future__ import annotations

import itertools
import math
import statistics

from tiedlm.comparison.paired_statistics import (
    SIGNIFICANCE,
    Delta,
    detectable_nats,
    holm,
    paired_bootstrap,
    paired_t,
)
from tiedlm.comparison.stages import seeds_option
from tiedlm.comparison.tested_differences import BandDifference, Difference
from tiedlm.comparison.two_stage import TwoStage, two_stage_t
from tiedlm.errors import InputError
from tiedlm.record.run_record import RunRecord

SEEDS_FOR_A_VERDICT = 3  # with two, a t-interval is so wide that hardly anything is ever found


def differences_on(
    split: str,
    pairs: dict[str, tuple[list[RunRecord], list[RunRecord]]],
    design: TwoStage | None,
    is_exploratory: bool = False,
) -> list[Difference]:
    """All differences on a split; `pairs` has the first arm's records and each other's.

    They are one family of tests, unless they are exploratory: then none is tested.
    """
    found = [(pair, _delta(*pair, split, design)) for pair in pairs.values()]
    reasons = [_reason(*pair, split, delta) for pair, delta in found]
    has_verdict = [reason is None and not is_exploratory for reason in reasons]
    p_values = [delta.p_value for _, delta in itertools.compress(found, has_verdict) if delta.p_value is not None]
    adjusted = iter(holm(p_values))
    return [
        _difference(*pair, split, delta, reason, next(adjusted) if is_tested else None, design, is_exploratory)
        for (pair, delta), reason, is_tested in zip(found, reasons, has_verdict, strict=True)
    ]


def _delta(first: list[RunRecord], second: list[RunRecord], split: str, design: TwoStage | None) -> Delta:
    values = [
        b.metrics[split].masked_lm_loss_nats - a.metrics[split].masked_lm_loss_nats
        for a, b in zip(first, second, strict=True)
    ]
    if design is not None:
        return two_stage_t(_first_stage(first, values, design), values)
    if len(values) > 1:
        return paired_t(values)
    return paired_bootstrap(first[0].metrics[split], second[0].metrics[split])


def _difference(
    first: list[RunRecord],
    second: list[RunRecord],
    split: str,
    delta: Delta,
    reason: str | None,
    p_holm: float | None,
    design: TwoStage | None,
    is_exploratory: bool,
) -> Difference:
    has_variance = len(delta.values) > 1 and len(set(delta.values)) > 1
    return Difference(
        arms=(first[0].arm, second[0].arm),
        split=split,
        delta_nats=delta,
        perplexity_ratio=math.exp(delta.mean),
        is_exploratory=is_exploratory,
        p_holm=p_holm,
        detectable_nats=detectable_nats(delta.values) if design is None and has_variance else None,
        bands=_band_differences(first, second, split),
        ahead=_ahead((first[0].arm, second[0].arm), delta, p_holm),
        reason=reason,
    )


def _band_differences(first: list[RunRecord], second: list[RunRecord], split: str) -> list[BandDifference] | None:
    """By band; one without a token of the split is left out."""
    of_runs = [(a.metrics[split].bands, b.metrics[split].bands) for a, b in zip(first, second, strict=True)]
    found = []
    for place, band in enumerate(of_runs[0][0] or []):
        values = []
        for mine, theirs in of_runs:
            if mine is None or theirs is None:
                return None
            values.append((theirs[place].total_nll_nats - mine[place].total_nll_nats) / max(1, band.num_tokens))
        if band.num_tokens:
            found.append(
                BandDifference(
                    least_count=band.least_count,
                    num_tokens=band.num_tokens,
                    mean=statistics.fmean(values),
                    ci95=paired_t(values).ci95 if len(values) > 1 else None,
                )
            )
    return found or None


def _first_stage(records: list[RunRecord], values: list[float], design: TwoStage) -> list[float]:
    of_seed = {record.seed: value for record, value in zip(records, values, strict=True)}
    missing = [str(seed) for seed in design.first_stage_seeds if seed not in of_seed]
    if missing:
        raise InputError(
            f"the two-stage design rests on seed {', '.join(missing)}, of which a record is missing; train it again by "
            "the same command"
        )
    return [of_seed[seed] for seed in design.first_stage_seeds]


def _reason(first: list[RunRecord], second: list[RunRecord], split: str, delta: Delta) -> str | None:
    """Why there is no verdict, and what to do; None where there is one."""
    for record in (*first, *second):
        if why := record.why_worse_than_unigram(split):
            return f"no verdict: {record.arm} is worse than token frequencies alone; it {why}"
    if delta.p_value is None:
        seed = first[0].seed
        return f"one seed: no verdict; --seeds {seeds_option(range(seed, seed + SEEDS_FOR_A_VERDICT))} trains two more"
    return None


def _ahead(arms: tuple[str, str], delta: Delta, p_holm: float | None) -> str | None:
    if p_holm is None or delta.ci95[0] <= 0 <= delta.ci95[1]:
        return None
    return arm_ahead(arms, delta.mean, p_holm)


def arm_ahead(arms: tuple[str, str], mean: float, p_holm: float) -> str | None:
    """Which arm a mean difference finds ahead: the first where it is positive; None where it is not significant."""
    return None if p_holm >= SIGNIFICANCE else arms[0] if mean > 0 else arms[1]

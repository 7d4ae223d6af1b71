"""Pairs of records → Differences: each arm against the first, with its interval, its bands and a verdict."""

from __future__ import annotations

import math
import statistics

from tiedlm.comparison.comparison import INCONCLUSIVE, NO_VERDICT, BandDifference, Difference
from tiedlm.comparison.paired_statistics import (
    CONFIDENCE,
    Delta,
    detectable_nats,
    holm,
    paired_bootstrap,
    paired_t,
)
from tiedlm.comparison.two_stage import TwoStage, two_stage_t
from tiedlm.errors import InputError
from tiedlm.record import RunRecord

SEEDS_FOR_A_VERDICT = 3  # with two, a t-interval is so wide that hardly anything is ever found


def differences_on(
    split: str, pairs: dict[str, tuple[list[RunRecord], list[RunRecord]]], design: TwoStage | None
) -> list[Difference]:
    """All that are tested on a split, which are one family; `pairs` has the first arm's records and each other's."""
    deltas = [_delta(first, second, split, design) for first, second in pairs.values()]
    p_values = [delta.p_value for delta in deltas if delta.p_value is not None]
    adjusted = iter(holm(p_values))
    return [
        _difference(*pair, split, delta, None if delta.p_value is None else next(adjusted), design)
        for pair, delta in zip(pairs.values(), deltas, strict=True)
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
    p_holm: float | None,
    design: TwoStage | None,
) -> Difference:
    verdict, reason = _verdict(first, second, split, delta, p_holm)
    scatters = len(delta.values) > 1 and len(set(delta.values)) > 1
    return Difference(
        arms=(first[0].arm, second[0].arm),
        split=split,
        delta_nats=delta,
        perplexity_ratio=math.exp(delta.mean),
        p_holm=p_holm,
        detectable_nats=detectable_nats(delta.values) if design is None and scatters else None,
        bands=_band_differences(first, second, split),
        verdict=verdict,
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
            "the same command, or delete the design"
        )
    return [of_seed[seed] for seed in design.first_stage_seeds]


def _verdict(
    first: list[RunRecord], second: list[RunRecord], split: str, delta: Delta, p_holm: float | None
) -> tuple[str, str | None]:
    """Which arm is better, if that can be said; else why there is no verdict."""
    for records in (first, second):
        for record in records:
            if why := record.why_worse_than_unigram(split):
                return NO_VERDICT, f"no verdict: {record.arm} is worse than token frequencies alone, it {why}"
    if p_holm is None:
        return NO_VERDICT, f"one seed: no verdict; --seeds {SEEDS_FOR_A_VERDICT} trains two more"
    if p_holm >= 1 - CONFIDENCE or delta.ci95[0] <= 0 <= delta.ci95[1]:
        return INCONCLUSIVE, None
    return f"{(first if delta.mean > 0 else second)[0].arm} better", None

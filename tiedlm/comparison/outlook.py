"""What an answer lacks, and what would give it: more seeds, more steps or fewer, or nothing."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.curves import mean_curve
from tiedlm.comparison.differences import SEEDS_FOR_A_VERDICT
from tiedlm.comparison.tested_differences import INCONCLUSIVE, ContrastResult, Difference
from tiedlm.comparison.two_stage import MAX_SEEDS, seeds_needed
from tiedlm.config.strict import MAX_SIZE
from tiedlm.record.run_record import has_overfit

State = Literal["unpaired", "hardly learned", "overfit", "few seeds", "unfinished", "undecided", "equal", "decided"]
WIDEST_NATS = 0.1
"""± this, a tenth of the perplexity, is the widest interval that is advised."""
NARROWER = 1.5
"""How much narrower than the present interval an advised one is at least."""
RISE_NATS = 0.05
"""Of the loss on valid above its lowest, from which an arm is past its best."""
FALL_NATS = 0.1
"""Of the loss on valid over the last tenth of the steps, from which an arm still learns much. In `results/`, runs on
enough text end with 0.05 to 0.07, since the learning rate falls to zero."""
LONGER, MUCH_LONGER = 2, 4
"""Times the steps of runs that still learn much, and of those that have hardly learned."""


class Trend(NamedTuple):
    """That the answer may be another after another number of steps."""

    is_rising: bool
    """The loss on valid has risen since its lowest; else it still falls."""
    arms: tuple[str, ...]
    nats: float
    """The largest rise since the lowest, or fall over the last tenth of the steps."""
    num_steps: int
    """Of the lowest, or of a run that is long enough to tell."""


class Advice(NamedTuple):
    """The runs that would give what is lacking."""

    seeds: list[int]
    num_runs: int
    """How many of them are to be trained."""
    run_seconds: float
    """What one of them takes, going by those that are there."""
    half_width_nats: float | None = None
    """Of the interval for which more are trained; the seeds are then its first stage."""
    max_seeds: int | None = None
    num_steps: int | None = None
    """None: as many as before."""
    is_elsewhere: bool = False
    """They do not belong to the runs that are there, so they need a folder of their own."""


class Outlook(NamedTuple):
    """What an answer lacks most, and how it may be had."""

    state: State
    """The first of those above that holds."""
    arms: tuple[str, ...] = ()
    """Of which it is the state, where it is not that of the whole."""
    half_width_nats: float | None = None
    """Of an interval that may decide."""
    seeds_needed: int | None = None
    """For that, by the variance of the seeds that are there; or as many as the contrasts were planned over."""
    trend: Trend | None = None
    advice: Advice | None = None
    """None where nothing needs to be trained."""


def outlook(comparison: Comparison) -> Outlook:
    """What an answer lacks most."""
    seeds_of = {arm: {*_seeds_of(comparison, arm), *comparison.unpaired.get(arm, [])} for arm in comparison.arms}
    everything = sorted(set().union(*seeds_of.values()))
    num_missing = sum(len(everything) - len(seeds) for seeds in seeds_of.values())
    trend = _trend(comparison)
    if num_missing:
        lacking = tuple(arm for arm, seeds in seeds_of.items() if len(seeds) < len(everything))
        return Outlook("unpaired", lacking, trend=trend, advice=_advice(comparison, everything, num_missing))
    overfit, hardly_learned = _worse_than_unigram(comparison)
    if overfit:
        best = min(_best(comparison, arm)[0] for arm in overfit)
        return Outlook("overfit", overfit, advice=_other_steps(comparison, best))
    if hardly_learned:
        longer = MUCH_LONGER * _steps(comparison)[-1]
        return Outlook("hardly learned", hardly_learned, advice=_other_steps(comparison, longer))
    planned = planned_seeds(everything, comparison.contrasts)
    if planned != everything:
        return Outlook("unfinished", seeds_needed=len(planned), trend=trend, advice=_more_seeds(comparison, planned))
    if len(everything) < SEEDS_FOR_A_VERDICT:
        unused = (seed for seed in itertools.count(min(everything)) if seed not in everything)
        more = sorted([*everything, *itertools.islice(unused, SEEDS_FOR_A_VERDICT - len(everything))])
        return Outlook("few seeds", trend=trend, advice=_more_seeds(comparison, more))
    design = comparison.design
    if design is not None:
        needed = design.seeds(_first_stages(comparison))
        if len(everything) < len(needed):
            missing = _more_seeds(comparison, needed)._replace(
                seeds=design.first_stage_seeds, half_width_nats=design.half_width_nats, max_seeds=design.max_seeds
            )
            return Outlook("unfinished", trend=trend, advice=missing)
    tested: Sequence[Difference | ContrastResult] = comparison.contrasts or comparison.differences
    undecided = [
        item
        for item in tested
        if item.split == "valid"
        and item.verdict == INCONCLUSIVE
        and not (isinstance(item, ContrastResult) and item.lies_outside_margin)
    ]
    if undecided and max(map(_reach, undecided)) > 0:
        return _undecided(comparison, undecided, trend)
    advice = None if trend is None else _other_steps(comparison, trend.num_steps)
    if undecided:
        return Outlook("equal", tuple(item.label for item in undecided), trend=trend, advice=advice)
    return Outlook("decided", trend=trend, advice=advice)


def planned_seeds(seeds: list[int], contrasts: Sequence[ContrastResult]) -> list[int]:
    """Those that are there and, up to the number that was planned, those that follow them."""
    number = max((item.num_planned_seeds or 0 for item in contrasts), default=0)
    return [*seeds, *range(max(seeds) + 1, max(seeds) + 1 + number - len(seeds))]


def _undecided(
    comparison: Comparison, undecided: Sequence[Difference | ContrastResult], trend: Trend | None
) -> Outlook:
    """With as many seeds as a narrower interval takes, or other steps where these are more than there may be."""
    arms, design = tuple(item.label for item in undecided), comparison.design
    margins = [item.contrast.equal_within_nats for item in undecided if isinstance(item, ContrastResult)]
    widest = min(WIDEST_NATS, *(margin / NARROWER for margin in margins if margin is not None), math.inf)
    width = _round_below(min(widest, max(map(_reach, undecided)) / NARROWER))
    needed = max(seeds_needed(first_stage, width) for first_stage in _first_stages(comparison))
    if needed > MAX_SEEDS:
        steps = LONGER * _steps(comparison)[-1] if trend is None else trend.num_steps
        return Outlook("undecided", arms, width, needed, trend, _other_steps(comparison, steps))
    first_stage_seeds = comparison.seeds if design is None else design.first_stage_seeds
    is_fixed = design is not None and len(comparison.seeds) > len(first_stage_seeds)  # by its second stage
    number = (needed if is_fixed else needed - len(first_stage_seeds)) * len(comparison.arms)
    advice = _advice(comparison, first_stage_seeds, number)._replace(
        half_width_nats=width, max_seeds=needed, is_elsewhere=is_fixed
    )
    return Outlook("undecided", arms, width, needed, trend, advice)


def _advice(comparison: Comparison, seeds: list[int], num_runs: int) -> Advice:
    return Advice(seeds, num_runs, statistics.fmean(summary.total_seconds for summary in comparison.arms.values()))


def _more_seeds(comparison: Comparison, seeds: list[int]) -> Advice:
    return _advice(comparison, seeds, (len(seeds) - len(comparison.seeds)) * len(comparison.arms))


def _other_steps(comparison: Comparison, num_steps: int) -> Advice | None:
    """The same runs with another number of steps, which take as much longer; None where it may not be, or is theirs."""
    present = _steps(comparison)[-1]
    if num_steps in (0, present) or num_steps > MAX_SIZE:
        return None
    advice = _advice(comparison, comparison.seeds, len(comparison.seeds) * len(comparison.arms))
    return advice._replace(run_seconds=advice.run_seconds * num_steps / present, num_steps=num_steps, is_elsewhere=True)


def _seeds_of(comparison: Comparison, arm: str) -> list[int]:
    return sorted(map(int, comparison.arms[arm].curves))


def _worse_than_unigram(comparison: Comparison) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arms that token frequencies beat on valid with some seed: those that have overfit, and the others."""
    overfit: list[str] = []
    hardly_learned: list[str] = []
    for arm, summary in comparison.arms.items():
        valid = summary.metrics["valid"]
        worse = [
            has_overfit(curve[-1].train_loss_nats, valid.unigram_perplexity)
            for perplexity, curve in zip(valid.masked_lm_perplexity.values, summary.curves.values(), strict=True)
            if perplexity >= valid.unigram_perplexity
        ]
        if worse:
            (overfit if any(worse) else hardly_learned).append(arm)
    return tuple(overfit), tuple(hardly_learned)


def _trend(comparison: Comparison) -> Trend | None:
    """What the learning curves say, each the mean over an arm's seeds."""
    steps = _steps(comparison)
    rises = {arm: _best(comparison, arm)[1] for arm in comparison.arms}
    if max(rises.values()) > RISE_NATS:
        risen = tuple(arm for arm, rise in rises.items() if rise > RISE_NATS)
        return Trend(True, risen, max(rises.values()), min(_best(comparison, arm)[0] for arm in risen))
    if len(steps) < 2:
        return None
    tenths = 10 * (steps[-1] - steps[-2]) / steps[-1]
    losses = {arm: _losses(comparison, arm) for arm in comparison.arms}
    falls = {arm: (of_arm[-2] - of_arm[-1]) / tenths for arm, of_arm in losses.items()}
    falling = tuple(arm for arm, fall in falls.items() if fall > FALL_NATS)
    return Trend(False, falling, max(falls.values()), LONGER * steps[-1]) if falling else None


def _best(comparison: Comparison, arm: str) -> tuple[int, float]:
    """After how many steps an arm's loss on valid is lowest, and by how many nats it ends above that."""
    losses = _losses(comparison, arm)
    lowest = min(losses)
    return _steps(comparison)[losses.index(lowest)], losses[-1] - lowest


def _losses(comparison: Comparison, arm: str) -> list[float]:
    return [point.valid_loss_nats for point in mean_curve(comparison.arms[arm].curves.values())]


def _steps(comparison: Comparison) -> list[int]:
    """Of the points of a mean curve, which are those of all arms."""
    summary = next(iter(comparison.arms.values()))
    return [point.step for point in next(iter(summary.curves.values()))][1:]


def _first_stages(comparison: Comparison) -> list[list[float]]:
    """The values from which the number of seeds follows: of every contrast, or else of every pair, on every split."""
    found = []
    for result in comparison.contrasts:
        of_seed = dict(zip(result.seeds, result.values, strict=True))
        wanted = of_seed if comparison.design is None else comparison.design.first_stage_seeds
        if len(of_seed) > 1 and of_seed.keys() >= set(wanted):
            found.append([of_seed[seed] for seed in wanted])
    if found:
        return found
    for item in comparison.differences:
        by_seed = dict(zip(_seeds_of(comparison, item.arms[1]), item.delta_nats.values, strict=True))
        seeds = by_seed if comparison.design is None else comparison.design.first_stage_seeds
        found.append([by_seed[seed] for seed in seeds])
    return found


def _reach(item: Difference | ContrastResult) -> float:
    low, high = item.interval or (0.0, 0.0)
    return (high - low) / 2


def _round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is no larger: 0.07 → 0.05."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{max(number * power for number in (1, 2, 5) if number * power <= value * (1 + 1e-9)):.1g}")

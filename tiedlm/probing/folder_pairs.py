"""Outcomes of all runs of a folder → how often each is right, and how its arms differ over seeds and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tiedlm.comparison.crossed_interval import FEWEST_GROUPS, Floats, crossed_interval
from tiedlm.comparison.paired_statistics import SIGNIFICANCE, holm
from tiedlm.comparison.tested_differences import verdict_of
from tiedlm.data.frequency_bands import BAND_NAMES
from tiedlm.errors import InputError
from tiedlm.probing.pair_items import PairSet
from tiedlm.probing.pair_scores import (
    Outcomes,
    PairScores,
    TrainWords,
    group_numbers,
    right_bands,
    summarise,
)
from tiedlm.record.run_id import RunId

TOO_FEW = f"the items ask for fewer than {FEWEST_GROUPS} pairs of forms or sentences"
FEWEST_SEEDS = 3
"""For a verdict: of two seeds the interval misses the truth up to twice as often as it says (results/pairs)."""


@dataclass(frozen=True)
class BandDifference:
    """The same difference at the items whose right form is of a band; it has an interval, and is not tested."""

    name: str
    num_items: int
    mean: float | None
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class PairDifference:
    """How much more often the second arm is right than the first, as a share of the items that all runs were asked."""

    arms: tuple[str, str]
    seeds: list[int]
    """That both arms have."""
    num_items: int
    num_groups: int
    """Of items that do not ask for the same two forms."""
    mean: float
    values: list[float]
    """Of each seed."""
    ci95: tuple[float, float] | None
    """Over seeds and items; of one seed, over items alone; None where these ask for fewer than ten pairs of forms."""
    p_value: float | None
    p_holm: float | None
    """Adjusted for the arms of the folder; None where there are too few seeds to test."""
    verdict: str
    by_right_form: list[BandDifference]


@dataclass(frozen=True)
class FolderPairs:
    """All runs of a folder on the same items."""

    schema_version: Literal[1] = field(default=1, init=False)
    folder: str
    runs: list[PairScores]
    differences: list[PairDifference]
    notes: list[str]


def compare_outcomes(
    folder: str, outcomes: Mapping[RunId, Outcomes], pairs: PairSet, train: TrainWords, first: str
) -> FolderPairs:
    """Each other arm minus the `first` one, at the items that every run of the folder was asked.

    Raises:
        InputError: a run was asked none of the items, or there is none that all were asked.
    """
    runs = [summarise(one, pairs, train) for one in outcomes.values()]
    is_scored = np.logical_and.reduce([one.is_scored for one in outcomes.values()])
    if not is_scored.any():
        raise InputError(f"{folder}: no item of --pairs {pairs.name} can be asked of every run; compare fewer arms")
    kept = np.flatnonzero(is_scored)
    points = {run: one.points[kept] for run, one in outcomes.items()}
    others = sorted({run.arm for run in outcomes} - {first})
    seeds_of = {
        arm: sorted(run.seed for run in points if run.arm == arm and RunId(first, run.seed) in points) for arm in others
    }
    shared = PairSet(pairs.name, tuple(pairs.items[number] for number in kept))
    found = [_difference((first, arm), seeds, points, shared, train) for arm, seeds in seeds_of.items() if seeds]
    return FolderPairs(folder, runs, _with_verdicts(found), _notes(found, seeds_of))


def _difference(
    arms: tuple[str, str], seeds: Sequence[int], points: Mapping[RunId, Floats], pairs: PairSet, train: TrainWords
) -> PairDifference:
    values = np.stack([points[RunId(arms[1], seed)] - points[RunId(arms[0], seed)] for seed in seeds])  # (S, N)
    groups = group_numbers(pairs.items)
    whole = crossed_interval(values, groups)
    bands = np.array([str(name) for name in right_bands(pairs.items, train)])
    return PairDifference(
        arms=arms,
        seeds=list(seeds),
        num_items=values.shape[1],
        num_groups=whole.num_groups,
        mean=whole.mean,
        values=values.mean(1).tolist(),
        ci95=whole.ci95,
        p_value=whole.p_value,
        p_holm=None,
        verdict="",
        by_right_form=[_of_band(name, values[:, bands == name], groups[bands == name]) for name in BAND_NAMES],
    )


def _of_band(name: str, values: Floats, groups: npt.NDArray[np.int64]) -> BandDifference:
    """Of (S, n) values and their items' groups, (n,)."""
    if not len(groups):
        return BandDifference(name, 0, None, None)
    interval = crossed_interval(values, np.unique(groups, return_inverse=True)[1])
    return BandDifference(name, len(groups), interval.mean, interval.ci95)


def _with_verdicts(found: list[PairDifference]) -> list[PairDifference]:
    """The p-values of one family, by Holm."""
    tested = [one for one in found if len(one.seeds) >= FEWEST_SEEDS and one.p_value is not None]
    adjusted = dict(zip([one.arms for one in tested], holm([float(one.p_value or 0.0) for one in tested]), strict=True))
    decided = []
    for one in found:
        p_holm = adjusted.get(one.arms)
        is_found = p_holm is not None and p_holm < SIGNIFICANCE
        ahead = one.arms[one.mean > 0] if is_found else None
        decided.append(replace(one, p_holm=p_holm, verdict=verdict_of(ahead, p_holm)))
    return decided


def _notes(found: list[PairDifference], seeds_of: Mapping[str, Sequence[int]]) -> list[str]:
    alone = [arm for arm, seeds in seeds_of.items() if not seeds]
    notes = [f"{arm} has no seed that the first arm has too, so no difference is told." for arm in alone]
    for one in found:
        if one.num_groups < FEWEST_GROUPS:
            notes.append(f"{one.arms[1]}: {TOO_FEW}, so there is no interval and no verdict.")
        elif len(one.seeds) == 1:
            notes.append(
                f"{one.arms[1]}: one seed gives no verdict; its interval is over items alone, and says nothing of "
                "another seed."
            )
        elif len(one.seeds) < FEWEST_SEEDS:
            notes.append(
                f"{one.arms[1]}: {len(one.seeds)} seeds give no verdict; their 95 % interval misses the truth in up to "
                "10 % of the cases."
            )
    return notes

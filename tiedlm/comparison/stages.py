"""Whether the seeds of a folder are those that its two-stage design leads to, by the records of its first stage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tiedlm.comparison.sealed_design import PUT_BACK
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.contrasts import Contrast
from tiedlm.errors import InputError
from tiedlm.record.run_record import RunRecord

NONE: Mapping[str, Contrast] = MappingProxyType({})
"""No planned contrasts."""


def check_seeds(
    records: Sequence[RunRecord],
    design: TwoStage,
    path: Path,
    asked_for: Collection[int] = (),
    contrasts: Mapping[str, Contrast] = NONE,
) -> None:
    """Refuse seeds that the variance of the first stage does not lead to, as its records have it.

    `path` is where the design lies or shall lie; `asked_for` are seeds that are to be trained; `contrasts` are those
    that are tested, where some are planned.

    Raises:
        InputError: two arms have a seed that the design does not take, or one is asked for.
    """
    planned = _planned_seeds(records, design, contrasts)
    too_many = sorted({*asked_for, *_paired_seeds(records)} - set(planned or ()))
    if planned is not None and too_many:
        raise InputError(
            f"{path}: by the variance of seeds {seeds_in_words(design.first_stage_seeds)} its design takes the seeds "
            f"{seeds_in_words(planned)}, not {seeds_in_words(too_many)}; {PUT_BACK}, or compare these in another folder"
        )


def check_complete(
    records: Sequence[RunRecord], design: TwoStage, path: Path, contrasts: Mapping[str, Contrast] = NONE
) -> None:
    """Refuse a second stage of fewer seeds than the design takes, unless one of its records says that it is of it.

    Raises:
        InputError: it is such a second stage.
    """
    planned, later = _planned_seeds(records, design, contrasts), _paired_seeds(records) - {*design.first_stage_seeds}
    is_begun = any("to-within" in (record.design_sha256 or {}) for record in records if record.seed in later)
    number = len(design.first_stage_seeds) + len(later)
    if planned is not None and later and number < len(planned) and not is_begun:
        raise InputError(
            f"{path}: by the variance of seeds {seeds_in_words(design.first_stage_seeds)} its design takes "
            f"{len(planned)} seeds, of which {number} are there; {PUT_BACK}, or give the command with --to-within again"
        )


def _paired_seeds(records: Sequence[RunRecord]) -> set[int]:
    """Those that two arms have."""
    arms_of: dict[int, set[str]] = {}
    for record in records:
        arms_of.setdefault(record.seed, set()).add(record.arm)
    return {seed for seed, arms in arms_of.items() if len(arms) > 1}


def contrast_first_stages(
    records: Sequence[RunRecord], design: TwoStage, contrasts: Mapping[str, Contrast]
) -> list[list[float]]:
    """For the seeds of the first stage, on each split: the values of the contrasts whose arms have all of them."""
    weights = [contrast.used_weights for contrast in contrasts.values() if not contrast.is_of_scan]
    return _first_stages(records, design, weights)


def _planned_seeds(
    records: Sequence[RunRecord], design: TwoStage, contrasts: Mapping[str, Contrast]
) -> list[int] | None:
    """Of the contrast, or else of the pair of arms, that takes the most; None while none has all of the first stage.

    Where seeds of the second stage are older than the contrasts, both count, since the pairs led to these seeds.
    """
    later = [record for record in records if record.seed not in design.first_stage_seeds]
    is_older = any("contrasts" not in (record.design_sha256 or {}) for record in later)
    first_stages = contrast_first_stages(records, design, contrasts)
    if not first_stages or is_older:
        arms = sorted({record.arm for record in records})
        pairs = [{second: 1.0, first: -1.0} for first, second in itertools.combinations(arms, 2)]
        first_stages += _first_stages(records, design, pairs)
    return design.seeds(first_stages) if first_stages else None


def _first_stages(
    records: Sequence[RunRecord], design: TwoStage, weights: Sequence[Mapping[str, float]]
) -> list[list[float]]:
    by_arm: dict[str, dict[int, RunRecord]] = {}
    for record in records:
        by_arm.setdefault(record.arm, {})[record.seed] = record
    whole = {arm for arm, of_arm in by_arm.items() if of_arm.keys() >= set(design.first_stage_seeds)}
    return [
        [
            math.fsum(weight * by_arm[arm][seed].metrics[split].masked_lm_loss_nats for arm, weight in of_arms.items())
            for seed in design.first_stage_seeds
        ]
        for of_arms in weights
        if of_arms.keys() <= whole
        for split in records[0].metrics
    ]


def seeds_in_words(seeds: Sequence[int]) -> str:
    """`0–4`, or `0, 1, 7`."""
    is_range = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}–{seeds[-1]}" if is_range else ", ".join(map(str, seeds[:20]))


def seeds_option(seeds: Sequence[int]) -> str:
    """As `--seeds` takes them: how many, or which; `6,` is seed 6 alone."""
    is_number = list(seeds) == list(range(len(seeds)))
    return str(len(seeds)) if is_number else ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")

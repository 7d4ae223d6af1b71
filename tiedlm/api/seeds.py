"""Which arms and seeds a comparison trains: as many as are asked for, or as many as the question needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tiedlm.comparison.comparability import missing_runs
from tiedlm.comparison.compare import compare
from tiedlm.comparison.designs import DESIGN_FILE, check_new_design, sealed_two_stage
from tiedlm.comparison.sealed_design import Sealed, save_decision, seal
from tiedlm.comparison.stages import NONE, check_seeds, contrast_first_stages, seeds_in_words, seeds_option
from tiedlm.comparison.two_stage import MAX_SEEDS, MIN_FIRST_STAGE, TwoStage, seeds_needed
from tiedlm.config.contrasts import Contrast
from tiedlm.config.experiment import Experiment
from tiedlm.errors import InputError
from tiedlm.execution.run_lock import held_runs
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId


def check_seed(seed: int) -> None:
    """Refuse what no generator can be seeded with.

    Raises:
        InputError: it is below 0 or above 2⁶³ − 1.
    """
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed {seed} is not a number from 0 to 2⁶³ − 1; choose another")


def chosen_runs(experiment: Experiment, arms: Sequence[str] | None, seeds: int | Sequence[int] | None) -> list[RunId]:
    """The runs of a comparison, the arms of one seed next to each other.

    Raises:
        InputError: an arm or a seed is unknown or given twice, or there are not two arms.
    """
    names = experiment.arm_names if arms is None else list(arms)
    for name in names:
        experiment.check_arm(name)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(
            f"--arms {','.join(names)}: a comparison needs two or more different arms; choose from "
            f"{', '.join(experiment.arm_names)}"
        )
    chosen = experiment.seeds if seeds is None else seeds
    numbers = list(range(min(chosen, MAX_SEEDS + 1)) if isinstance(chosen, int) else chosen)
    if not 0 < len(set(numbers)) == len(numbers) <= MAX_SEEDS or min(numbers) < 0:
        raise InputError(
            f"--seeds {chosen} is neither a number from 1 to {MAX_SEEDS:,} nor different seeds from 0 on; give e.g. "
            "3 or 0,1,2"
        )
    return [RunId(name, seed) for seed in numbers for name in names]


def plan_stages(
    runs: list[RunId], to_within: float, max_seeds: int, folder: Path, contrasts: Mapping[str, Contrast] = NONE
) -> Sealed[TwoStage]:
    """The design of a command, which takes the place of the folder's while nothing of a second stage was trained.

    `contrasts` are those of the experiment.

    Raises:
        InputError: the first stage is too small, or the folder has another design that stays, or seeds that this one
            does not lead to.
    """
    first_stage = sorted({run.seed for run in runs})
    if len(first_stage) < MIN_FIRST_STAGE:
        raise InputError(
            f"--to-within {to_within:g} needs a first stage of {MIN_FIRST_STAGE} seeds at least, --seeds is "
            f"{len(first_stage)}; give --seeds {MIN_FIRST_STAGE}"
        )
    if not 0 < to_within < math.inf or not len(first_stage) <= max_seeds <= MAX_SEEDS:
        raise InputError(
            f"--to-within {to_within:g} --max-seeds {max_seeds}: the width must be above 0, and the seeds no fewer "
            f"than the {len(first_stage)} of the first stage and no more than {MAX_SEEDS:,}; change one of them"
        )
    design = TwoStage(half_width_nats=to_within, first_stage_seeds=first_stage, max_seeds=max_seeds)
    earlier = sealed_two_stage(folder)
    records = load_records(folder, may_be_empty=True) if folder.is_dir() else []
    if earlier is not None and earlier.design != design:
        begun = [*(record.run for record in records), *held_runs(folder)]
        later = [run.record_file for run in begun if run.seed not in earlier.design.first_stage_seeds]
        if later or not design.follows(earlier.design):
            stays = f"{later[0]} is of its second stage" if later else "its first stage stays"
            raise InputError(
                f"--out {folder}: already has a plan: {_in_words(earlier.design)}, and {stays}; give it again "
                f"({_as_options(earlier.design)}), or choose another --out"
            )
    sealed = seal(design, earlier)
    check_seeds(records, design, folder / DESIGN_FILE, contrasts=contrasts)
    check_new_design("to-within", sealed, folder)
    return sealed


def decide(sealed: Sealed[TwoStage], folder: Path) -> None:
    """Write a design down; what is there stays as it is where it is the same."""
    save_decision(sealed, folder / DESIGN_FILE)


def _in_words(design: TwoStage) -> str:
    first_stage = seeds_in_words(design.first_stage_seeds)
    return f"± {design.half_width_nats:g}, seeds {first_stage}, at most {design.max_seeds}"


def _as_options(design: TwoStage) -> str:
    seeds = seeds_option(design.first_stage_seeds)
    return f"--seeds {seeds} --to-within {design.half_width_nats:g} --max-seeds {design.max_seeds}"


class Stages(NamedTuple):
    """All runs that a two-stage design takes."""

    runs: list[RunId]
    """The first stage's alone while the number is not known."""
    seeds_needed: int | None
    """How many the wanted width takes, which may be more than the design allows; None while a run of the first stage
    has no record."""


def both_stages(
    first_stage: list[RunId], design: TwoStage, folder: Path, contrasts: Mapping[str, Contrast] = NONE
) -> Stages:
    """The runs of both stages, by the records of the first: for the contrasts, or else for each difference.

    Raises:
        InputError: the folder has seeds that the design does not lead to.
    """
    everything = load_records(folder, may_be_empty=True) if folder.is_dir() else []
    check_seeds(everything, design, folder / DESIGN_FILE, contrasts=contrasts)
    if missing_runs(everything, first_stage):
        return Stages(first_stage, None)
    records = [record for record in everything if record.run in first_stage]
    values = contrast_first_stages(records, design, contrasts)
    if not values:
        values = [difference.delta_nats.values for difference in compare(records, design).differences]
    names = list(dict.fromkeys(run.arm for run in first_stage))
    runs = [RunId(name, seed) for seed in design.seeds(values) for name in names]
    return Stages(runs, max(seeds_needed(of_difference, design.half_width_nats) for of_difference in values))


def stages_sentence(stages: Stages, design: TwoStage) -> str:
    """How many seeds the wanted width takes, and how many more that is."""
    seeds = seeds_in_words(design.first_stage_seeds)
    width = f"an interval of ± {design.half_width_nats:g} nats a token"
    if stages.seeds_needed is None:
        return f"how many seeds {width} needs follows from seeds {seeds}, which come first"
    number = len({run.seed for run in stages.runs})
    allowed = "" if number >= stages.seeds_needed else f", of which --max-seeds allows {number}"
    more = number - len(design.first_stage_seeds)
    return f"{width} needs {stages.seeds_needed:,} seeds by the variance of seeds {seeds}{allowed}: {more} more"

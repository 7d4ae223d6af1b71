"""The contrasts of an experiment's file → the folder of its runs, before the first of them is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiedlm.comparison.cells import cells_with_records
from tiedlm.comparison.designs import CONTRASTS_FILE, check_new_design, sealed_contrasts
from tiedlm.comparison.sealed_design import Sealed, seal
from tiedlm.config.contrasts import Contrasts
from tiedlm.config.experiment import Experiment
from tiedlm.errors import InputError
from tiedlm.execution.run_lock import held_runs
from tiedlm.record.run_id import RunId


def planned_contrasts(experiment: Experiment, folder: Path) -> Sealed[Contrasts] | None:
    """The contrasts as they are, or shall be, in the folder; None where there are none.

    An experiment that was read from records has no contrast whose arms have no record. The number of seeds that was
    planned first stays.

    Raises:
        InputError: the folder has runs and other contrasts, or its records were trained by others.
    """
    plan = Contrasts(contrasts=experiment.contrasts, num_seeds=experiment.seeds)
    earlier = sealed_contrasts(folder)
    if earlier is None or (plan.contrasts and not _has_runs(folder)):
        sealed = seal(plan)
        check_new_design("contrasts", sealed, folder)
        return sealed if plan.contrasts else None
    known = {
        name: contrast
        for name, contrast in earlier.design.contrasts.items()
        if contrast.weights.keys() <= set(experiment.arm_names)
    }
    if plan.contrasts != known:
        raise InputError(
            f"{folder / CONTRASTS_FILE}: has other contrasts ({_in_words(earlier.design)}) than this command's "
            f"experiment ({_in_words(plan)}); set them back in its file, or choose another --out"
        )
    return earlier


def check_of_scan(experiment: Experiment, values: Mapping[str, Sequence[Any]]) -> None:
    """Refuse contrasts over cells that a scan of these values does not have.

    Raises:
        InputError: a contrast names a key or a value that is not scanned, or a slope against what is no number.
    """
    for name, contrast in experiment.contrasts.items():
        for key, wanted in contrast.where.items():
            missing = [value for value in wanted if value not in values.get(key, ())]
            if missing:
                raise InputError(
                    f"contrasts.{name}.where: {key}={missing[0]!r} is not scanned; add it to --scan, or change "
                    "the contrast"
                )
        key = contrast.slope_per_doubling_of or ""
        steps = contrast.where.get(key) or values.get(key, ())
        if key and (len(steps) < 2 or not all(is_above_zero(value) for value in steps)):
            raise InputError(
                f"contrasts.{name}.slope_per_doubling_of={key!r} needs two or more scanned values above 0, not "
                f"{list(steps)[:20]}; add them to --scan, or change the contrast"
            )


def is_above_zero(value: object) -> bool:
    """Whether a value has a logarithm."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _has_runs(folder: Path) -> bool:
    """Whether a run of the folder, or of a cell, has a record or is being made."""
    cells = [path for path in folder.iterdir() if "=" in path.name and path.is_dir()]
    has_records = cells_with_records(folder) or any(RunId.of_record_file(path.name) for path in folder.iterdir())
    return bool(has_records) or any(held_runs(place) for place in (folder, *cells))


def _in_words(plan: Contrasts) -> str:
    told = (f"{name}: {contrast.formula} {contrast.prediction}" for name, contrast in plan.contrasts.items())
    return "; ".join(told) or "none"

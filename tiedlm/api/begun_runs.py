"""A folder of runs of which none has a record yet: what is known of them by their checkpoints."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.config.experiment import BUILT_IN_ARMS, SECTIONS_OF_ARMS, Overrides
from tiedlm.config.run_config import RunConfig
from tiedlm.errors import InputError
from tiedlm.execution.planned_runs import PLANNED_FILE, load_planned
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import CHECKPOINTS_FOLDER, RunId

if TYPE_CHECKING:
    from tiedlm.training.checkpoint import RunKey

AGAIN = "give the command that began it again"


@dataclass(frozen=True)
class BegunRun:
    """What the checkpoint of a run says of its experiment, as a record would."""

    experiment: str
    arm: str
    seed: int
    overrides: Overrides
    """In what it differs from a built-in arm, and what makes it one."""
    config: RunConfig
    file_name: str


def is_begun(folder: Path) -> bool:
    """Whether a command has begun to train there."""
    return (folder / PLANNED_FILE).exists() or bool(_with_checkpoint(folder))


def begun_runs(folder: Path) -> list[BegunRun]:
    """The runs that have a checkpoint.

    Raises:
        InputError: there are none, or one of an arm that was asked for is missing, and only it tells what the arm is.
    """
    keys = _keys(folder)
    if not keys:
        raise InputError(f"{folder}: was interrupted before a run had a checkpoint, so nothing is lost; {AGAIN}")
    arms = [key.arm for key in keys]
    unknown = [run.arm for run in load_planned(folder) if run.arm not in (*BUILT_IN_ARMS, *arms)]
    base = next((key for arm in BUILT_IN_ARMS for key in keys if key.arm == arm), None)
    if unknown or base is None:
        arm = unknown[0] if unknown else " and ".join(BUILT_IN_ARMS)
        raise InputError(f"{folder}: was interrupted before {arm} had a checkpoint, which says what it is; {AGAIN}")
    return [
        BegunRun(
            key.experiment,
            key.arm,
            key.seed,
            _overrides(key, base),
            key.config,
            f"{CHECKPOINTS_FOLDER}/{key.run.model_file}",
        )
        for key in keys
    ]


def begun_seeds(folder: Path) -> list[int]:
    """Those of the runs that were asked for, or have a checkpoint."""
    return sorted({run.seed for run in (*load_planned(folder), *_with_checkpoint(folder))})


def begun_precision(folder: Path) -> str | None:
    """That of the runs which have a checkpoint; None where none has."""
    return next((key.precision for key in _keys(folder)), None)


def text_sha256_of(folder: Path) -> dict[str, str] | None:
    """The hashes of the text of a folder's runs, by the first record or checkpoint; None where there is neither.

    Raises:
        InputError: the record is damaged.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in filter(RunId.of_record_file, names):
        return load_record(folder / name).data.text_sha256
    return next((key.data.text_sha256 for key in _keys(folder)), None)


def _with_checkpoint(folder: Path) -> list[RunId]:
    place = folder / CHECKPOINTS_FOLDER
    return RunId.of_models_in(place) if place.is_dir() else []


def _keys(folder: Path) -> list[RunKey]:
    runs = _with_checkpoint(folder)
    if not runs:
        return []
    from tiedlm.training.checkpoint import CheckpointFiles  # here, since it imports torch

    return [key for run in runs for _, key in itertools.islice(CheckpointFiles(folder, run).keys(), 1)]


def _overrides(key: RunKey, base: RunKey) -> Overrides:
    built_in = BUILT_IN_ARMS.get(key.arm, {})
    found: Overrides = {}
    for section in SECTIONS_OF_ARMS:
        common = dict(getattr(base.config, section))
        own: dict[str, Any] = {
            name: value for name, value in getattr(key.config, section) if value != common[name]
        } | built_in.get(section, {})
        if own:
            found[section] = own
    return found

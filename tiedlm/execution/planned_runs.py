"""Which runs a folder was asked for so far, so that whoever asks for its state knows what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from tiedlm.atomic_file import write_atomically
from tiedlm.config.strict import Name, Strict
from tiedlm.errors import InputError
from tiedlm.record.metrics import Count
from tiedlm.record.run_id import RunId
from tiedlm.regular_file import read_regular_file

PLANNED_FILE = "plan.json"
MAX_PLANNED_BYTES = 10_000_000


class PlannedRuns(Strict):
    """The union of what all commands in a folder asked for. It decides nothing."""

    schema_version: Literal[1]
    seeds: dict[Name, list[Count]]
    """By arm."""


def load_planned(folder: Path) -> list[RunId]:
    """The runs that commands asked for, by arm; none where no command has.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / PLANNED_FILE
    if not path.exists():
        return []
    try:
        planned = PlannedRuns.model_validate_json(read_regular_file(path, MAX_PLANNED_BYTES))
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: is damaged; delete it, and the next command there writes it again") from error
    return [RunId(arm, seed) for arm, seeds in planned.seeds.items() for seed in seeds]


def add_planned(folder: Path, runs: Sequence[RunId]) -> None:
    """Add runs to those that were asked for, while the folder is locked.

    Raises:
        InputError: the file is damaged.
    """
    earlier = load_planned(folder)
    together = {*earlier, *runs}
    if together == set(earlier):
        return
    arms = dict.fromkeys(run.arm for run in (*earlier, *runs))
    seeds = {arm: sorted(run.seed for run in together if run.arm == arm) for arm in arms}
    document = PlannedRuns(schema_version=1, seeds=seeds).model_dump(mode="json")
    write_atomically(folder / PLANNED_FILE, json.dumps(document) + "\n")

"""What the options of `compare` ask for → the commands of `--plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiedlm.api.planned_commands import PlannedCommands, commands_of_cells, commands_of_comparison
from tiedlm.api.runs import run_folder
from tiedlm.api.scan import decide_scan
from tiedlm.api.tuning import choose, decide_tuning
from tiedlm.config.experiment import Experiment
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId


@dataclass(frozen=True)
class Wanted:
    """What is compared, where, and how runs are made."""

    experiment: Experiment
    arms: Sequence[str] | None
    seeds: int | Sequence[int] | None
    runs: list[RunId]
    """Of these arms and seeds."""
    to_within: float | None
    max_seeds: int
    out: Path
    data_dir: Path | None
    text_column: str | None
    options: RunOptions


def plan_of_compare(
    wanted: Wanted, scanned: Mapping[str, Sequence[Any]] | None, is_tuned: bool, trials: int | None
) -> PlannedCommands:
    """The commands of the runs that have no record; designs are written down, and nothing is trained.

    Raises:
        InputError: as `compare`, `scan` and `tuned` do before they train.
    """
    data_dir, column = wanted.data_dir, wanted.text_column
    if scanned is not None:
        _, cells = decide_scan(
            wanted.experiment,
            scanned,
            wanted.arms,
            wanted.seeds,
            out=wanted.out,
            data_dir=data_dir,
            text_column=column,
            options=wanted.options,
        )
        return commands_of_cells(cells, wanted.options, None)
    experiment, settings = wanted.experiment, dict[str, Any]()
    if is_tuned:
        tuning = decide_tuning(
            experiment,
            wanted.arms,
            trials=trials,
            out=wanted.out,
            data_dir=data_dir,
            text_column=column,
            options=wanted.options,
        )
        of_tuning = commands_of_cells(tuning.cells, wanted.options, "the values of the comparison follow from these")
        if of_tuning.commands:
            return of_tuning
        experiment, settings = choose(tuning, wanted.options)
    folder = run_folder(experiment, wanted.out, data_dir, column, wanted.options)
    return commands_of_comparison(folder, wanted.runs, wanted.to_within, wanted.max_seeds, settings)

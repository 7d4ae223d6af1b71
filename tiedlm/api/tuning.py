"""Each arm at the values of its lowest loss: tuned by the experiment's file, with seeds that are not compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiedlm.api.cell_experiments import Cell, make_cells, make_cells_of
from tiedlm.api.cell_queue import CellRuns, make_cells_runs
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.runs import as_experiment, out_folder, run_folder
from tiedlm.comparison.designs import TUNE_FILE, check_designs, check_new_design, sealed_tune
from tiedlm.comparison.sealed_design import Sealed, save_decision, seal
from tiedlm.comparison.trials import tuned_folders
from tiedlm.comparison.tuning_table import FIRST_TUNING_SEED, TUNE_FOLDER, read_tuning
from tiedlm.config.experiment import Experiment, changed
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.execution.folder_lock import PATIENCE_SECONDS, locked
from tiedlm.execution.run_lock import held_runs
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.reporting.tuning_report import lowest_sentence


def tuned(
    experiment: Experiment | str | Path | None,
    arms: Sequence[str] | None = None,
    *,
    trials: int | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Experiment:
    """The experiment with those of its `[tune]` values that give each arm the lowest loss on valid.

    With `trials`, that many points of `tune.ranges` are drawn, the same for every arm; else every combination of
    `tune.values` is a cell. Every arm is trained in every cell with the tuning's number of seeds, unless the records
    are there, in `out/tune/CELL`; `out` is by default `runs/NAME-tuned`. A run that diverges there is a failed trial,
    and stops nothing. More trials may be added until a run of the comparison has been trained. The test split has no
    part in the choice. Give the same `out` to `compare`, since runs at other values may lie in its own.

    Raises:
        InputError: the experiment has no such `[tune]`, or a cell of it is none in which arms may differ.
        RunsFailed: runs failed, and not since they diverged.
    """
    options = options or RunOptions()
    tuning = decide_tuning(
        experiment, arms, trials=trials, out=out, data_dir=data_dir, text_column=text_column, options=options
    )
    options.listener.notice(f"tuning, in {len(tuning.cells)} cells")
    make_cells_runs(tuning.cells, tuning.folder / TUNE_FOLDER, options)
    return choose(tuning, options)[0]


@dataclass(frozen=True)
class Tuning:
    """What is tuned, and the runs that it takes."""

    experiment: Experiment
    arms: list[str]
    tune: Tune
    folder: Path
    """Of the comparison; that of the tuning lies in it."""
    cells: list[CellRuns]


def decide_tuning(
    experiment: Experiment | str | Path | None,
    arms: Sequence[str] | None = None,
    *,
    trials: int | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions,
) -> Tuning:
    """Write down what is tuned, and tell the runs.

    Raises:
        InputError: as `tuned`.
    """
    experiment = as_experiment(experiment)
    if experiment.tune is None:
        raise InputError(f"experiment {experiment.name!r} has no [tune], so there is nothing to tune; add one")
    tune = experiment.tune.design(trials, experiment.name)
    folder = tuned_folder(experiment, out)
    names = list(experiment.arm_names if arms is None else arms)
    cells = _cells(experiment, tune, names)
    _sealed(tune, folder)  # what cannot be is refused before a folder is made
    find_text = run_folder(experiment, folder, data_dir, text_column, options).find_text

    from tiedlm.execution.output_folder import make_folder  # here, since it imports torch

    place = folder / TUNE_FOLDER
    make_folder(place)
    with locked(place, PATIENCE_SECONDS):
        save_decision(_sealed(tune, folder), place / TUNE_FILE)
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + tune.seeds)
    runs = [RunId(arm, seed) for seed in seeds for arm in names]
    of_cells = [
        CellRuns(
            cell, RunFolder(cell.experiment, place / cell.folder, find_text, options, divergence_counts=True), runs
        )
        for cell in cells
    ]
    return Tuning(experiment, names, tune, folder, of_cells)


def choose(tuning: Tuning, options: RunOptions) -> tuple[Experiment, dict[str, Any]]:
    """The experiment with the values of each arm's lowest loss, of all runs of the tuning, and these values.

    Raises:
        InputError: a run has no result.
    """
    found = read_tuning(tuning.folder / TUNE_FOLDER, tuning.tune, check_designs)
    for arm in tuning.arms:
        options.listener.notice(lowest_sentence(found, arm))
    values = {f"arms.{arm}.{key}": value for arm in tuning.arms for key, value in found.lowest[arm].values.items()}
    return changed(tuning.experiment, values), values


def _cells(experiment: Experiment, tune: Tune, arms: Sequence[str]) -> list[Cell]:
    """All of them, so that one that cannot be is refused before the first is trained."""
    if tune.trials is None:
        return make_cells(experiment, tune.values or {}, arms)
    return make_cells_of(experiment, tuned_folders(tune), arms)


def _sealed(tune: Tune, folder: Path) -> Sealed[Tune]:
    """The design of a command, which may only add trials to that of the folder, and only while nothing is compared."""
    earlier = sealed_tune(folder)
    if earlier is not None and earlier.design != tune:
        if not tune.prolongs(earlier.design):
            is_shorter = earlier.design.prolongs(tune)
            remedy = f"give --trials {earlier.design.trials}" if is_shorter else "choose another --out"
            raise InputError(f"--out {folder}: already has a tuning: {earlier.design.words}; {remedy}")
        begun = [*(record.run for record in load_records(folder, may_be_empty=True)), *held_runs(folder)]
        if begun:
            raise InputError(
                f"--trials {tune.trials}: {folder / begun[0].record_file} was trained after {earlier.design.trials} "
                f"trials, so none is added; give --trials {earlier.design.trials}, or choose another --out"
            )
    sealed = seal(tune, earlier)
    check_new_design("tune", sealed, folder)
    return sealed


def tuned_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of a comparison after a tuning: the one given, or `runs/NAME-tuned`.

    Raises:
        InputError: it is a file.
    """
    return out_folder(experiment, out, "-tuned")

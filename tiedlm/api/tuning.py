"""Each arm at the values of its lowest loss: tuned by the experiment's file, with seeds that are not compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiedlm.api.cell_experiments import Cell, make_cells, make_cells_of
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.runs import as_experiment, out_folder, run_folder
from tiedlm.comparison.designs import TUNE_FILE, check_designs, check_new_design, sealed_tune
from tiedlm.comparison.sealed_design import Sealed, save_decision, seal
from tiedlm.comparison.trials import tuned_folders
from tiedlm.comparison.tuning_table import FIRST_TUNING_SEED, TUNE_FOLDER, read_tuning
from tiedlm.config.experiment import Experiment, changed
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.report.tuning_report import lowest_sentence


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
    experiment = as_experiment(experiment)
    if experiment.tune is None:
        raise InputError(f"experiment {experiment.name!r} has no [tune], so there is nothing to tune; add one")
    tune = experiment.tune.design(trials, experiment.name)
    options = options or RunOptions()
    folder = tuned_folder(experiment, out)
    names = list(experiment.arm_names if arms is None else arms)
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + tune.seeds)
    cells = _cells(experiment, tune, names)
    sealed = _sealed(tune, folder)
    find_text = run_folder(experiment, folder, data_dir, text_column, options).find_text

    from tiedlm.execution.output_folder import make_folder  # here, since it imports torch

    make_folder(folder / TUNE_FOLDER)
    save_decision(sealed, folder / TUNE_FOLDER / TUNE_FILE)
    for number, cell in enumerate(cells, 1):
        options.listener.notice(f"tuning, cell {number} of {len(cells)}: {cell.folder}")
        runs = [RunId(arm, seed) for seed in seeds for arm in names]
        place = folder / TUNE_FOLDER / cell.folder
        RunFolder(cell.experiment, place, find_text, options, divergence_counts=True).train_missing(runs)
    tuning = read_tuning(folder / TUNE_FOLDER, tune, check_designs)
    for arm in names:
        options.listener.notice(lowest_sentence(tuning, arm))
    found = {f"arms.{arm}.{key}": value for arm in names for key, value in tuning.lowest[arm].values.items()}
    return changed(experiment, found)


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
            raise InputError(f"--out {folder}: was tuned otherwise ({earlier.design}); {remedy}")
        records = load_records(folder, may_be_empty=True)
        if records:
            raise InputError(
                f"--trials {tune.trials}: {folder / records[0].file_name} was trained after {earlier.design.trials} "
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

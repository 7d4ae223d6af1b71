"""Each arm at its own best: tuned over the values of the experiment's file, with seeds that are not compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiedlm.api.cell_experiments import make_cells
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.runs import as_experiment, out_folder, run_folder
from tiedlm.comparison.designs import TUNE_FILE, check_designs, check_new_design, sealed_tune
from tiedlm.comparison.sealed_design import save_decision, seal
from tiedlm.comparison.tuning_table import FIRST_TUNING_SEED, TUNE_FOLDER, best_values, tuning_table
from tiedlm.config.experiment import Experiment, changed
from tiedlm.errors import InputError
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId


def tuned(
    experiment: Experiment | str | Path | None,
    arms: Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Experiment:
    """The experiment with those of its `[tune]` values that give each arm the lowest loss on valid.

    Every arm is trained in every cell with the tuning's number of seeds, unless the records are there, in
    `out/tune/CELL`; `out` is by default `runs/NAME-tuned`. The test split has no part in the choice. Give the same
    `out` to `compare`, since runs at other values may lie in its own.

    Raises:
        InputError: the experiment has no `[tune]`, or a cell of it is none in which arms may differ.
        RunsFailed: runs failed.
    """
    experiment = as_experiment(experiment)
    if experiment.tune is None:
        raise InputError(f"experiment {experiment.name!r} has no [tune], so there is nothing to tune; add one")
    options = options or RunOptions()
    folder = tuned_folder(experiment, out)
    names = list(experiment.arm_names if arms is None else arms)
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + experiment.tune.seeds)
    cells = make_cells(experiment, experiment.tune.values, names)
    earlier = sealed_tune(folder)
    if earlier is not None and earlier.design != experiment.tune:
        raise InputError(f"--out {folder}: was tuned over other values ({earlier.design}); choose another --out")
    sealed = seal(experiment.tune, earlier)
    check_new_design("tune", sealed, folder)
    find_text = run_folder(experiment, folder, data_dir, text_column, options).find_text

    from tiedlm.execution.output_folder import make_folder  # here, since it imports torch

    make_folder(folder / TUNE_FOLDER)
    save_decision(sealed, folder / TUNE_FOLDER / TUNE_FILE)
    for number, cell in enumerate(cells, 1):
        options.listener.notice(f"tuning, cell {number} of {len(cells)}: {cell.folder}")
        runs = [RunId(arm, seed) for seed in seeds for arm in names]
        place = folder / TUNE_FOLDER / cell.folder
        RunFolder(cell.experiment, place, find_text, options).train_missing(runs)
    chosen: dict[str, Any] = {}
    table = tuning_table(folder / TUNE_FOLDER, experiment.tune, check_designs)
    for arm in names:
        best = best_values(table, arm)
        options.listener.notice(f"{arm}: lowest on valid at {', '.join(f'{key}={v}' for key, v in best.items())}")
        chosen |= {f"arms.{arm}.{key}": value for key, value in best.items()}
    return changed(experiment, chosen)


def tuned_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of a comparison at each arm's best: the one given, or `runs/NAME-tuned`.

    Raises:
        InputError: it is a file.
    """
    return out_folder(experiment, out, "-tuned")

"""Each arm at its own best: the experiment's grid, searched for each arm with seeds that are not compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiedlm.api.cell_experiments import make_cells
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.runs import as_experiment, out_folder, run_folder
from tiedlm.comparison.tuning_table import FIRST_SEARCH_SEED, SEARCH_FOLDER, best_values, search_table
from tiedlm.config.experiment import Experiment, changed
from tiedlm.errors import InputError
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId
from tiedlm.report.write import GRID_FILE, load_grid, save_decision


def tuned(
    experiment: Experiment | str | Path | None,
    arms: Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Experiment:
    """The experiment with the values of its grid that give each arm the lowest loss on valid.

    Every arm is trained in every cell with the grid's number of seeds, unless the records are there, in
    `out/search/CELL`; `out` is by default `results/NAME-tuned`. The test split has no part in the choice. Give the same
    `out` to `compare`, since runs at other values may lie in its own.

    Raises:
        InputError: the experiment has no grid, or a cell of it is none in which arms may differ.
        RunsFailed: runs failed.
    """
    experiment = as_experiment(experiment)
    if experiment.grid is None:
        raise InputError(f"experiment {experiment.name!r} has no [grid], so there is nothing to tune; add one")
    options = options or RunOptions()
    folder = tuned_folder(experiment, out)
    names = list(experiment.arm_names if arms is None else arms)
    seeds = range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + experiment.grid.seeds)
    cells = make_cells(experiment, experiment.grid.values, names)
    earlier = load_grid(folder)
    if earlier not in (None, experiment.grid):
        raise InputError(f"--out {folder}: was searched over another grid ({earlier}); choose another --out")
    find_text = run_folder(experiment, folder, data_dir, text_column, options).find_text

    from tiedlm.execution.output_folder import make_folder  # here, since it imports torch

    make_folder(folder / SEARCH_FOLDER)
    save_decision(experiment.grid, folder / SEARCH_FOLDER / GRID_FILE)
    for number, cell in enumerate(cells, 1):
        options.listener.notice(f"search, cell {number} of {len(cells)}: {cell.folder}")
        runs = [RunId(arm, seed) for seed in seeds for arm in names]
        place = folder / SEARCH_FOLDER / cell.folder
        RunFolder(cell.experiment, place, find_text, options).train_missing(runs)
    chosen: dict[str, Any] = {}
    table = search_table(folder / SEARCH_FOLDER, experiment.grid)
    for arm in names:
        best = best_values(table, arm)
        options.listener.notice(f"{arm}: lowest on valid at {', '.join(f'{key}={v}' for key, v in best.items())}")
        chosen |= {f"arms.{arm}.{key}": value for key, value in best.items()}
    return changed(experiment, chosen)


def tuned_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of a comparison at each arm's best: the one given, or its own below `results`.

    Raises:
        InputError: it is a file.
    """
    return out_folder(experiment, Path("results", f"{experiment.name}-tuned") if out is None else out)

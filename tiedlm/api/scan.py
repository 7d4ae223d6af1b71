"""A comparison in every cell of some values of some keys: when does tying help?"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tiedlm.api.cell_experiments import Cell, make_cells
from tiedlm.api.cell_queue import CellRuns, make_cells_runs
from tiedlm.api.engine import share_out
from tiedlm.api.measure_similarity import measure_similarity
from tiedlm.api.planned_contrasts import check_of_scan, planned_contrasts
from tiedlm.api.runs import as_experiment, out_folder, run_folder
from tiedlm.api.seeds import chosen_runs
from tiedlm.comparison.comparability import flatten
from tiedlm.comparison.designs import CONTRASTS_FILE, SCAN_DESIGN_FILE, check_new_design, sealed_scan
from tiedlm.comparison.scan_result import Scan, ScanDesign
from tiedlm.comparison.sealed_design import Sealed, save_decision, seal
from tiedlm.config.experiment import Experiment
from tiedlm.config.strict import validated
from tiedlm.data.sources.corpus import Corpus
from tiedlm.errors import InputError, RunsFailed
from tiedlm.execution.folder_lock import PATIENCE_SECONDS, locked
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId
from tiedlm.reporting.write_scan import update_scan

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan


def scan(
    experiment: Experiment | str | Path | None,
    values: Mapping[str, Sequence[Any]],
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Scan:
    """Compare the arms for every combination of values, by `section.key`, each in a folder of its own below `out`.

    The runs of all cells are one queue. Cells that have their records are not trained again, so an interrupted scan
    goes on, and one over more values of the same keys adds to it. `out` is by default `runs/NAME-scan`. The rest is as
    for `compare`.

    Raises:
        InputError: a combination is no experiment, or `out` holds another scan.
        RunsFailed: some runs failed; the other cells are kept, and put together where that can be done.
    """
    options = options or RunOptions()
    folder, cells = decide_scan(
        experiment, values, arms, seeds, out=out, data_dir=data_dir, text_column=text_column, options=options
    )
    try:
        make_cells_runs(cells, folder, options)
    except RunsFailed:
        with contextlib.suppress(InputError):  # what is left cannot be put together
            _put_together(cells, folder)
        raise
    return _put_together(cells, folder)


def decide_scan(
    experiment: Experiment | str | Path | None,
    values: Mapping[str, Sequence[Any]],
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions,
) -> tuple[Path, list[CellRuns]]:
    """The folder of a scan, in which it is written down what is scanned, and the runs of its cells.

    Raises:
        InputError: as `scan`.
    """
    checked = _check(experiment, values, arms, seeds, out)

    from tiedlm.execution.output_folder import make_folder  # here, since it imports torch

    make_folder(checked.folder)
    with locked(checked.folder, PATIENCE_SECONDS):
        save_decision(_seal(checked.design, checked.folder), checked.folder / SCAN_DESIGN_FILE)
        contrasts = planned_contrasts(checked.experiment, checked.folder)
        if contrasts is not None:
            save_decision(contrasts, checked.folder / CONTRASTS_FILE)
    return checked.folder, _cell_runs(checked, data_dir, text_column, options)


def plan_scan(
    experiment: Experiment | str | Path | None,
    values: Mapping[str, Sequence[Any]],
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Plan:
    """What `scan` with the same arguments would train, and how long that takes by a few timed steps of the first cell.

    A run of another cell is taken to be as much longer as it has more tokens times parameters. Nothing is written but
    the cache of tokens.

    Raises:
        InputError: as `scan` does before it trains.
    """
    from tiedlm.execution.plan import plan_of_cells  # here, since it imports torch

    options = options or RunOptions()
    checked = _check(experiment, values, arms, seeds, out)
    parts = _cell_runs(checked, data_dir, text_column, options)
    found = [(part.folder, part.folder.checked(part.runs)) for part in parts]
    missing = [(folder, prepared) for folder, prepared in found if prepared.jobs]
    jobs = [job for _, prepared in missing for job in prepared.jobs]
    side_by_side = share_out(jobs, options)[1] if jobs else 0
    plan = plan_of_cells([prepared.plan for _, prepared in found], checked.folder, side_by_side, len(parts))
    if not missing:
        return plan
    folder, first = missing[0]
    timed = folder.timed(first)
    if timed.tokens_per_second is None:
        return plan
    plans = [part.plan for _, part in missing]
    work = [one.tokens_of_run * one.parameters[run.arm] for one in plans for run in one.to_train]
    evaluation = [one.evaluation_tokens_of_run * one.parameters[run.arm] for one in plans for run in one.to_train]
    seconds = timed.tokens_of_run / timed.tokens_per_second * max(1.0, sum(work) / work[0] / side_by_side)
    return dataclasses.replace(
        plan,
        tokens_per_second=timed.tokens_per_second,
        estimated_seconds=seconds,
        estimated_evaluation_seconds=seconds * sum(evaluation) / sum(work),
    )


class _Checked(NamedTuple):
    """A scan that can be, of which nothing is written yet."""

    experiment: Experiment
    folder: Path
    design: ScanDesign
    cells: list[Cell]
    runs: list[RunId]
    """Of each cell."""


def _check(
    experiment: Experiment | str | Path | None,
    values: Mapping[str, Sequence[Any]],
    arms: Sequence[str] | None,
    seeds: int | Sequence[int] | None,
    out: str | Path | None,
) -> _Checked:
    """Refuse what cannot be, before a folder is made."""
    experiment = as_experiment(experiment)
    folder = scan_folder(experiment, out)
    document = {"experiment": experiment.name, "values": {key: list(of_key) for key, of_key in values.items()}}
    design = validated(ScanDesign, document, "--scan")
    cells = make_cells(experiment, values)
    check_of_scan(experiment, values)
    _seal(design, folder)
    planned_contrasts(experiment, folder)
    runs = chosen_runs(experiment, arms, seeds)
    for arm in dict.fromkeys(run.arm for run in runs):
        own = [key for key in values if key in flatten(experiment.overrides(arm))]
        if own:
            raise InputError(
                f"--scan {own[0]}: arm {arm} sets it itself, so it would be the same in all cells; scan another key, "
                "or give --arms without it"
            )
    return _Checked(experiment, folder, design, cells, runs)


def _cell_runs(
    checked: _Checked, data_dir: str | Path | None, text_column: str | None, options: RunOptions
) -> list[CellRuns]:
    """What is wanted of each cell."""
    finders: dict[str, Callable[[], Corpus]] = {}  # a text is read once
    parts = []
    for cell in checked.cells:
        of_cell = run_folder(cell.experiment, checked.folder / cell.folder, data_dir, text_column, options)
        of_cell.find_text = finders.setdefault(cell.experiment.corpus.name, of_cell.find_text)
        parts.append(CellRuns(cell, of_cell, checked.runs))
    return parts


def _seal(design: ScanDesign, folder: Path) -> Sealed[ScanDesign]:
    """The design of a command, which may only add to that of the folder."""
    earlier = sealed_scan(folder)
    if earlier is not None and not design.has_all_of(earlier.design):
        lists = [f"--scan {key}={','.join(map(str, values))}" for key, values in earlier.design.values.items()]
        raise InputError(
            f"--out {folder}: has another scan ({earlier.design.experiment} {' '.join(lists)}); give its keys in that "
            "order with all its values, or choose another --out"
        )
    sealed = seal(design, earlier)
    check_new_design("scan", sealed, folder)
    return sealed


def _put_together(cells: Sequence[CellRuns], folder: Path) -> Scan:
    """Whoever finishes last writes the whole."""
    with locked(folder, PATIENCE_SECONDS):
        for part in cells:
            measure_similarity(part.folder.place, part.folder.token_counts)
        return update_scan(folder)


def scan_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of a scan: the one given, or `runs/NAME-scan`.

    Raises:
        InputError: it is a file.
    """
    return out_folder(experiment, out, "-scan")

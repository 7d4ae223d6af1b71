"""A folder of runs, or one of cells → the state of each run. Reads files, writes nothing, and needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from tiedlm.comparison.cells import cell_folders, cells_with_records
from tiedlm.comparison.designs import SCAN_DESIGN_FILE, TUNE_FILE, load_scan_design, load_tune
from tiedlm.comparison.trials import tuned_folders
from tiedlm.comparison.tuning_table import TUNE_FOLDER
from tiedlm.config.saved_model_config import METADATA_KEY
from tiedlm.errors import InputError
from tiedlm.execution.planned_runs import PLANNED_FILE, load_planned
from tiedlm.execution.run_lock import Holder, held_runs, load_failure
from tiedlm.record.run_id import CHECKPOINTS_FOLDER, FAILURE_SUFFIX, LOCKS_FOLDER, RunId

State = Literal["done", "running", "failed", "unfinished", "missing"]


@dataclass(frozen=True)
class RunState:
    """One run, and how far it is."""

    cell: str
    """The folder of its cell, `fraction=0.1` or `tune/learning_rate=0.01`; empty where there are no cells."""
    arm: str
    seed: int
    state: State
    """`done`: it has a record, or has diverged in a tuning; `running`: somebody holds its lock; `failed`: it was tried
    and nobody has taken it since; `unfinished`: it has a checkpoint, from which the same command goes on; `missing`:
    none of these."""
    host: str | None = None
    pid: int | None = None
    since: str | None = None
    """Of who makes it; all three None where nobody does, or it has not yet named itself. `since` is in UTC."""
    step: int | None = None
    num_steps: int | None = None
    """By its checkpoint; both None where there is none."""
    failure: str | None = None
    """Why it failed, where it did."""


@dataclass(frozen=True)
class FolderState:
    """All runs that a folder was asked for, cell by cell."""

    schema_version: Literal[1] = field(default=1, init=False)
    path: str
    is_planned: bool
    """Whether the folder says what it was asked for; else every arm is taken to need every seed that any run has."""
    is_complete: bool
    runs: list[RunState]


def run_states(folder: Path) -> FolderState:
    """The state of each run of a folder, of the cells of its scan, and of its tuning.

    Raises:
        InputError: the folder has no runs and no plan, or a design or a plan is damaged.
    """
    found = find_run_states(folder)
    if found is None:
        raise InputError(f"DIR {folder}: has no runs and no plan; give a folder that tiedlm compare or train wrote")
    return found


def find_run_states(folder: Path) -> FolderState | None:
    """The same; None where the folder has no runs and no plan.

    Raises:
        InputError: a design or a plan is damaged.
    """
    scanned, tuned = _cells(folder)
    places = [folder / name for name in (*tuned, *([""] if scanned is None else scanned))]
    is_planned = any((place / PLANNED_FILE).exists() for place in places)
    of_tuning, of_rest = places[: len(tuned)], places[len(tuned) :]
    runs = [*states_of(folder, of_tuning), *(of_compared := states_of(folder, of_rest))]
    if not runs:
        return None
    is_complete = bool(of_compared) and all(run.state == "done" for run in runs)
    return FolderState(str(folder), is_planned, is_complete, runs)


def _cells(folder: Path) -> tuple[list[str] | None, list[str]]:
    """The cells of a scan, None where the folder has none, and those of a tuning."""
    scan, tune = load_scan_design(folder), load_tune(folder)
    scanned = None if scan is None else list(cell_folders(scan.values))
    if scan is None and (folder / SCAN_DESIGN_FILE).exists():
        scanned = cells_with_records(folder)
    names = tuned_folders(tune) if tune else []
    if tune is None and (folder / TUNE_FOLDER / TUNE_FILE).exists():
        names = cells_with_records(folder / TUNE_FOLDER)
    return scanned, [f"{TUNE_FOLDER}/{name}" for name in names]


def states_of(folder: Path, places: Sequence[Path]) -> list[RunState]:
    """Every run of any place in every place, since cells have the same runs; which runs are expected is decided here.

    Raises:
        InputError: a plan is damaged.
    """
    asked = {run: None for place in places for run in _asked(place)}
    states = []
    for place in places:
        held = held_runs(place)
        cell = "" if place == folder else str(place.relative_to(folder))
        states += [_state(place, cell, run, held) for run in sorted(asked, key=lambda run: run.seed)]
    return states


def _asked(place: Path) -> list[RunId]:
    """The runs that commands asked for, and all that have left a trace."""
    traces = [
        run
        for inside, of_kind in (
            (place, RunId.of_record_file),
            (place, RunId.of_divergence_file),
            (place / CHECKPOINTS_FOLDER, lambda name: RunId.of_file(Path(name))),
            (place / LOCKS_FOLDER, lambda name: RunId.of_file(Path(name)) if name.endswith(FAILURE_SUFFIX) else None),
        )
        for path in (sorted(inside.iterdir()) if inside.is_dir() else [])
        if (run := of_kind(path.name)) is not None
    ]
    planned = load_planned(place)
    found = dict.fromkeys([*planned, *traces, *held_runs(place)])
    if planned or not found:
        return list(found)
    arms, seeds = dict.fromkeys(run.arm for run in found), sorted({run.seed for run in found})
    return [RunId(arm, seed) for seed in seeds for arm in arms]


def _state(place: Path, cell: str, run: RunId, held: Mapping[RunId, Holder | None]) -> RunState:
    if (place / run.record_file).exists() or (place / run.divergence_file).exists():
        return RunState(cell, run.arm, run.seed, "done")
    checkpoint = place / CHECKPOINTS_FOLDER / run.model_file
    step, num_steps = _steps(checkpoint)
    if run in held:
        holder = held[run]
        host, pid, since = (None, None, None) if holder is None else (holder.host, holder.pid, holder.since)
        return RunState(cell, run.arm, run.seed, "running", host, pid, since, step, num_steps)
    failure = load_failure(place, run)
    begun: State = "unfinished" if checkpoint.exists() else "missing"
    state: State = begun if failure is None else "failed"
    sentence = None if failure is None else failure.sentence
    return RunState(cell, run.arm, run.seed, state, step=step, num_steps=num_steps, failure=sentence)


def _steps(checkpoint: Path) -> tuple[int | None, int | None]:
    """How far a checkpoint is, and of how many steps; whether it is whole is for whoever goes on from it."""
    try:
        with safe_open(checkpoint, framework="np") as file:
            header = json.loads((file.metadata() or {})[METADATA_KEY])
        return int(header["step"]), int(header["key"]["config"]["train"]["num_steps"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        return None, None

"""What `compare` would train → the commands that train it one by one, on whatever machines share the folder."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiedlm.api.cell_queue import CellRuns, prepare_cells
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.run_queue import Prepared, decide_alone
from tiedlm.api.runs import stages_to_train
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId


@dataclass(frozen=True)
class PlannedCommand:
    """One run, and how it is trained alone with the record that `compare` would give it."""

    out: Path
    run: RunId
    num_threads: int
    device: str
    settings: Mapping[str, Any]
    """The values of its cell, by `section.key` or `arms.ARM.section.key`."""
    share: float
    """How long it takes, in units of the first command: tokens times parameters."""

    def words(self, shared: Sequence[str]) -> list[str]:
        """The words of the command; `shared` are those from the experiment on that all have."""
        settings = [word for key, value in self.settings.items() for word in ("--set", f"{key}={toml(value)}")]
        of_run = ["--arm", self.run.arm, "--seed", str(self.run.seed), "--threads", str(self.num_threads)]
        return ["tiedlm", "train", *shared, *settings, *of_run, "--out", str(self.out)]

    def line(self, shared: Sequence[str]) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.words(shared))


@dataclass(frozen=True)
class PlannedCommands:
    """The commands that can be given now, in any order and side by side."""

    commands: list[PlannedCommand]
    seconds_of_first: Callable[[], float | None]
    """How long the first command takes, by records in its folder or else by a few timed steps; None where it cannot."""
    rest: str | None
    """What follows from these runs and is not known before; None where nothing is."""


def commands_of_comparison(
    folder: RunFolder, runs: Sequence[RunId], to_within: float | None, max_seeds: int, settings: Mapping[str, Any]
) -> PlannedCommands:
    """Those of the runs that have no record; what is decided on before the first run is written down now.

    `settings` are the values that a tuning has found.

    Raises:
        InputError: the text or the folder is unfit.
    """
    decide, rest = None, None
    if to_within is not None:
        runs, decide, is_first = stages_to_train(folder, list(runs), to_within, max_seeds)
        rest = "how many seeds there are in the second stage follows from these" if is_first else None
    prepared = folder.prepare(runs, decide)
    return _commands(folder, [] if prepared is None else [prepared], {folder.place: settings}, rest)


def commands_of_cells(cells: Sequence[CellRuns], options: RunOptions, rest: str | None) -> PlannedCommands:
    """The same of a scan or a tuning.

    Raises:
        InputError: a text or a folder is unfit.
    """
    prepared, _ = prepare_cells(cells, options)
    return _commands(cells[0].folder, prepared, {part.folder.place: part.cell.changes for part in cells}, rest)


def _commands(
    folder: RunFolder,
    prepared: Sequence[Prepared],
    settings: Mapping[Path, Mapping[str, Any]],
    rest: str | None,
) -> PlannedCommands:
    plans = {part.place: part.plan for part in prepared}
    commands, work_of_first = [], 0.0
    for job in decide_alone(prepared):
        work = plans[job.out].tokens_of_run * plans[job.out].parameters[job.run.arm]
        work_of_first = work_of_first or work
        share = work / work_of_first
        device = job.runtime.device
        commands.append(PlannedCommand(job.out, job.run, job.num_threads, device, settings[job.out], share))
    return PlannedCommands(commands, lambda: _seconds(folder, prepared), rest if commands else None)


def _seconds(folder: RunFolder, prepared: Sequence[Prepared]) -> float | None:
    """How long the first run takes."""
    if not prepared:
        return None
    records = load_records(prepared[0].place, may_be_empty=True)
    if records:
        return statistics.mean(record.cost.total_seconds for record in records)
    timed = folder.timed(prepared[0])
    if timed.tokens_per_second is None:
        return None
    return timed.tokens_of_run / timed.tokens_per_second


def toml(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(of_key)}' for key, of_key in value.items())}}}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

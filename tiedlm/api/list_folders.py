"""Folders of runs, and the state and the answer of each. Reads records, writes nothing, and needs no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tiedlm.api.run_states import states_of
from tiedlm.comparison.cells import cell_folders, cells_with_records
from tiedlm.comparison.designs import (
    DESIGN_FILE,
    SCAN_DESIGN_FILE,
    TUNE_FILE,
    check_designs,
    check_none_is_missing,
    load_design,
    load_scan_design,
    load_tune,
    sealed_contrasts,
)
from tiedlm.comparison.folder import compare_cells, compare_folder
from tiedlm.comparison.trials import tuned_folders
from tiedlm.comparison.tuning_table import TUNE_FOLDER
from tiedlm.errors import InputError
from tiedlm.execution.folder_lock import LOCK_FILE, is_held
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import CHECKPOINTS_FOLDER, LOCKS_FOLDER, RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.short_answer import short_answer, short_scan_answer

State = Literal["complete", "incomplete", "unfinished", "running", "damaged"]
MARKS = (SCAN_DESIGN_FILE, DESIGN_FILE, f"{TUNE_FOLDER}/{TUNE_FILE}", CHECKPOINTS_FOLDER, LOCK_FILE)
"""Any of these, or a record, makes a folder one of runs."""


@dataclass(frozen=True)
class ListedFolder:
    """A folder of runs: a comparison, or a scan with all of its cells."""

    path: str
    state: State
    """`incomplete`: a run that is expected has no record; `unfinished`: and one of these has a checkpoint; `running`: a
    command is training there; `damaged`: a record, a design or a plan cannot be used."""
    experiment: str | None = None
    corpus: str | None = None
    """Both None where no record can be read."""
    num_runs: int = 0
    """Those with a record."""
    expected_runs: int = 0
    """Those that `tiedlm status` tells the state of, but for a tuning's."""
    unfinished_runs: list[str] = field(default_factory=list)
    """Those of this state."""
    num_cells: int | None = None
    """Of a scan."""
    tuning_runs: int | None = None
    """Those of the tuning with a record, or that have diverged; None where there is no tuning."""
    expected_tuning_runs: int | None = None
    arms: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    answer: str | None = None
    """On valid, in a few words; None where nothing can be compared."""
    problem: str | None = None
    """What is damaged, or why nothing can be compared."""


@dataclass(frozen=True)
class Listing:
    """What `tiedlm ls` has found."""

    schema_version: Literal[1] = field(default=1, init=False)
    places: list[str]
    """Where it has looked, and below."""
    folders: list[ListedFolder]


def list_folders(places: Iterable[Path]) -> list[ListedFolder]:
    """All folders of runs among some places and below them, each once; whatever is wrong with one, the others are told.

    Links are not followed.
    """
    return [_listed(folder) for folder in dict.fromkeys(itertools.chain.from_iterable(map(_folders_below, places)))]


def _folders_below(place: Path) -> Iterator[Path]:
    try:
        inside = sorted(place.iterdir())
        folders = [path for path in inside if path.name[0] != "." and path.is_dir() and not path.is_symlink()]
        has_mark = any((place / mark).exists() for mark in MARKS)
    except OSError:  # so it may be one, and is told to be one that cannot be read
        yield place
        return
    names = {path.name for path in inside}
    if any(map(RunId.of_record_file, names)) or has_mark:
        yield place
        is_scan = SCAN_DESIGN_FILE in names
        own = (CHECKPOINTS_FOLDER, LOCKS_FOLDER, TUNE_FOLDER)
        folders = [path for path in folders if path.name not in own and not (is_scan and "=" in path.name)]
    for folder in folders:
        yield from _folders_below(folder)


def _listed(folder: Path) -> ListedFolder:
    try:
        return _read(folder)
    except InputError as error:  # in its plan; whatever else is damaged has a row with what there is
        problem = str(error)
    except OSError as error:
        problem = f"{folder}: cannot be read ({error.strerror}); check its permissions"
    return ListedFolder(str(folder), "damaged", problem=problem)


def _read(folder: Path) -> ListedFolder:
    cells, tuning = _cells(folder), _tuning_cells(folder)
    places = [folder] if cells is None else cells
    states, of_tuning = states_of(folder, places), states_of(folder, tuning or [])
    num_done = sum(run.state == "done" for run in states)
    unfinished = [str(RunId(run.arm, run.seed)) for run in states if run.state == "unfinished"]
    answer = _Answer()
    if num_done:
        answer = _answer_of(folder, places, is_scan=cells is not None)
    state: State = "complete" if num_done == len(states) > 0 else "unfinished" if unfinished else "incomplete"
    if answer.is_damaged:
        state = "damaged"
    is_running = any(run.state == "running" for run in [*states, *of_tuning])
    if is_running or any(is_held(place) for place in [*places, *(tuning or [])]):
        state = "running"
    return ListedFolder(
        path=str(folder),
        state=state,
        experiment=answer.experiment,
        corpus=answer.corpus,
        num_runs=num_done,
        expected_runs=len(states),
        unfinished_runs=unfinished,
        num_cells=None if cells is None else len(cells),
        tuning_runs=None if tuning is None else sum(run.state == "done" for run in of_tuning),
        expected_tuning_runs=None if tuning is None else len(of_tuning),
        arms=sorted({run.arm for run in [*states, *of_tuning]}),
        seeds=sorted({run.seed for run in states}),
        answer=answer.words,
        problem=answer.problem,
    )


def _cells(folder: Path) -> list[Path] | None:
    """The folders of a scan's cells, there or not; None where the folder is no scan's."""
    if not (folder / SCAN_DESIGN_FILE).exists():
        return None
    try:
        design = load_scan_design(folder)
    except InputError:  # which the comparison tells
        design = None
    return [folder / name for name in (cell_folders(design.values) if design else cells_with_records(folder))]


def _tuning_cells(folder: Path) -> list[Path] | None:
    """The same of a tuning."""
    place = folder / TUNE_FOLDER
    if not (place / TUNE_FILE).exists():
        return None
    try:
        design = load_tune(folder)
    except InputError:
        design = None
    return [place / name for name in (tuned_folders(design) if design else cells_with_records(place))]


def _runs(place: Path, run_of: Callable[[str], RunId | None]) -> list[RunId]:
    names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    return [run for run in map(run_of, names) if run is not None]


class _Answer(NamedTuple):
    """What the records of a folder say together, or why they say nothing."""

    experiment: str | None = None
    corpus: str | None = None
    words: str | None = None
    problem: str | None = None
    is_damaged: bool = False


def _answer_of(folder: Path, places: Sequence[Path], is_scan: bool) -> _Answer:
    try:
        if is_scan:
            scan = compare_cells(folder)
            return _Answer(scan.design.experiment, scan.corpus, short_scan_answer(scan))
        comparison = compare_folder(folder)
        return _Answer(comparison.experiment, comparison.corpus, short_answer(comparison))
    except InputError as error:
        records, damage = _examine(folder, places)
        first = records[0] if records else None
        return _Answer(
            experiment=first.experiment if first else None,
            corpus=first.data.corpus if first else None,
            problem=damage or str(error),
            is_damaged=damage is not None,
        )


def _examine(folder: Path, places: Sequence[Path]) -> tuple[list[RunRecord], str | None]:
    """The records that can be used, and what is damaged, of records or designs, if anything is."""
    records, damage = [], None
    try:
        check_none_is_missing(folder)
        for load in (load_scan_design, load_design, load_tune, sealed_contrasts):
            load(folder)
    except InputError as error:
        damage = str(error)
    for place in places:
        of_place = []
        for path in [place / run.record_file for run in _runs(place, RunId.of_record_file)]:
            try:
                of_place.append(load_record(path))
            except InputError as error:
                damage = damage or str(error)
        try:
            check_designs(of_place, place)
        except InputError as error:
            damage = damage or str(error)
        records += of_place
    return records, damage

"""A folder of records, and what was decided beside them → their comparison, or that of its cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.compare import compare
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan, ScanDesign, make_scan
from tiedlm.comparison.similarity import Similarity
from tiedlm.comparison.tuning_table import TUNE_FOLDER, tuning_table
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.experiment import Tune
from tiedlm.config.older_schemas import in_present_places
from tiedlm.config.strict import Strict
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.regular_file import read_regular_file

DESIGN_FILE, TUNE_FILE, SCAN_DESIGN_FILE = "two-stage.json", "tune.json", "scan-design.json"
SIMILARITY_FILE = "similarity.json"
OLDER_TUNE_FOLDER, OLDER_TUNE_FILE = "search", "grid.json"
MAX_DECISION_BYTES = 1_000_000

D = TypeVar("D", bound=Strict)


def compare_folder(folder: Path, runs: Collection[RunId] | None = None) -> Comparison:
    """Compare a folder's records, or those of some runs, by all that lies beside them.

    Raises:
        InputError: they cannot be compared.
    """
    records, design = load_records(folder), load_design(folder)
    if runs is not None:
        records = [record for record in records if record.run in runs]
        if design is not None and not set(design.first_stage_seeds) <= {run.seed for run in runs}:
            design = None  # some seeds of the first stage are left out on purpose
    tune = load_tune(folder)
    tuning = None if tune is None else tuning_table(folder / TUNE_FOLDER, tune)
    return compare(records, design, tuning, load_similarity(folder))


def compare_cells(folder: Path, of_cell: Callable[[Path], Comparison] = compare_folder) -> Scan:
    """Put the cells of a folder together.

    Raises:
        InputError: no cell has two arms yet, or the records of a cell, or two cells, cannot be put together.
    """
    design = load_scan_design(folder)
    if design is None:
        raise InputError(f"{folder}: has no {SCAN_DESIGN_FILE}; give the folder that tiedlm compare --scan wrote")
    arms_of = {name: _arms_with_records(folder / name) for name in cell_folders(design.values)}
    most = max(map(len, arms_of.values()))
    if most < 2:
        raise InputError(f"{folder}: no cell of the scan has records of two arms yet; give its command again")
    found = {}
    for name, arms in arms_of.items():
        if len(arms) == most:  # one with fewer is being trained
            try:
                found[name] = of_cell(folder / name)
            except InputError as error:
                raise InputError(f"cell {name}: {error}") from error
    return make_scan(design, found)


def _arms_with_records(cell: Path) -> set[str]:
    runs = [RunId.of_record_file(path.name) for path in cell.iterdir()] if cell.is_dir() else []
    return {run.arm for run in runs if run}


def load_scan_design(folder: Path) -> ScanDesign | None:
    """What was scanned in a folder, or None.

    Raises:
        InputError: the file is damaged.
    """
    return load_decision(folder / SCAN_DESIGN_FILE, ScanDesign, "--scan")


def load_design(folder: Path) -> TwoStage | None:
    """What `--to-within` decided in this folder, or None.

    Raises:
        InputError: the file is damaged.
    """
    return load_decision(folder / DESIGN_FILE, TwoStage, "--to-within")


def load_tune(folder: Path) -> Tune | None:
    """What `--tune` was given for this folder, or None.

    Raises:
        InputError: the file is damaged, or lies where it lay before `--tune` and `tune` were one word.
    """
    older = folder / OLDER_TUNE_FOLDER / OLDER_TUNE_FILE
    if older.exists():
        raise InputError(
            f"{older}: is called {TUNE_FOLDER}/{TUNE_FILE} now; rename the folder {OLDER_TUNE_FOLDER} to {TUNE_FOLDER} "
            f"and {OLDER_TUNE_FILE} in it to {TUNE_FILE}"
        )
    return load_decision(folder / TUNE_FOLDER / TUNE_FILE, Tune, "--tune")


def load_similarity(folder: Path) -> Similarity | None:
    """What was measured on the folder's models, or None.

    Raises:
        InputError: the file is damaged, or was changed.
    """
    similarity = load_decision(folder / SIMILARITY_FILE, Similarity, "the models still there")
    if similarity is not None and similarity.sha256 != similarity.own_sha256():
        raise InputError(
            f"{folder / SIMILARITY_FILE}: was changed after it was written; take it from a copy, or delete it"
        )
    return similarity


def load_decision(path: Path, kind: type[D], option: str) -> D | None:
    """What was decided before runs were trained and is kept beside them, or None.

    Raises:
        InputError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        decision = in_present_places(json.loads(read_regular_file(path, MAX_DECISION_BYTES)))
        return kind.model_validate_json(json.dumps(decision))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise InputError(f"{path}: is damaged; delete it, and give the command with {option} again") from error


def save_decision(decision: Strict, path: Path) -> None:
    """Write down what was decided, before the runs that follow from it are trained."""
    write_atomically(path, decision.model_dump_json(indent=1) + "\n")

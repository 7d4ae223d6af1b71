"""A folder of records, and what was decided beside them → their comparison, or that of its cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

from pydantic import ValidationError

from tiedlm.comparison.cells import cell_folders, cells_with_records
from tiedlm.comparison.compare import compare
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.designs import (
    DESIGN_FILE,
    SCAN_DESIGN_FILE,
    check_designs,
    check_none_is_missing,
    contrasts_folder,
    load_design,
    load_scan_design,
    load_tune,
    sealed_contrasts,
)
from tiedlm.comparison.recorded_experiment import folder_argument
from tiedlm.comparison.scan_result import Scan, make_scan
from tiedlm.comparison.sealed_design import PUT_BACK, read_document
from tiedlm.comparison.similarity import Similarity
from tiedlm.comparison.stages import NONE, check_complete, check_seeds
from tiedlm.comparison.tuning_table import TUNE_FOLDER, read_tuning
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId

SIMILARITY_FILE = "similarity.json"


def compare_folder(folder: Path, runs: Collection[RunId] | None = None) -> Comparison:
    """Compare a folder's records, or those of some runs, by all that lies beside them.

    Raises:
        InputError: they cannot be compared.
    """
    check_none_is_missing(folder)
    records, design = load_records(folder), load_design(folder)
    check_designs(records, folder)
    holder = contrasts_folder(folder)
    planned = sealed_contrasts(holder)
    if design is not None:
        contrasts = NONE if planned is None else planned.design.contrasts
        check_seeds(records, design, folder / DESIGN_FILE, contrasts=contrasts)
        check_complete(records, design, folder / DESIGN_FILE, contrasts)
    if runs is not None:
        records = [record for record in records if record.run in runs]
        if design is not None and not set(design.first_stage_seeds) <= {run.seed for run in runs}:
            design = None  # some seeds of the first stage are left out on purpose
    tune = load_tune(folder)
    tuning = None if tune is None else read_tuning(folder / TUNE_FOLDER, tune, check_designs)
    remedy = f"tiedlm compare {folder_argument(folder)} trains the missing runs"
    return compare(records, design, tuning, load_similarity(folder), remedy, planned, is_cell=holder != folder)


def compare_cells(folder: Path, of_cell: Callable[[Path], Comparison] = compare_folder) -> Scan:
    """Put the cells of a folder together.

    Raises:
        InputError: no cell has two arms yet, or the records of a cell, or two cells, cannot be put together.
    """
    design = load_scan_design(folder)
    if design is None:
        raise InputError(f"{folder}: has no {SCAN_DESIGN_FILE}; give the folder that tiedlm compare --scan wrote")
    folders = cell_folders(design.values)
    for name in cells_with_records(folder):
        if name not in folders and list(map(_key, name.split(","))) == list(map(_key, next(iter(folders)).split(","))):
            raise InputError(f"{folder / SCAN_DESIGN_FILE}: has no cell {name}, of which records are there; {PUT_BACK}")
    arms_of = {name: _arms_with_records(folder / name) for name in folders}
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
    planned = sealed_contrasts(folder)
    return make_scan(design, found, None if planned is None else planned.design)


def _arms_with_records(cell: Path) -> set[str]:
    runs = [RunId.of_record_file(path.name) for path in cell.iterdir()] if cell.is_dir() else []
    return {run.arm for run in runs if run}


def _key(part: str) -> str:
    """`fraction` of `fraction=0.1`."""
    return part.partition("=")[0]


def load_similarity(folder: Path) -> Similarity | None:
    """What was measured on the folder's models, or None.

    Raises:
        InputError: the file is damaged, or was changed.
    """
    path = folder / SIMILARITY_FILE
    if not path.exists():
        return None
    try:
        similarity = Similarity.model_validate_json(json.dumps(read_document(path)))
    except ValidationError as error:
        raise InputError(f"{path}: is damaged; delete it, and the models still there are measured again") from error
    if similarity is not None and similarity.sha256 != similarity.own_sha256():
        raise InputError(
            f"{folder / SIMILARITY_FILE}: was changed after it was written; take it from a copy, or delete it"
        )
    return similarity

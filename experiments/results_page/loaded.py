"""The folders of results/, each read once: what every number of a made page follows from."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.folder import compare_cells, compare_folder
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.tested_differences import Difference
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "results"

Value = TypeVar("Value")


@functools.cache
def comparison(folder: str) -> Comparison:
    """That of a folder below results/, by all that lies beside its records.

    Raises:
        InputError: it has no records that can be compared.
    """
    return compare_folder(RESULTS / folder)


@functools.cache
def scan(folder: str) -> Scan:
    """The map of a folder below results/.

    Raises:
        InputError: it is no scan, or has no cell with two arms.
    """
    return compare_cells(RESULTS / folder)


@functools.cache
def records(folder: str) -> dict[str, dict[int, RunRecord]]:
    """Those of a folder below results/, by arm and seed.

    Raises:
        InputError: it has none, or one that cannot be used.
    """
    found: dict[str, dict[int, RunRecord]] = {}
    for record in load_records(RESULTS / folder):
        found.setdefault(record.arm, {})[record.seed] = record
    return found


@functools.cache
def all_records(folder: str) -> list[RunRecord]:
    """Those of a folder and of the folders below it: the cells of a map, the runs of a tuning."""
    places = [RESULTS / folder, *sorted(path for path in (RESULTS / folder).rglob("*") if path.is_dir())]
    return [record for place in places for record in load_records(place, may_be_empty=True)]


@functools.cache
def document(path: str) -> Any:
    """A JSON file below results/ that is no record.

    Raises:
        InputError: there is no such file.
    """
    if not (RESULTS / path).is_file():
        raise InputError(f"results/{path}: is no file; give the path of one below results/")
    return json.loads((RESULTS / path).read_text())


def by_short_name(values: Mapping[str, Value]) -> dict[str, Value]:
    """`num_steps` for `train.num_steps`."""
    return {key.rpartition(".")[2]: value for key, value in values.items()}


def chosen(found: Mapping[str, Value], name: str, place: str) -> Value:
    """One of what a place has.

    Raises:
        InputError: it has none of that name.
    """
    if name not in found:
        raise InputError(f"{place}: has no {name}; give one of {', '.join(found)}")
    return found[name]


def difference(folder: str, arm: str, split: str) -> Difference:
    """That of an arm from the first one of a folder.

    Raises:
        InputError: the folder has no such arm, or its first arm is meant.
    """
    found = {item.arms[1]: item for item in comparison(folder).differences if item.split == split}
    return chosen(found, arm, f"results/{folder}, {split}")

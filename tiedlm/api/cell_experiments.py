"""An experiment and some values of some keys → a cell for each combination, with a folder of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiedlm.comparison.cells import cell_folders
from tiedlm.config.cell_values import MAX_CELLS
from tiedlm.config.experiment import Experiment, changed
from tiedlm.config.written_value import written_values
from tiedlm.errors import InputError


@dataclass(frozen=True)
class Cell:
    """One combination."""

    values: dict[str, Any]
    """By `section.key`."""
    changes: dict[str, Any]
    """The same by where they are set: in the experiment, or in each of some arms."""
    experiment: Experiment
    folder: str
    """`fraction=0.1,hidden_size=64`, below the folder of all cells."""


def parse_scan(options: Sequence[str]) -> dict[str, list[Any]]:
    """`["corpus.fraction=0.1,1"]` → the values of each key, in TOML or as bare words.

    Raises:
        InputError: an option is not of that form, or a key is given twice.
    """
    wanted: dict[str, list[Any]] = {}
    for option in options:
        key, _, text = option.partition("=")
        try:
            values = written_values(text)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"--scan {option[:60]!r}: {text[:60]!r} is no list of values ({error}); write e.g. "
                "corpus.fraction=0.1,1.0 or corpus.tokenizer=bpe:2000,bpe:8000"
            ) from error
        if (
            not re.fullmatch(r"(model|corpus|train|intervention)\.[a-z_0-9]+", key)
            or not values
            or "" in values
            or "\n" in text
            or key in wanted
        ):
            raise InputError(f"--scan {option[:60]!r} is not of the form section.key=V,V,… once a key; give it so")
        wanted[key] = values
    return wanted


def make_cells(
    experiment: Experiment, values: Mapping[str, Sequence[Any]], arms: Sequence[str] | None = None
) -> list[Cell]:
    """Every combination, the last key changing fastest; of the experiment, or of these arms and nothing else in it.

    Raises:
        InputError: a combination is no experiment, two are one, or there are too many.
    """
    number = math.prod(map(len, values.values()))
    folders = cell_folders(values) if number <= MAX_CELLS else {}
    if len(folders) < number:
        raise InputError(
            f"{', '.join(values)}: over {MAX_CELLS:,} combinations, or two that are one; give fewer, different values"
        )
    return make_cells_of(experiment, folders, arms)


def make_cells_of(
    experiment: Experiment, folders: Mapping[str, dict[str, Any]], arms: Sequence[str] | None = None
) -> list[Cell]:
    """The same of cells whose folders and values are known.

    Raises:
        InputError: a cell is no experiment.
    """
    places = [""] if arms is None else [f"arms.{arm}." for arm in arms]
    cells = []
    for folder, of_cell in folders.items():
        changes = {place + key: of_cell[key] for place in places for key in of_cell}
        cells.append(Cell(of_cell, changes, changed(experiment, changes), folder))
    return cells

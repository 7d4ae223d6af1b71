"""The runs of a tuning → a table of each arm's losses on valid by cell, and its best cell."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.comparability import check_comparable
from tiedlm.config.experiment import Tune
from tiedlm.config.strict import Strict
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records

TUNE_FOLDER = "tune"
FIRST_TUNING_SEED = 1_000_000


class TunedCell(Strict):
    """One combination of the tuned values."""

    folder: str
    values: dict[str, Any]
    losses_nats: dict[str, list[float]]
    """On valid, by arm and seed."""


def tuning_table(folder: Path, tune: Tune) -> list[TunedCell]:
    """Every cell of a tuning by the records in a folder of each below `folder`.

    Raises:
        InputError: a cell has no records, or they are not of its values or of one text.
    """
    cells, everything = [], []
    for name, values in cell_folders(tune.values).items():
        losses: dict[str, list[float]] = {}
        records = load_records(folder / name)
        check_comparable(records)
        everything += records
        for record in records:
            found = record.config.every_key()
            if any(found.get(key) != value for key, value in values.items()) or record.seed < FIRST_TUNING_SEED:
                raise InputError(f"{folder / name / record.file_name}: is no record of this cell; delete it")
            if record.data != everything[0].data:
                raise InputError(f"{folder / name / record.file_name}: is of other text than {folder}; tune anew")
            losses.setdefault(record.arm, []).append(record.metrics["valid"].masked_lm_loss_nats)
        cells.append(TunedCell(folder=name, values=values, losses_nats=losses))
    return cells


def best_values(table: list[TunedCell], arm: str) -> dict[str, Any]:
    """The values of the cell where an arm has the lowest mean loss; of equal ones, the first."""
    return min(table, key=lambda cell: statistics.fmean(cell.losses_nats[arm])).values

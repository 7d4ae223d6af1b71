"""The runs of a tuning → a table of each arm's losses on valid by cell, and its best cell."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiedlm.comparison.cells import cell_folders, cells_with_records
from tiedlm.comparison.comparability import check_comparable
from tiedlm.config.strict import Strict
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord

TUNE_FOLDER = "tune"
FIRST_TUNING_SEED = 1_000_000


class TunedCell(Strict):
    """One combination of the tuned values."""

    folder: str
    values: dict[str, Any]
    losses_nats: dict[str, list[float]]
    """On valid, by arm and seed."""


def tuning_table(
    folder: Path, tune: Tune, check: Callable[[list[RunRecord], Path], None] = lambda *_: None
) -> list[TunedCell]:
    """Every cell of a tuning by the records in a folder of each below `folder`.

    `check` is told the records of each cell and their folder.

    Raises:
        InputError: a cell has no records, or they are not of its values, of its seeds or of one text; or there is
            a cell more.
    """
    known = cell_folders(tune.values)
    for name in cells_with_records(folder):
        if name not in known:
            raise InputError(
                f"{folder / name}: is no cell of the tuning over {tune.values}; put back its tune.json, or tune anew"
            )
    cells, everything = [], []
    for name, values in known.items():
        losses: dict[str, list[float]] = {}
        records = load_records(folder / name)
        check(records, folder / name)
        check_comparable(records)
        everything += records
        for record in records:
            found = record.config.every_key()
            if any(found.get(key) != value for key, value in values.items()) or record.seed < FIRST_TUNING_SEED:
                raise InputError(f"{folder / name / record.file_name}: is no record of this cell; delete it")
            if record.data != everything[0].data:
                raise InputError(f"{folder / name / record.file_name}: is of other text than {folder}; tune anew")
            losses.setdefault(record.arm, []).append(record.metrics["valid"].masked_lm_loss_nats)
        for arm, of_seeds in losses.items():
            if len(of_seeds) != tune.seeds or any(record.seed >= FIRST_TUNING_SEED + tune.seeds for record in records):
                raise InputError(
                    f"{folder / name}: has {len(of_seeds)} seeds of {arm}, the tuning is over {tune.seeds}; give the "
                    "command with --tune again, or put back its tune.json"
                )
        cells.append(TunedCell(folder=name, values=values, losses_nats=losses))
    return cells


def best_values(table: list[TunedCell], arm: str) -> dict[str, Any]:
    """The values of the cell where an arm has the lowest mean loss; of equal ones, the first."""
    return min(table, key=lambda cell: statistics.fmean(cell.losses_nats[arm])).values

"""Some values of some keys → every combination, under the name of its folder."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiedlm.record.run_id import RunId


def cell_folders(values: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """`fraction=0.1,hidden_size=64` → its values by key, for every combination; the last key changes fastest."""
    folders = {}
    for combination in itertools.product(*values.values()):
        of_cell = dict(zip(values, combination, strict=True))
        names = (f"{key.rpartition('.')[2]}={_word(value)}" for key, value in of_cell.items())
        folders[",".join(names)] = of_cell
    return folders


def cell_name(values: Mapping[str, Any]) -> str:
    """What a cell is called where it is no path: `tokenizer=bpe:270`, whose folder is `tokenizer=bpe_270`."""
    return ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())


def cells_with_records(folder: Path) -> list[str]:
    """The folders in a folder that are named like cells and hold records."""
    places = (
        [path for path in sorted(folder.iterdir()) if "=" in path.name and path.is_dir()] if folder.is_dir() else []
    )
    return [place.name for place in places if any(RunId.of_record_file(path.name) for path in place.iterdir())]


def _word(value: Any) -> str:
    return re.sub(r"[^\w.+-]", "_", str(value))[:60]

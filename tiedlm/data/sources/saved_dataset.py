"""Data sets of the library `datasets` → the rows of their column of text: saved to a disk, or from the Hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.data.sources.pieces import Piece, Reader, cut
from tiedlm.data.sources.table_file import ROWS_AT_ONCE, kind_of, text_column
from tiedlm.data.sources.unpacking import beginning, check_whole
from tiedlm.errors import InputError
from tiedlm.hub_client import first_line

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` made the folder, of a `Dataset` or a `DatasetDict`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def saved_readers(folder: Path, column: str | None) -> dict[str, Reader]:
    """A reader for each split, by the name that it has there; a `Dataset` alone is `train`.

    Raises:
        InputError: the folder is damaged, or has no column of text.
    """
    import datasets  # here because it takes a second to import

    try:
        listed = folder / "dataset_dict.json"
        names = json.loads(listed.read_bytes())["splits"] if listed.is_file() else None
        folders = {"train": folder} if names is None else {name: folder / name for name in names}
        empty = [name for name, place in folders.items() if _has_no_files(place)]
        loaded = {name: datasets.load_from_disk(str(folders[name])) for name in folders if name not in empty}
    except Exception as error:  # whatever the library meets in files of another make
        for path in (path for path in sorted(folder.rglob("*")) if path.is_file()):
            check_whole(path, beginning(path))
        raise InputError(
            f"{folder}: cannot be read as a saved data set ({first_line(error.__cause__ or error)}); save it again"
        ) from error
    found = readers_of(str(folder), loaded, column)
    return {name: found.get(name, lambda: iter(())) for name in folders}


def _has_no_files(folder: Path) -> bool:
    """Whether `save_to_disk` found no rows to write, of which the library can read nothing."""
    return not json.loads((folder / "state.json").read_bytes())["_data_files"]


def hub_readers(hub_name: str, config: str | None, column: str | None, shows_bars: bool) -> dict[str, Reader]:
    """A reader for each split of a data set on the Hub, which `datasets` fetches and keeps in its cache.

    Raises:
        InputError: it cannot be had, has no column of text, or is larger than the disk of the cache.
    """
    import datasets  # as above

    (datasets.enable_progress_bars if shows_bars else datasets.disable_progress_bars)()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is said below, once
    place = f"hub:{hub_name}{'' if config is None else f':{config}'}"
    try:
        builder = datasets.load_dataset_builder(hub_name, config)
        if not Path(builder.cache_dir).is_dir():
            _check_room(place, builder)
        builder.download_and_prepare()
        loaded = builder.as_dataset()
    except InputError:
        raise
    except Exception as error:  # of the library, of its network library, of the data set's own making
        raise InputError(
            f"{place}: datasets cannot load it ({first_line(error)}); check the name, the config and the network"
        ) from error
    return readers_of(f"hub:{hub_name}", loaded, column)


def _check_room(place: str, builder: DatasetBuilder) -> None:
    """Refuse what the disk has no room for: what is fetched, and at least as much again once it is no longer packed."""
    from huggingface_hub import HfFileSystem

    files = [file for files in (builder.config.data_files or {}).values() for file in files]
    num_bytes = sum(HfFileSystem().info(file)["size"] for file in files if str(file).startswith("hf://"))
    cache = next(folder for folder in Path(builder.cache_dir).parents if folder.is_dir())
    free_bytes = shutil.disk_usage(cache).free
    if 2 * num_bytes > free_bytes:
        raise InputError(
            f"{place}: needs over {2 * num_bytes:,} bytes of the disk of {cache}, which has {free_bytes:,} free; "
            "choose a smaller data set or config, or set HF_HOME to a folder on another disk"
        )


def readers_of(place: str, splits: dict[str, Any], column: str | None) -> dict[str, Reader]:
    """A reader for each split of a `DatasetDict`."""
    readers: dict[str, Reader] = {}
    for name, dataset in splits.items():
        kinds = {field.name: kind_of(field.type) for field in dataset.features.arrow_schema}
        called = f"{place}, split {name}"
        readers[name] = partial(_rows, called, dataset, text_column(called, kinds, column))
    return readers


def _rows(called: str, dataset: Dataset, column: str) -> Iterator[Piece]:
    try:
        for batch in dataset.select_columns([column]).with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
            yield from chain.from_iterable(cut(value.as_py() or "") for value in batch[column])
    except UnicodeDecodeError as error:
        raise InputError(f"{called}: column {column!r} is not UTF-8 text; convert it") from error

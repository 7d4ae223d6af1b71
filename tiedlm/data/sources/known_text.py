"""Where a known corpus is found: below a folder, in the cache, or fetched; and the proof that it is that text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tiedlm.config.corpus_config import SPLITS
from tiedlm.data.sources.cache import cache_path, cached_folder, find_cached
from tiedlm.data.sources.fetch import fetch_corpus_by_address, fetch_corpus_from_hub, only_one_fetches
from tiedlm.data.sources.hub_access import NotFetched
from tiedlm.data.sources.known_corpora import KNOWN, KnownCorpus
from tiedlm.data.sources.layout import find_readers, folders_below, names_in, split_groups, split_of
from tiedlm.data.sources.pieces import Piece, Reader, TextCounts, TextHash, batches, stripped
from tiedlm.data.sources.saved_dataset import is_saved_dataset, saved_readers
from tiedlm.data.sources.watcher import Watcher
from tiedlm.errors import InputError

CACHE_FORMAT = 1
SOURCE_FILE = "source.json"
LOCAL_FILES = "local files"
"""The source of a text whose hash was verified; where it lay on one machine would tell a reader of records nothing."""
DOWNLOADS_FOLDER = "downloads"


class KnownText(NamedTuple):
    """The text of a known corpus: where it is from, how its splits are read, and their hashes."""

    source: str
    readers: dict[str, Reader]
    sha256: dict[str, str]


class _WrongText(Exception):
    """A text is not the published one; the message says which split, and in what."""

    def __init__(self, split: str, message: str) -> None:
        super().__init__(message)
        self.split = split


def find_known_text(name: str, data_dir: Path | None, watcher: Watcher, may_fetch: bool) -> KnownText:
    """A known corpus from `data_dir`; else from the folder in `TIEDLM_DATA`, the cache, or the network.

    Raises:
        InputError: it is in none of them; naming each place that was looked at, and why it is not from there.
    """
    known, variable = KNOWN[name], os.environ.get("TIEDLM_DATA")
    if data_dir is not None:
        return _below(name, data_dir, "--data-dir")
    looked = ["TIEDLM_DATA is not set"]
    if variable:
        try:
            return _below(name, Path(variable), "TIEDLM_DATA")
        except InputError as error:
            if not Path(variable).is_dir():
                raise
            looked = [str(error)]
    ingredients = ["corpus", CACHE_FORMAT, name, known.sha256]
    folder = find_cached(ingredients)
    looked.append(f"it is not in the cache {cache_path()}")
    if folder is None and may_fetch:
        folder = _fetched(name, ingredients, looked, watcher)
    if folder is None:
        raise InputError(
            f"corpus {name!r} was not found: {'; '.join(looked)}; pass --data-dir or set TIEDLM_DATA to a folder that "
            "holds it, or give the command again with a network"
        )
    readers = find_readers(folder, None)
    return KnownText(json.loads((folder / SOURCE_FILE).read_text()), readers, _verified(name, readers))


def _fetched(name: str, ingredients: list[Any], looked: list[str], watcher: Watcher) -> Path | None:
    """The cache's folder of a corpus that was fetched; `looked` learns of each place that does not give it."""
    known = KNOWN[name]
    fetchers = {f"{known.hub_name} on the Hub": fetch_corpus_from_hub}
    if known.raw_files is not None:
        fetchers[known.raw_files] = fetch_corpus_by_address
    with only_one_fetches(name, watcher):
        folder = find_cached(ingredients)  # by another command, while this one waited
        for number, (place, fetch) in enumerate(fetchers.items()):
            downloads = cache_path() / DOWNLOADS_FOLDER / f"{name}-{number}"
            if folder is not None:
                break
            if _is_offline():
                looked.append(f"{place} was not asked, since HF_HUB_OFFLINE is set")
                continue
            try:
                readers, source = fetch(known, downloads, watcher)
                folder = cached_folder(ingredients, partial(_write_text, known, readers, source))
            except NotFetched as error:
                looked.append(f"{place}: {error}")
                continue
            except (_WrongText, InputError) as error:
                looked.append(f"{place}: {error}")
                watcher.notice(f"{place} is refused: {error}")
            shutil.rmtree(downloads)  # it is in the cache, or not what it should be
    return folder


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _write_text(known: KnownCorpus, readers: dict[str, Reader], source: str, folder: Path) -> None:
    """A known corpus as text files, each line without the blanks at its ends."""
    for split in SPLITS:
        with (folder / f"{split}.txt").open("w", encoding="utf-8", newline="\n") as file:
            for batch in _checked(known, split, stripped(readers[split]())):
                file.writelines(f"{piece.text}\n" if piece.ends_line else piece.text for piece in batch)
    (folder / SOURCE_FILE).write_text(json.dumps(source))


def _checked(known: KnownCorpus, split: str, pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """The text of a split in batches; at its end it must have been the published one."""
    text, counts, num_unk = TextHash(), TextCounts(0, 0, 0), 0
    for batch in batches(pieces):
        text.add(batch)
        counts = counts.plus(batch)
        num_unk += sum(piece.text.count("<unk>") for piece in batch)
        yield batch
    problem = known.problem(split, text.hexdigest(), counts, num_unk)
    if problem:
        raise _WrongText(split, f"it is not the published {known.title} {split} split ({problem})")


def _verified(name: str, readers: dict[str, Reader]) -> dict[str, str]:
    """The hashes of a known corpus's splits; valid goes first, since it is short and tells other texts at once."""
    sha256 = {}
    for split in ("valid", "test", "train"):
        text = TextHash()
        for batch in _checked(KNOWN[name], split, stripped(readers[split]())):
            text.add(batch)
        sha256[split] = text.hexdigest()
    return {split: sha256[split] for split in SPLITS}


def _below(name: str, base: Path, option: str) -> KnownText:
    """A known corpus in a folder or below it, by its text, whatever the files are called.

    Raises:
        InputError: it is not there.
    """
    if not base.is_dir():
        raise InputError(f"{base}: is not a folder; pass that of corpus {name!r} by --data-dir or TIEDLM_DATA")
    known, problems = KNOWN[name], []
    usual = [folder for folder in (base / known.folder, base) if folder.is_dir()]
    for folder in dict.fromkeys([*usual, *folders_below(base)]):
        try:
            for places, readers in _candidates(folder):
                try:
                    sha256 = _verified(name, readers)
                except _WrongText as error:
                    problems.append(f"{places[error.split]}: {error}")
                except InputError as error:
                    problems.append(str(error))
                else:
                    return KnownText(LOCAL_FILES, {s: partial(_stripped, readers[s]) for s in SPLITS}, sha256)
        except InputError as error:
            problems.append(str(error))
    nearest = f"; {problems[0]}" if problems else ""
    raise InputError(
        f"{option} {base}: does not hold corpus {name!r} (there lies: {names_in(base) or 'nothing'}){nearest}; give "
        "the folder of its original files, or pass any other text as --corpus"
    )


def _stripped(reader: Reader) -> Iterator[Piece]:
    return stripped(reader())


def _candidates(folder: Path) -> Iterator[tuple[dict[str, Path], dict[str, Reader]]]:
    """What in a folder has all three splits: where each lies, and its reader."""
    if is_saved_dataset(folder):
        found = {split_of(called) or called: reader for called, reader in saved_readers(folder, None).items()}
        groups: Iterable[tuple[dict[str, Path], dict[str, Reader]]] = [(dict.fromkeys(found, folder), found)]
    else:
        groups = [
            (
                {split: files.files[0] for split, files in group.splits.items()},
                {split: files.reader(None) for split, files in group.splits.items()},
            )
            for group in split_groups(folder)
        ]
    for places, readers in groups:
        missing = [split for split in SPLITS if split not in readers]
        if not missing:
            yield places, readers
        elif len(missing) < len(SPLITS) - 1:
            raise InputError(
                f"{next(iter(places.values()))} has no {missing[0]} beside it, and a corpus needs train, valid and test"
            )

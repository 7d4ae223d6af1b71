"""A corpus name, folder or file → the lines of each split, and the hash that says which text it was."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tiedlm.data.cache import cache_path, cached_folder, find_cached
from tiedlm.data.fetch import NotFetched, fetch_corpus_by_address, fetch_corpus_from_hub, only_one_fetches
from tiedlm.data.known_corpora import KNOWN, KnownCorpus
from tiedlm.data.layout import (
    SPLITS,
    SplitFiles,
    find_readers,
    folders_below,
    names_in,
    single_file,
    split_groups,
    split_of,
)
from tiedlm.data.pieces import Piece, Reader, TextCounts, TextHash, batches, part, stripped
from tiedlm.data.pydoc_corpus import pydoc_folder
from tiedlm.data.saved_dataset import hub_readers, is_saved_dataset, saved_readers
from tiedlm.data.watcher import Watcher
from tiedlm.errors import InputError

HUB_CORPUS = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[^:]+))?")
TEXT_FORMAT = 1  # of a known corpus in the cache
SOURCE_FILE = "source.json"
DOWNLOADS_FOLDER = "downloads"


@dataclass(frozen=True)
class Corpus:
    """The text of an experiment: how each split is read, and its SHA-256 (see `TextHash`)."""

    name: str
    source: str
    """Where the text came from; it decides nothing."""
    readers: dict[str, Reader]
    sha256: dict[str, str]

    def batches(self, split: str) -> Iterator[list[Piece]]:
        """The lines of a split in order, some thousands at a time.

        Raises:
            InputError: the text is not the one that was hashed.
        """
        text = TextHash()
        for batch in batches(self.readers[split]()):
            text.add(batch)
            yield batch
        if text.hexdigest() != self.sha256[split]:
            raise InputError(
                f"corpus {self.name!r}: its {split} split changed while it was read; give the command again once "
                "nothing writes to it"
            )


def default_tokenizer(name: str) -> str:
    """The tokenizer that papers use for this corpus: words for those that have no others, BPE elsewhere."""
    return "word" if name in KNOWN and KNOWN[name].num_words else "bpe:4096"


def is_own_text(name: str) -> bool:
    """Whether it is the user's file or folder, and none with a name of its own, whatever lies in the current folder."""
    return name != "pydoc" and name not in KNOWN and not name.startswith("hub:")


def load_corpus(
    name: str,
    data_dir: Path | None = None,
    text_column: str | None = None,
    watcher: Watcher | None = None,
    may_fetch: bool = True,
) -> Corpus:
    """Find a corpus by its name, or read a folder or file; every split is read once, for its hash.

    A known corpus is looked for below `data_dir`, or else below the folder in the variable `TIEDLM_DATA`, in the cache,
    and then, if it may be fetched, on the Hub. `text_column` is the column of the text where a file has several.

    Raises:
        InputError: a split is missing, empty, binary, not UTF-8, or not the published one; or the corpus is nowhere.
    """
    watcher = watcher or Watcher()
    if name in KNOWN:
        if text_column is not None:
            raise InputError(f"--text-column {text_column}: corpus {name!r} needs none; leave it out")
        return _known_corpus(name, data_dir, watcher, may_fetch)
    if data_dir is not None:
        raise InputError(
            f"--data-dir {data_dir}: corpus {name!r} needs none; it is for {', '.join(KNOWN)}, so name one of them or "
            "leave it out"
        )
    if name == "pydoc":
        readers, source = find_readers(pydoc_folder(), text_column), "the installed Python's own documentation"
    elif name.startswith("hub:"):
        readers, source = _from_hub(name, text_column, watcher), name
    else:
        readers, source = _own_readers(Path(name), text_column), name
    missing = [split for split in SPLITS if split not in readers]
    if missing:
        readers = {split: partial(_part, readers, split, missing) for split in SPLITS}
        watcher.tell(
            f"corpus {name!r} has no {' and no '.join(missing)}: 5 % of the documents of train become each, by their "
            "hash; a line or a row is a document"
        )
        source += f"; {' and '.join(missing)} taken from train by document hash"
    source += "" if text_column is None else f", column {text_column}"
    return Corpus(name, source, readers, {split: _sha256(name, split, readers[split]) for split in SPLITS})


def _part(readers: dict[str, Reader], split: str, missing: Collection[str]) -> Iterator[Piece]:
    return part(readers["train"](), split, missing) if split == "train" or split in missing else readers[split]()


def _sha256(name: str, split: str, reader: Reader) -> str:
    text, is_empty = TextHash(), True
    for batch in batches(reader()):
        text.add(batch)
        is_empty = False
    if is_empty:
        raise InputError(f"corpus {name!r}: its {split} split is empty; give more text, or each split as a file")
    return text.hexdigest()


def _own_readers(place: Path, text_column: str | None) -> dict[str, Reader]:
    if place.is_dir():
        return find_readers(place, text_column)
    if not place.exists():
        raise InputError(
            f"corpus {str(place)!r} is neither a folder nor a file nor one of pydoc, {', '.join(KNOWN)}; check the "
            "path or use a name"
        )
    return single_file(place, text_column)


def _from_hub(name: str, text_column: str | None, watcher: Watcher) -> dict[str, Reader]:
    matched = HUB_CORPUS.fullmatch(name)
    if matched is None:
        raise InputError(f"corpus {name!r} is not of the form hub:OWNER/NAME or hub:OWNER/NAME:CONFIG; write it so")
    watcher.tell(f"fetching {name} from the Hub, unless it is in the cache of datasets")
    found = hub_readers(matched["name"], matched["config"], text_column, watcher.shows_bars)
    readers = {split: reader for called, reader in found.items() if (split := split_of(called))}
    if "train" not in readers:
        raise InputError(f"{name}: has the splits {', '.join(found)} and no train; give another data set or config")
    return readers


class _WrongText(Exception):
    """A text is not the published one; the message says which split, and in what."""


def _known_corpus(name: str, data_dir: Path | None, watcher: Watcher, may_fetch: bool) -> Corpus:
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
    ingredients = ["corpus", TEXT_FORMAT, name, known.sha256]
    folder = find_cached(ingredients)
    looked.append(f"the cache {cache_path()} has it not")
    if folder is None and may_fetch:
        folder = _fetched(name, ingredients, looked, watcher)
    if folder is None:
        raise InputError(
            f"corpus {name!r} was not found: {'; '.join(looked)}; pass --data-dir or set TIEDLM_DATA to a folder that "
            "holds it, or give the command again with a network"
        )
    readers = find_readers(folder, None)
    return Corpus(name, json.loads((folder / SOURCE_FILE).read_text()), readers, _verified(name, readers))


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
    text, counts = TextHash(), TextCounts(0, 0, 0)
    for batch in batches(pieces):
        text.add(batch)
        counts = counts.plus(batch)
        yield batch
    problem = known.problem(split, text.hexdigest(), counts)
    if problem:
        raise _WrongText(f"it is not the published {known.title} {split} split ({problem})")


def _verified(name: str, readers: dict[str, Reader]) -> dict[str, str]:
    """The hashes of a known corpus's splits; valid goes first, since it is short and tells other texts at once."""
    sha256 = {}
    for split in ("valid", "test", "train"):
        text = TextHash()
        for batch in _checked(KNOWN[name], split, stripped(readers[split]())):
            text.add(batch)
        sha256[split] = text.hexdigest()
    return {split: sha256[split] for split in SPLITS}


def _below(name: str, base: Path, option: str) -> Corpus:
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
            for place, readers in _candidates(folder):
                try:
                    sha256 = _verified(name, readers)
                except (_WrongText, InputError) as error:
                    problems.append(f"{place}: {error}")
                else:
                    return Corpus(name, str(folder), {s: partial(_stripped, readers[s]) for s in SPLITS}, sha256)
        except InputError as error:
            problems.append(str(error))
    nearest = f"; {problems[0]}" if problems else ""
    raise InputError(
        f"{option} {base}: does not hold corpus {name!r} (there lies: {names_in(base) or 'nothing'}){nearest}; give "
        "the folder of its original files, or pass any other text as --corpus"
    )


def _stripped(reader: Reader) -> Iterator[Piece]:
    return stripped(reader())


def _candidates(folder: Path) -> Iterator[tuple[str, dict[str, Reader]]]:
    """What in a folder has all three splits, and what it is called."""
    if is_saved_dataset(folder):
        found = {split_of(called) or called: reader for called, reader in saved_readers(folder, None).items()}
        groups: Iterable[tuple[str, dict[str, Reader]]] = [(str(folder), found)]
    else:
        of_files: list[tuple[str, dict[str, SplitFiles]]] = [
            (str(group.splits[next(iter(group.splits))].files[0]), group.splits) for group in split_groups(folder)
        ]
        groups = [(place, {split: files.reader(None) for split, files in splits.items()}) for place, splits in of_files]
    for place, readers in groups:
        missing = [split for split in SPLITS if split not in readers]
        if not missing:
            yield place, readers
        elif len(missing) < len(SPLITS) - 1:
            raise InputError(f"{place} has no {missing[0]} beside it, and a corpus needs train, valid and test")

"""A corpus name, folder or file → the lines of each split, and the hash that says which text it was."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiedlm.config.corpus_config import BY_LINES_FOR_WANT_OF_PARAGRAPHS, SPLITS
from tiedlm.data.sources.document_split import split_by_document
from tiedlm.data.sources.documents import Documents
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.data.sources.known_text import find_known_text
from tiedlm.data.sources.layout import find_readers, single_file, split_of
from tiedlm.data.sources.pieces import Piece, Reader, TextHash, batches
from tiedlm.data.sources.pydoc_corpus import pydoc_folder
from tiedlm.data.sources.saved_dataset import hub_readers
from tiedlm.data.sources.table_file import UnclearColumn
from tiedlm.data.sources.watcher import Watcher
from tiedlm.errors import InputError

NO_COLUMN = "\0"
"""No column has this name, and what has columns says so."""
HUB_CORPUS = re.compile(r"hub:(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[^:]+))?")


@dataclass(frozen=True)
class Corpus:
    """The text of an experiment: how each split is read, and its SHA-256 (see `TextHash`)."""

    name: str
    source: str
    """Where the text came from; it decides nothing."""
    readers: dict[str, Reader]
    sha256: dict[str, str]
    documents: Documents | None = None
    """By which valid or test was taken from train; None where it has both."""

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


def check_is_here(name: str, remedy: str) -> None:
    """Refuse the text of runs that name it by a path that leads nowhere from here.

    Raises:
        InputError: it is such a path.
    """
    if is_own_text(name) and not Path(name).is_absolute() and not Path(name).exists():
        raise InputError(
            f"corpus {name!r} is not here: its path is relative to the folder in which the runs were trained; {remedy}"
        )


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
        return Corpus(name, *find_known_text(name, data_dir, watcher, may_fetch))
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
    documents = None
    if missing:
        split = split_by_document(readers["train"], missing)
        if split is None:
            _sha256(name, "train", readers["train"])  # where it is empty, this is what is wrong
            raise InputError(
                f"corpus {name!r}: has no {' and no '.join(missing)}, and too few different documents in train to take "
                f"them from; give {' and '.join(missing)} too"
            )
        readers |= split.readers
        documents = split.documents
        watcher.tell(
            f"corpus {name!r} has no {' and no '.join(missing)}: 5 % of the documents of train become each, by their "
            "hash"
        )
        source += f"; {' and '.join(missing)} taken from train {_by_hash(documents)}"
    source += "" if text_column is None else f", column {text_column}"
    sha256 = {split: _sha256(name, split, readers[split]) for split in SPLITS}
    return Corpus(name, source, readers, sha256, documents)


def load_corpus_again(
    name: str,
    text_sha256: dict[str, str] | None,
    data_dir: Path | None = None,
    text_column: str | None = None,
    watcher: Watcher | None = None,
    may_fetch: bool = True,
) -> Corpus:
    """The same of a text that was read before: its column, where none is named, is the one that gives these hashes.

    Where none gives them, and for a text that was never read, it is what `load_corpus` finds.

    Raises:
        InputError: as `load_corpus`.
    """
    load = functools.partial(load_corpus, name, data_dir, may_fetch=may_fetch)
    if text_sha256 is None or text_column is not None:
        return load(text_column, watcher)
    try:
        usual = load(None, watcher)
    except UnclearColumn as unclear:
        found = _of_a_column(load, unclear.columns, text_sha256)
        if found is None:
            raise
        return found
    if usual.sha256 == text_sha256:
        return usual
    try:
        load(NO_COLUMN)
    except UnclearColumn as unclear:
        return _of_a_column(load, unclear.columns, text_sha256) or usual
    except InputError:  # it has no columns
        pass
    return usual


def _of_a_column(load: Callable[[str], Corpus], columns: list[str], text_sha256: dict[str, str]) -> Corpus | None:
    for column in columns:
        with contextlib.suppress(InputError):  # another one may hold what is no text
            found = load(column)
            if found.sha256 == text_sha256:
                return found
    return None


def _by_hash(documents: Documents) -> str:
    return BY_LINES_FOR_WANT_OF_PARAGRAPHS if documents.may_cut_paragraphs else f"by the hash of each {documents.kind}"


def _sha256(name: str, split: str, reader: Reader) -> str:
    text, is_empty = TextHash(), True
    for batch in batches(reader()):
        text.add(batch)
        is_empty = False
    if is_empty:
        raise InputError(f"corpus {name!r}: its {split} split is empty; give more text")
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

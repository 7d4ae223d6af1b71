"""A folder → the files of each split, in the layouts that people have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tiedlm.config.corpus_config import SPLITS
from tiedlm.data.sources.documents import Document, paragraphs
from tiedlm.data.sources.pieces import Piece, Reader
from tiedlm.data.sources.saved_dataset import is_saved_dataset, saved_readers
from tiedlm.data.sources.text_file import (
    SHOWN_SUFFIXES,
    TEXT,
    check_column,
    format_of,
    has_a_paragraph_a_line,
    read_pieces,
    split_suffix,
)
from tiedlm.data.sources.unpacking import beginning, check_whole
from tiedlm.errors import InputError

TOKENIZER_FILE = "tokenizer.json"  # beside the ids of a text, and beside the models that were trained on them
SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call a split, and its name here."""
STEM = re.compile(
    rf"(?P<prefix>.*[._-])?(?P<split>{'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})"
    r"(?:-(?P<shard>\d{1,6})(?:-of-(?P<of>\d{1,6}))?)?",
    re.IGNORECASE | re.DOTALL,
)
MAX_FOLDERS, MAX_DEPTH, NAMES_SHOWN = 2_000, 4, 12


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split in their order: one, or all shards."""

    files: tuple[Path, ...]

    def reader(self, column: str | None) -> FileReader:
        """Of all files, one after the other."""
        return FileReader(self.files, column)


@dataclass(frozen=True)
class FileReader:
    """Reads the lines or rows of files, one file after the other."""

    files: tuple[Path, ...]
    column: str | None

    def __call__(self) -> Iterator[Piece]:
        for path in self.files:
            yield from read_pieces(path, self.column)

    def paragraphs(self) -> Iterator[Document]:
        """The same lines as paragraphs, none of which goes on in the next file."""
        for path in self.files:
            yield from paragraphs(read_pieces(path, self.column))

    @property
    def holds_lines(self) -> bool:
        """Whether they are lines and not rows."""
        return all(format_of(path) == TEXT for path in self.files)

    @property
    def is_plain_text(self) -> bool:
        """Whether they are lines of which several may make a paragraph."""
        return self.holds_lines and not any(has_a_paragraph_a_line(path) for path in self.files)


def split_of(name: str) -> str | None:
    """`valid` for `validation`, `val`, `dev`, in any case; None for what is no split."""
    return SPLIT_OF.get(name.lower())


def find_readers(folder: Path, column: str | None) -> dict[str, Reader]:
    """The readers of a folder's splits: `train` alone, or all three.

    Raises:
        InputError: a split is missing or there twice, or a shard is missing; naming the files that lie there.
    """
    if is_saved_dataset(folder):
        found = {split_of(name) or name: reader for name, reader in saved_readers(folder, column).items()}
        return _complete(folder, {split: found[split] for split in SPLITS if split in found}, ", ".join(found))
    groups = list(split_groups(folder))
    if not groups and (folder / "data").is_dir():  # as in a clone of a data set from the Hub
        return find_readers(folder / "data", column)
    plain = [group for group in groups if group.prefix == ""]  # `train.txt` goes before `old-train.txt`
    splits: dict[str, SplitFiles] = {}
    for group in plain or groups:
        for split, files in group.splits.items():
            if split in splits:
                raise InputError(
                    f"{folder}: holds both {splits[split].files[0].name} and {files.files[0].name}; keep one of them"
                )
            splits[split] = files
    if splits:
        check_column([path for files in splits.values() for path in files.files], column)
    return _complete(
        folder, {split: splits[split].reader(column) for split in SPLITS if split in splits}, names_in(folder)
    )


def _complete(folder: Path, readers: dict[str, Reader], lies_there: str) -> dict[str, Reader]:
    missing = [split for split in SPLITS if split not in readers]
    _check_others(folder, missing)
    if missing and list(readers) != ["train"]:
        raise InputError(
            f"{folder / missing[0]}.txt: is missing; add it (or {missing[0]} as one of {SHOWN_SUFFIXES}), or leave "
            f"train alone there, of which 5 % each become valid and test; there lies: {lies_there or 'nothing'}"
        )
    return readers


def _check_others(folder: Path, missing: list[str]) -> None:
    """Refuse a missing split that lies there, packed by what is not read or a link to nothing; train would be divided.

    Raises:
        InputError: there is one.
    """
    for path in _entries(folder):
        stems = (path.name.rsplit(".", number)[0] for number in (1, 2, 3))
        matches = (matched for stem in stems if (matched := STEM.fullmatch(stem)))
        if any(SPLIT_OF[matched["split"].lower()] in missing for matched in matches):
            if path.is_symlink() and not path.exists():
                raise InputError(f"{path}: is a link to {path.readlink()}, which is not there; mend or remove the link")
            if path.is_file():
                check_whole(path, beginning(path))


@dataclass(frozen=True)
class Group:
    """Files of a folder whose names differ in the split alone: a prefix and a suffix in common."""

    folder: Path
    prefix: str
    suffix: str
    splits: dict[str, SplitFiles]


def split_groups(folder: Path) -> Iterator[Group]:
    """All groups of a folder's own files; and of its folders `train`, `valid` and `test`, if they hold the files.

    Raises:
        InputError: a shard is missing.
    """
    shards: dict[tuple[str, str], dict[str, dict[str, list[tuple[int, int, Path]]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for path in _entries(folder):
        found = split_suffix(path.name)
        matched = STEM.fullmatch(found[0]) if found else None
        if found and matched and path.is_file():
            number = (int(matched["shard"] or 0), int(matched["of"] or 0), path)
            shards[matched["prefix"] or "", found[1]][matched["split"].lower()][_kind_of_shards(matched)].append(number)
        elif split_of(path.name) and path.is_dir():
            for inner in _entries(path):
                inner_suffix = (split_suffix(inner.name) or ("", ""))[1]
                if inner.is_file() and inner_suffix:
                    shards["", inner_suffix][path.name.lower()]["folder"].append((0, 0, inner))
    for (prefix, suffix), of_names in shards.items():
        splits: dict[str, SplitFiles] = {}
        for name, kinds in of_names.items():
            files = [file for kind in kinds.values() for file in kind]
            split = SPLIT_OF[name]
            if len(kinds) > 1 or split in splits:
                other = splits[split].files[0] if split in splits else next(iter(kinds.values()))[0][2]
                raise InputError(f"{folder}: holds both {other.name} and {files[-1][2].name}; keep one of them")
            splits[split] = SplitFiles(_in_order(files))
        yield Group(folder, prefix, suffix, splits)


def _kind_of_shards(matched: re.Match[str]) -> str:
    """Whether a file is all of a split, or one of its shards."""
    return "whole" if matched["shard"] is None else f"of {matched['of'] or 'some'}"


def _in_order(files: list[tuple[int, int, Path]]) -> tuple[Path, ...]:
    ordered = sorted(files)
    total = ordered[0][1]
    if total:
        missing = sorted(set(range(total)) - {number for number, _, _ in ordered})
        if missing or len(ordered) > total:
            what = f"shard {missing[0]} of {total} is missing" if missing else f"more than {total} shards"
            raise InputError(f"{ordered[0][2]}: {what}; give all shards of the split, each once")
    return tuple(path for _, _, path in ordered)


def folders_below(base: Path) -> Iterator[Path]:
    """The folder itself and those below it, the nearest first; as many as a person would have there."""
    level, number = [base], 0
    for _ in range(MAX_DEPTH):
        for folder in level:
            yield folder
            number += 1
            if number == MAX_FOLDERS:
                return
        level = [path for folder in level for path in _entries(folder) if path.is_dir() and not path.is_symlink()]


def names_in(folder: Path) -> str:
    """What lies in a folder, in a few words."""
    names = [f"{path.name}/" if path.is_dir() else path.name for path in islice(_entries(folder), NAMES_SHOWN + 1)]
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error


def single_file(path: Path, column: str | None) -> dict[str, Reader]:
    """A file as the train split of a text that has no other."""
    check_column([path], column)
    return {"train": SplitFiles((path,)).reader(column)}

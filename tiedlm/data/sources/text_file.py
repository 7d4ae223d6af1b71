"""A file of text → its lines. Every look at it checks it again: that it is UTF-8, of its format, and not empty."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.data.sources.pieces import Piece, cut
from tiedlm.data.sources.table_file import UnclearColumn, parquet_rows, separated_rows
from tiedlm.data.sources.text_lines import (
    BYTES_AT_ONCE,
    MAX_JSON_BYTES,
    Unreadable,
    decoded,
    text_lines,
    whole_lines,
)
from tiedlm.data.sources.unpacking import NOT_UNPACKED, PACKED_SUFFIXES, beginning, check_whole, open_unpacked
from tiedlm.errors import InputError

TEXT, JSON_LINES, JSON, CSV, TSV, PSV, PARQUET = "text", "JSON lines", "JSON", "CSV", "TSV", "PSV", "parquet"
FORMATS = {
    **dict.fromkeys((".txt", ".tokens", ".raw", ""), TEXT),
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonlines"), JSON_LINES),
    ".json": JSON,
    ".csv": CSV,
    **dict.fromkeys((".tsv", ".tab"), TSV),
    ".psv": PSV,
    ".parquet": PARQUET,
}
"""Suffix → format; with `.gz` or the like after it the file is compressed, unless it is parquet."""
NOT_READ: tuple[type[Exception], ...] = (*NOT_UNPACKED, csv.Error, Unreadable)
PARAGRAPH_A_LINE = (".tokens", ".raw")
"""Suffixes of text that has a paragraph a line, as WikiText has."""
SHOWN_SUFFIXES = ".txt, .jsonl, .json, .csv, .tsv, .parquet"


def split_suffix(file_name: str) -> tuple[str, str] | None:
    """`train.txt.gz` → (`train`, `.txt.gz`), of whatever case; None if no format has that suffix."""
    lower = file_name.lower()
    packed = _packed_suffix(lower)
    _, dot, last = lower.removesuffix(packed).rpartition(".")
    if not dot:
        suffix = packed
    elif f".{last}" in FORMATS and not (packed and last == "parquet"):
        suffix = f".{last}{packed}"
    else:
        return None
    return file_name[: len(file_name) - len(suffix)], suffix


def _packed_suffix(name: str) -> str:
    return next((suffix for suffix in PACKED_SUFFIXES if name.endswith(suffix)), "")


def format_of(path: Path) -> str:
    """How a file is read: by its suffix, and as text where that says nothing."""
    found = split_suffix(path.name)
    return TEXT if found is None else FORMATS[found[1].removesuffix(_packed_suffix(found[1]))]


def has_a_paragraph_a_line(path: Path) -> bool:
    """Whether a file of text is of those that have a paragraph a line, by its suffix."""
    found = split_suffix(path.name)
    return found is not None and found[1].startswith(PARAGRAPH_A_LINE)


def check_column(files: Iterable[Path], column: str | None) -> None:
    """Refuse a column that is asked for where no file has columns; plain text may lie beside one that has.

    Raises:
        InputError: all files are plain text.
    """
    first, *others = files
    if column is not None and {format_of(path) for path in (first, *others)} == {TEXT}:
        raise InputError(f"{first}: is plain text, which has no column {column!r}; leave --text-column out")


def read_pieces(path: Path, column: str | None = None) -> Iterator[Piece]:
    """The lines of a file in order, or the rows of a column of text, where it has columns.

    Raises:
        InputError: it cannot be read, is not of the format that its name says, or has no such column.
    """
    format_name = format_of(path)
    suffix = (split_suffix(path.name) or ("", TEXT))[1] or TEXT
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: is no regular file; give a file of text")
        if format_name == PARQUET:
            check_whole(path, beginning(path))
            if not path.stat().st_size:
                raise InputError(f"{path}: is empty; give a file with text")
            yield from parquet_rows(path, column)
            return
        with open_unpacked(path) as file:
            pieces = READERS[format_name](path, file, column)
            yield from pieces if split_suffix(path.name) else _no_json(path, pieces)
    except NOT_READ as error:
        raise InputError(f"{path}: cannot be read as {suffix} ({error}); correct the file") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from error


def _no_json(path: Path, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The lines of a file whose suffix says nothing, unless they are JSON; keys and quotes would be trained on."""
    for number, piece in enumerate(pieces):
        if number == 0 and _is_object(piece.text):
            raise InputError(f"{path}: its lines are JSON; name it .jsonl to read their text, or .txt to read all")
        yield piece


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _json_lines(path: Path, file: BinaryIO, column: str | None) -> Iterator[Piece]:
    """The text of each line's object; lines of blanks are left out."""
    for number, line in enumerate(whole_lines(path, file), start=1):
        if line.strip():
            place = f"{path}: line {number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place} cannot be read as JSON ({error}); correct the file") from error
            yield from cut(_text_of_row(place, value, column or "text"))


def _json_value(path: Path, file: BinaryIO, column: str | None) -> Iterator[Piece]:
    """A list of objects, or of strings; or JSON lines, which many write under this suffix."""
    chunks = decoded(path, file)
    beginning = next(chunks)
    if not beginning.lstrip().startswith("["):
        file.seek(0)
        yield from _json_lines(path, file, column)
        return
    content = [beginning]
    for chunk in chunks:
        content.append(chunk)
        if len(content) * BYTES_AT_ONCE > MAX_JSON_BYTES:
            raise InputError(f"{path}: is over the limit of {MAX_JSON_BYTES:,} bytes; write it as .jsonl, a row a line")
    try:
        rows = json.loads("".join(content))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); correct the file") from error
    for number, row in enumerate(rows, start=1):
        value = {column or "text": row} if isinstance(row, str) else row
        yield from cut(_text_of_row(f"{path}: row {number}", value, column or "text"))


def _text_of_row(place: str, value: Any, column: str) -> str:
    """The text of an object, of which null is none."""
    if not isinstance(value, dict):
        raise InputError(f"{place} is not a JSON object with the key {column!r}; write one a line")
    if column not in value:
        keys = ", ".join(sorted(map(repr, value))[:8])
        raise UnclearColumn(
            f"{place} has no key {column!r} but {keys or 'none'}; name the one with the text by --text-column",
            [key for key, text in value.items() if isinstance(text, str)],
        )
    text = "" if value[column] is None else value[column]
    if not isinstance(text, str):
        remedy = "join its parts into one string" if isinstance(text, list | dict) else "correct the file"
        raise InputError(f"{place}: {column!r} is {json.dumps(text)[:40]}, not a string; {remedy}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{place}: {column!r} has half of a surrogate pair, no character; correct it") from error
    return text


READERS: dict[str, Callable[[Path, BinaryIO, str | None], Iterator[Piece]]] = {
    TEXT: text_lines,
    JSON_LINES: _json_lines,
    JSON: _json_value,
    CSV: partial(separated_rows, ","),
    TSV: partial(separated_rows, "\t"),
    PSV: partial(separated_rows, "|"),
}

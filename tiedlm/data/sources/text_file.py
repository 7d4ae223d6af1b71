"""A file of text → its lines. Every look at it checks it again: that it is UTF-8, of its format, and not empty."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.data.sources.pieces import LONGEST_PIECE, Piece, cut
from tiedlm.errors import InputError

TEXT, JSON_LINES, JSON, CSV, PARQUET = "text", "JSON lines", "JSON", "CSV", "parquet"
FORMATS = {
    **dict.fromkeys((".txt", ".tokens", ".raw", ""), TEXT),
    **dict.fromkeys((".jsonl", ".ndjson"), JSON_LINES),
    ".json": JSON,
    ".csv": CSV,
    ".parquet": PARQUET,
}
"""Suffix → format; with `.gz` after it the file is compressed, unless it is parquet."""
SHOWN_SUFFIXES = ".txt, .jsonl, .json, .csv, .parquet"
BYTES_AT_ONCE = 1 << 20
BinaryFile = BinaryIO | gzip.GzipFile
MAX_JSON_BYTES = 1 << 29  # of a file that is one JSON value, or of a line: it is in memory as a whole
ROWS_AT_ONCE = 1_000
MAX_UNPACKED_BYTES, MAX_PACKING = 1 << 26, 1_000


def split_suffix(file_name: str) -> tuple[str, str] | None:
    """`train.txt.gz` → (`train`, `.txt.gz`), of whatever case; None if no format has that suffix."""
    lower = file_name.lower()
    packed = ".gz" if lower.endswith(".gz") else ""
    stem, dot, last = lower.removesuffix(packed).rpartition(".")
    if f".{last}" in FORMATS and dot and not (packed and last == "parquet"):
        return file_name[: len(stem)], f".{last}{packed}"
    return (file_name, "") if not packed and not dot else None


def format_of(path: Path) -> str:
    """How a file is read: by its suffix, and as text where that says nothing."""
    found = split_suffix(path.name)
    return TEXT if found is None else FORMATS[found[1].removesuffix(".gz")]


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
            yield from _parquet_rows(path, column)
            return
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            yield from READERS[format_name](path, file, column)
    except (gzip.BadGzipFile, zlib.error, EOFError, csv.Error, _Unreadable) as error:
        raise InputError(f"{path}: cannot be read as {suffix} ({error}); correct the file") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from error


class _Unreadable(Exception):
    """What a library says of a file that is not of its format, in one line."""


def _decoded(path: Path, file: BinaryFile) -> Iterator[str]:
    """UTF-8 text a piece at a time, every line break as `\\n`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    breaks, offset = io.IncrementalNewlineDecoder(None, translate=True), 0
    try:
        while chunk := file.read(BYTES_AT_ONCE):
            if offset == 0 and chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise InputError(f"{path}: is UTF-16 text; convert it to UTF-8")
            if b"\0" in chunk:
                raise InputError(f"{path}: is binary (NUL at byte {offset + chunk.index(0)}); give a text file")
            text = decoder.decode(chunk)
            yield breaks.decode(text.removeprefix("\ufeff") if offset == 0 else text)
            offset += len(chunk)
        yield breaks.decode(decoder.decode(b"", final=True), final=True)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (near byte {offset + error.start}); convert it to UTF-8"
        ) from error
    if offset == 0:
        raise InputError(f"{path}: is empty; give a file with text")


def _text_lines(path: Path, file: BinaryFile, _: str | None) -> Iterator[Piece]:
    rest = ""
    for text in _decoded(path, file):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield from cut(line)
        if len(rest) > 2 * LONGEST_PIECE:
            *pieces, (rest, _ends) = cut(rest, False)
            yield from pieces
    if rest:
        yield from cut(rest)


def _whole_lines(path: Path, file: BinaryFile) -> Iterator[str]:
    """Lines with their breaks, each as a whole."""
    rest: list[str] = []
    length = 0
    for text in _decoded(path, file):
        *lines, last = text.split("\n")
        for line in lines:
            yield "".join([*rest, line, "\n"])
            rest, length = [], 0
        rest.append(last)
        length += len(last)
        if length > MAX_JSON_BYTES:
            raise _Unreadable(f"a line is over the limit of {MAX_JSON_BYTES:,} characters")
    if last := "".join(rest):
        yield last


def _json_lines(path: Path, file: BinaryFile, column: str | None) -> Iterator[Piece]:
    """The text of each line's object; lines of blanks are left out."""
    for number, line in enumerate(_whole_lines(path, file), start=1):
        if line.strip():
            place = f"{path}: line {number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place} cannot be read as JSON ({error}); correct the file") from error
            yield from cut(_text_of_row(place, value, column or "text"))


def _json_value(path: Path, file: BinaryFile, column: str | None) -> Iterator[Piece]:
    """A list of objects, or of strings; or JSON lines, which many write under this suffix."""
    chunks = _decoded(path, file)
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
        raise InputError(
            f"{place} has no key {column!r} but {keys or 'none'}; name the one with the text by --text-column"
        )
    text = "" if value[column] is None else value[column]
    if not isinstance(text, str):
        raise InputError(f"{place}: {column!r} is {json.dumps(text)[:40]}, not a string; correct the file")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{place}: {column!r} has half of a surrogate pair, no character; correct it") from error
    return text


def _csv_rows(path: Path, file: BinaryFile, column: str | None) -> Iterator[Piece]:
    """The rows under a header; a field may hold line breaks."""
    csv.field_size_limit(MAX_JSON_BYTES)
    rows = csv.reader(_whole_lines(path, file), strict=True)
    header = next(rows, [])
    index = header.index(text_column(str(path), dict.fromkeys(header, "string"), column))
    for row in rows:
        if len(row) not in (0, len(header)):
            raise _Unreadable(f"line {rows.line_num} has {len(row)} fields, the header {len(header)}")
        if row:
            yield from cut(row[index])


def _parquet_rows(path: Path, column: str | None) -> Iterator[Piece]:
    """The rows of the column of text; a dictionary stays one, so that equal rows are in memory once."""
    import pyarrow  # here because it takes a while to import
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        name = text_column(str(path), {field.name: kind_of(field.type) for field in schema}, column)
        with parquet.ParquetFile(path, read_dictionary=[name], pre_buffer=False) as file:
            _check_packing(file.metadata, name)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[name]):
                yield from itertools.chain.from_iterable(cut(value.as_py() or "") for value in batch.column(0))
    except pyarrow.ArrowException as error:
        raise _Unreadable(str(error).splitlines()[0][:200]) from error


def _check_packing(metadata: Any, column: str) -> None:
    """Refuse a column of a few bytes that would fill the memory; text packs to a tenth, not to a thousandth."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    for chunk in (group.column(number) for group in groups for number in range(group.num_columns)):
        packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
        if chunk.path_in_schema == column and unpacked > max(MAX_UNPACKED_BYTES, MAX_PACKING * packed):
            raise _Unreadable(f"column {column!r} unpacks from {packed:,} bytes to {unpacked:,}, which is no text")


def kind_of(arrow_type: Any) -> str:
    """`string` for all that is text in Arrow, else the type's own name."""
    from pyarrow import types

    kinds = (types.is_string, types.is_large_string, types.is_string_view)
    if types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    return "string" if any(is_kind(arrow_type) for is_kind in kinds) else str(arrow_type)


def text_column(place: str, columns: dict[str, str], wanted: str | None) -> str:
    """The one that is asked for, else `text`, else the only one that holds strings; `columns` are names and kinds.

    Raises:
        InputError: there is no such column, or it is not clear which.
    """
    texts = [name for name, kind in columns.items() if kind == "string"]
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(columns.items())[:12]) or "none"
    if wanted is not None:
        if wanted not in texts:
            raise InputError(f"{place}: has no column {wanted!r} of strings but {shown}; give another --text-column")
        return wanted
    if "text" not in texts and len(texts) != 1:
        raise InputError(f"{place}: has columns {shown}, of which none is clearly the text; name it by --text-column")
    return "text" if "text" in texts else texts[0]


READERS = {TEXT: _text_lines, JSON_LINES: _json_lines, JSON: _json_value, CSV: _csv_rows}

"""A table of a file → the rows of its column of text: CSV, text with another separator, and parquet."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.data.sources.pieces import Piece, cut
from tiedlm.data.sources.text_lines import MAX_JSON_BYTES, Unreadable, whole_lines
from tiedlm.errors import InputError

SEPARATORS = ",\t;|^~\x01\x1f:"  # the usual ones, those of databases, and one that stands in few names
ROWS_AT_ONCE = 1_000
MAX_UNPACKED_BYTES, MAX_PACKING = 1 << 26, 1_000


class UnclearColumn(InputError):
    """Which column is the text must be said, or is said wrongly."""

    def __init__(self, sentence: str, columns: list[str]) -> None:
        """`columns` are those that hold strings."""
        super().__init__(sentence)
        self.columns = columns


def separated_rows(usual: str, path: Path, file: BinaryIO, column: str | None) -> Iterator[Piece]:
    """The rows under a header; a field may hold line breaks.

    They are separated as usual, or else by what divides the header: whole rows are never taken for a column of text.
    """
    csv.field_size_limit(MAX_JSON_BYTES)
    lines = whole_lines(path, file)
    first = next(lines, None)
    if first is None:
        return
    separator = _separator(first, usual)
    rows = csv.reader(itertools.chain([first], lines), delimiter=separator, strict=True)
    try:
        header = next(rows, [])
        index = header.index(_only(text_column(str(path), dict.fromkeys(header, "string"), column), header))
        for row in rows:
            if len(row) not in (0, len(header)):
                raise Unreadable(f"line {rows.line_num} has {len(row)} fields, the header {len(header)}")
            if separator == "\t" and any("\t" in field and "\n" in field for field in row):  # rows after an open quote
                raise Unreadable(f"a field that ends in line {rows.line_num} holds tabs and breaks; close its quote")
            if row:
                yield from cut(row[index])
    except csv.Error as error:
        raise Unreadable(f"line {rows.line_num}: {error}; a field in quotes has its own quotes twice") from error


def _only(name: str, names: list[str]) -> str:
    if names.count(name) > 1:
        raise Unreadable(f"it has a column {name!r} twice")
    return name


def _separator(header: str, usual: str) -> str:
    """The usual one, unless it does not divide the header and another one does."""
    num_fields = {separator: len(next(csv.reader([header], delimiter=separator))) for separator in SEPARATORS}
    return usual if num_fields[usual] > 1 else max((usual, *SEPARATORS), key=lambda separator: num_fields[separator])


def parquet_rows(path: Path, column: str | None) -> Iterator[Piece]:
    """The rows of the column of text; a dictionary stays one, so that equal rows are in memory once."""
    import pyarrow  # here because it takes a while to import
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        kinds = {field.name: kind_of(field.type) for field in schema}
        name = _only(text_column(str(path), kinds, column), schema.names)
        with parquet.ParquetFile(path, read_dictionary=[name], pre_buffer=False) as file:
            _check_packing(file.metadata, name)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[name]):
                yield from itertools.chain.from_iterable(cut(value.as_py() or "") for value in batch.column(0))
    except UnicodeDecodeError as error:
        raise Unreadable(f"column {name!r} is not UTF-8 text; convert it") from error
    except pyarrow.ArrowException as error:
        raise Unreadable(str(error).splitlines()[0][:200]) from error


def _check_packing(metadata: Any, column: str) -> None:
    """Refuse a column of a few bytes that would fill the memory; text packs to a tenth, not to a thousandth."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    for chunk in (group.column(number) for group in groups for number in range(group.num_columns)):
        packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
        if chunk.path_in_schema == column and unpacked > max(MAX_UNPACKED_BYTES, MAX_PACKING * packed):
            raise Unreadable(f"column {column!r} unpacks from {packed:,} bytes to {unpacked:,}, which is no text")


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
        UnclearColumn: there is no such column, or it is not clear which.
        InputError: it holds no strings.
    """
    texts = [name for name, kind in columns.items() if kind == "string"]
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(columns.items())[:12]) or "none"
    nested = [
        name for name, kind in columns.items() if "<" in kind and "string" in kind
    ]  # lists of words, translations
    named = wanted or ("text" if "text" in columns else None)
    if named in texts:
        return named
    if nested and named in (None, *nested):
        raise InputError(
            f"{place}: column {named or nested[0]!r} holds {columns[named or nested[0]]}, not text; join the parts of "
            f"each row into one string, or name another of {shown} by --text-column"
        )
    if wanted is not None:
        sentence = f"{place}: has no column {wanted!r} of strings but {shown}; give another --text-column"
        raise UnclearColumn(sentence, texts)
    if len(texts) != 1 or named is not None:
        sentence = f"{place}: has columns {shown}, of which none is clearly the text; name it by --text-column"
        raise UnclearColumn(sentence, texts)
    return texts[0]

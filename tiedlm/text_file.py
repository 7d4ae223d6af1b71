"""One file of text: checked before anything is made of it, then read a batch of lines at a time by `datasets`."""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.errors import InputError

LINES_AT_ONCE = 10_000
MAX_JSON_DEPTH = 100
SUFFIXES = {".txt": "text", ".txt.gz": "text", ".jsonl": "json", ".parquet": "parquet"}


def check_text_file(path: Path) -> str:
    """The SHA-256 of a file that, where it is text, is UTF-8 without NUL bytes and not empty.

    Raises:
        InputError: it is not, or it cannot be read.
    """
    suffix = _suffix(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        if suffix != ".parquet":
            with gzip.open(path) if suffix == ".txt.gz" else path.open("rb") as file:
                _check_text(path, file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: cannot be read as {suffix} ({error}); correct the file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()


def line_batches(path: Path) -> Iterator[list[str]]:
    """The lines of a file in order, some thousands at a time, so that memory does not grow with the text.

    By `datasets`, streamed so that nothing is copied to its cache.

    Raises:
        InputError: the file is not of the format that its name says, or has no column of text.
    """
    import datasets  # here because it takes a second to import

    if _suffix(path) == ".jsonl":
        _check_json_lines(path)
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is said below, once
    try:
        rows = datasets.load_dataset(
            SUFFIXES[_suffix(path)], data_files=glob.escape(str(path)), split="train", streaming=True
        )
        column = None
        for batch in rows.with_format("arrow").iter(batch_size=LINES_AT_ONCE):
            column = column or _text_column(path, batch.schema)
            yield [line or "" for line in batch[column].to_pylist()]
    except (
        datasets.exceptions.DatasetGenerationError,
        datasets.exceptions.DatasetsError,
        OSError,
        ValueError,
    ) as error:
        raise InputError(
            f"{path}: cannot be read as {_suffix(path)} ({_first_line(error)}); correct the file"
        ) from error


def _suffix(path: Path) -> str:
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))


def _check_text(path: Path, file: BinaryIO | gzip.GzipFile) -> None:
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        while chunk := file.read(1 << 20):
            if b"\0" in chunk:
                raise InputError(f"{path}: is binary (NUL at byte {offset + chunk.index(0)}); give a text file")
            decoder.decode(chunk)
            offset += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (near byte {offset + error.start}); convert it to UTF-8"
        ) from error
    if offset == 0:
        raise InputError(f"{path}: is empty; give a file with text")


def _check_json_lines(path: Path) -> None:
    """Refuse what is no object a line. Some of it crashes pyarrow's parser: a first line `null`, very deep nesting."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: line {number} cannot be read as JSON ({error}); correct the file") from error
            if not isinstance(value, dict) or _depth(value) > MAX_JSON_DEPTH:
                raise InputError(
                    f"{path}: line {number} is not a JSON object of at most {MAX_JSON_DEPTH} levels; write one a line, "
                    "with the text in 'text'"
                )


def _depth(value: object) -> int:
    """Levels of a JSON value; a string has one."""
    depth, level = 0, [value]
    while level:
        depth += 1
        containers = [
            item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)
        ]
        level = [inner for container in containers for inner in container]
    return depth


def _text_column(path: Path, schema: Any) -> str:
    columns = {field.name: str(field.type) for field in schema}
    texts = [name for name, kind in columns.items() if kind in ("string", "large_string")]
    column = "text" if "text" in texts else texts[0] if len(texts) == 1 else None
    if column is None:
        raise InputError(
            f"{path}: has columns {columns}, of which none is clearly the text; put strings into a column 'text'"
        )
    return column


def _first_line(error: BaseException) -> str:
    return (
        str(error.__cause__ or error).splitlines()[0][:200] if str(error.__cause__ or error) else type(error).__name__
    )

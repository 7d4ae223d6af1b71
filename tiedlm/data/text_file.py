"""One file of text: checked before anything is made of it, then read a batch of lines at a time.

By `datasets`, but for JSON lines: it takes the type of every key from the first lines, and refuses the file if a key
that nobody asked for has another type later.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from tiedlm.errors import InputError

LINES_AT_ONCE = 10_000
SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".parquet")


def check_text_file(path: Path) -> str:
    """The SHA-256 of a file that, where it is text, is UTF-8 without NUL bytes and not empty.

    Raises:
        InputError: it is not, or it cannot be read.
    """
    suffix = file_format(path)
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

    Raises:
        InputError: the file is not of the format that its name says, or has no column of text.
    """
    return _json_line_batches(path) if file_format(path) == ".jsonl" else _dataset_batches(path)


def file_format(path: Path) -> str:
    """The suffix, which decides how the bytes are read."""
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))


def _check_text(path: Path, file: BinaryIO | gzip.GzipFile) -> None:
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        while chunk := file.read(1 << 20):
            if offset == 0 and chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise InputError(f"{path}: is UTF-16 text; convert it to UTF-8")
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


def _dataset_batches(path: Path) -> Iterator[list[str]]:
    """Streamed, so that nothing is copied to the library's cache."""
    import datasets  # here because it takes a second to import

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is said below, once
    is_parquet = file_format(path) == ".parquet"
    reader, options = ("parquet", {}) if is_parquet else ("text", {"encoding": "utf-8-sig"})
    try:
        rows = datasets.load_dataset(
            reader, data_files=glob.escape(str(path)), split="train", streaming=True, **options
        )
        column = None
        for batch in rows.with_format("arrow").iter(batch_size=LINES_AT_ONCE):
            column = column or _text_column(path, {field.name: str(field.type) for field in batch.schema})
            yield [line or "" for line in batch[column].to_pylist()]
    except (
        datasets.exceptions.DatasetGenerationError,
        datasets.exceptions.DatasetsError,
        OSError,
        ValueError,
    ) as error:
        raise InputError(
            f"{path}: cannot be read as {file_format(path)} ({_first_line(error)}); correct the file"
        ) from error


def _json_line_batches(path: Path) -> Iterator[list[str]]:
    texts = _json_texts(path)
    while batch := list(islice(texts, LINES_AT_ONCE)):
        yield batch


def _json_texts(path: Path) -> Iterator[str]:
    """The `text` of each line, of which null is none; lines of blanks are left out."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}: line {number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{place} cannot be read as JSON ({error}); correct the file") from error
            if not isinstance(value, dict) or "text" not in value:
                raise InputError(f"{place} is not a JSON object with the key 'text'; write one a line")
            text = "" if value["text"] is None else value["text"]
            if not isinstance(text, str):
                raise InputError(f"{place}: 'text' is {json.dumps(text)[:40]}, not a string; correct the file")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InputError(f"{place}: 'text' has half of a surrogate pair, no character; correct it") from error
            yield text


def _text_column(path: Path, columns: dict[str, str]) -> str:
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

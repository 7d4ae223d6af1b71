"""The bytes of a file → text, checked to be UTF-8 and not empty, and its lines."""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tiedlm.data.sources.pieces import LONGEST_PIECE, Piece, cut
from tiedlm.data.sources.unpacking import LONGEST_BEGINNING, check_whole
from tiedlm.errors import InputError

BYTES_AT_ONCE = 1 << 20
MAX_JSON_BYTES = 1 << 29  # of a file that is one JSON value, or of a line: it is in memory as a whole
ENCODINGS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # before UTF-16, whose mark begins that of UTF-32
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


class Unreadable(Exception):
    """What a library says of a file that is not of its format, in one line."""


def decoded(path: Path, file: BinaryIO) -> Iterator[str]:
    """UTF-8 text a piece at a time, every line break as `\\n`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    breaks, offset = io.IncrementalNewlineDecoder(None, translate=True), 0
    try:
        while chunk := file.read(BYTES_AT_ONCE):
            if offset == 0:
                check_whole(path, chunk)
                if encoding := _other_encoding(chunk[:LONGEST_BEGINNING]):
                    raise InputError(f"{path}: is {encoding} text; convert it to UTF-8")
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


def _other_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32, by its mark or by its zeros, where they leave no doubt."""
    marked = next((name for name, marks in ENCODINGS.items() if content.startswith(marks)), None)
    if marked or len(content) < len("text") * 4:
        return marked
    whole = content[: len(content) // 4 * 4]
    for encoding in ("utf-32-le", "utf-32-be"):
        with contextlib.suppress(UnicodeDecodeError):
            if "\0" not in whole.decode(encoding):
                return "UTF-32"
    of_first, of_second = (content[start::2].count(0) for start in (0, 1))
    return "UTF-16" if min(of_first, of_second) == 0 and max(of_first, of_second) > len(content) / 4 else None


def text_lines(path: Path, file: BinaryIO, _: str | None) -> Iterator[Piece]:
    rest = ""
    for text in decoded(path, file):
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield from cut(line)
        if len(rest) > 2 * LONGEST_PIECE:
            *pieces, (rest, _ends) = cut(rest, False)
            yield from pieces
    if rest:
        yield from cut(rest)


def whole_lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """Lines with their breaks, each as a whole."""
    rest: list[str] = []
    length = 0
    for text in decoded(path, file):
        *lines, last = text.split("\n")
        for line in lines:
            yield "".join([*rest, line, "\n"])
            rest, length = [], 0
        rest.append(last)
        length += len(last)
        if length > MAX_JSON_BYTES:
            raise Unreadable(f"a line is over the limit of {MAX_JSON_BYTES:,} characters")
    if last := "".join(rest):
        yield last

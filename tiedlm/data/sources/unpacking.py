"""The bytes of a file, unpacked by what they begin with, whatever its name is; and what is no text at all."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.errors import InputError

OPENERS: dict[str, Callable[[Path], Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
NOT_UNPACKED: tuple[type[Exception], ...] = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
"""What is raised where packed bytes are damaged; and OSError."""
PACKED_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
if sys.version_info >= (3, 14):
    from compression import zstd

    OPENERS["zstd"], PACKED_SUFFIXES[".zst"] = zstd.open, "zstd"
    NOT_UNPACKED = (*NOT_UNPACKED, zstd.ZstdError)
SHOWN_PACKINGS = ".gz, .bz2 and .xz"
BEGINNINGS = {  # the formats' own magic numbers
    "gzip": rb"\x1f\x8b",
    "bzip2": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\0",
    "zstd": rb"[\x22-\x28]\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",
    "lz4": rb"(\x04\x22|\x02\x21)\x4d\x18",
    "lzma": rb"\x5d\0\0..(\xff{8}|.{5}\0\0\0)",
    "lzip": rb"LZIP\x01",
    "lzop": rb"\x89LZO\0",
    "snappy": rb"\xff\x06\0\0sNaPpY",
    "zlib": rb"\x78\x9c",
    "compress": rb"\x1f[\x9d\xa0]",
    "zip": rb"PK(\x03\x04|\x05\x06|\x07\x08)",
    "7z": rb"7z\xbc\xaf\x27\x1c",
    "rar": rb"Rar!\x1a\x07",
    "tar": rb".{257}ustar",
}
LONGEST_BEGINNING = 1 << 10
POINTERS = {
    "Git LFS pointer": (rb"version https?://(git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/", "git lfs pull"),
    "git-annex pointer": (rb"/annex/objects/\S+\s*\Z", "git annex get"),
}


def packing_of(content: bytes) -> str | None:
    """What bytes are packed by, by their beginning; None if by nothing known."""
    return next((name for name, begins in BEGINNINGS.items() if re.match(begins, content, re.DOTALL)), None)


def pointer_of(content: bytes) -> str | None:
    """What a file is that stands for a larger one elsewhere, and how that is fetched; None if it is none."""
    if len(content) < LONGEST_BEGINNING:
        for name, (begins, command) in POINTERS.items():
            if re.match(begins, content):
                return f"is a {name}, not the file itself; fetch that by {command}"
    return None


def check_whole(path: Path, content: bytes) -> None:
    """Refuse the beginning of a file that stands for another one, or is still packed.

    Raises:
        InputError: it does, or is.
    """
    pointer, packing = pointer_of(content), packing_of(content)
    if pointer:
        raise InputError(f"{path}: {pointer}")
    if packing:
        what = "is a tar archive" if packing == "tar" else f"is compressed by {packing}"
        raise InputError(f"{path}: {what}; unpack it, or compress its text alone ({SHOWN_PACKINGS} are read)")


def open_unpacked(path: Path) -> BinaryIO:
    """The bytes of a file; unpacked where that is known how, so that reading raises `NOT_UNPACKED` of damaged ones."""
    packing = packing_of(beginning(path))
    opened: BinaryIO = OPENERS[packing](path) if packing in OPENERS else path.open("rb")
    return opened


def beginning(path: Path) -> bytes:
    """Enough of a file to know what it is."""
    with path.open("rb") as file:
        return file.read(LONGEST_BEGINNING)

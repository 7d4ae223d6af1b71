"""The tensors of a `pytorch_model.bin` by its directory and the words of its pickle, none of which is executed.

`torch.save` writes a zip archive: a pickle that describes tensors, and their bytes as files of their own. Files older
than PyTorch 1.6 are a pickle alone, and refused.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tiedlm.counting.stored.pickle_words import Unread, View, followed
from tiedlm.counting.stored.pickled_tables import weights_of
from tiedlm.counting.stored.safetensors_header import DTYPE_BITS, StoredTensor, checked_tensor
from tiedlm.errors import InputError

MAX_DIRECTORY_BYTES, MAX_PICKLE_BYTES = 4_000_000, 4_000_000


class UnreadArchive(InputError):
    """A pickle or an archive of one that does not tell its tensors; the model may lie beside it in another form."""


class BoundedFile:
    """A file that nobody reads much of at once, so that no directory of an archive fills the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, num_bytes: int = -1) -> bytes:
        wanted = MAX_DIRECTORY_BYTES + 1 if num_bytes < 0 else min(num_bytes, MAX_DIRECTORY_BYTES + 1)
        content = self.file.read(wanted)
        if len(content) > MAX_DIRECTORY_BYTES:
            raise Unread(f"its directory is over the limit of {MAX_DIRECTORY_BYTES:,} bytes")
        return content


def is_archive(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def read_archive(path: Path) -> tuple[list[StoredTensor], dict[str, str]]:
    """The tensors of a file, and the further names of those that are stored once under several.

    Raises:
        UnreadArchive: the file is damaged, or holds what is not read here.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(BoundedFile(file)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickled = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
            if len(pickled) != 1 or entries[pickled[0]].file_size > MAX_PICKLE_BYTES:
                raise Unread(f"it has no data.pkl, several, or one over {MAX_PICKLE_BYTES:,} bytes")
            with archive.open(entries[pickled[0]]) as member:
                content = member.read(MAX_PICKLE_BYTES + 1)
            weights, are_parameters = weights_of(followed(content))
            folder = pickled[0].removesuffix("data.pkl")
            places = {name: _storage_entry(entries, folder, view) for name, view in weights.items()}
            tensors, aliases = _tensors(path, file, places, weights)
            return [replace(tensor, is_parameter=are_parameters) for tensor in tensors], aliases
    except OSError as error:
        raise UnreadArchive(f"{path}: cannot be read ({error.strerror}); give a .safetensors file") from error
    except InputError:  # which is a ValueError, and says what is wrong
        raise
    except (Unread, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error)[:200] or type(error).__name__
        raise UnreadArchive(
            f"{path}: its tensors cannot be told without running it ({reason}); save it as .safetensors"
        ) from error


def _tensors(
    path: Path, file: BinaryIO, entries: dict[str, zipfile.ZipInfo], weights: dict[str, View]
) -> tuple[list[StoredTensor], dict[str, str]]:
    found: dict[View, StoredTensor] = {}
    aliases = {}
    for name, view in weights.items():
        tensor = checked_tensor(str(path), name, view.dtype, list(view.shape))
        if view in found:
            aliases[name] = found[view].name
            continue
        if view.is_contiguous:  # else its bytes are not in its own order, and not compared
            begin = first_byte(file, entries[name]) + view.offset * DTYPE_BITS[view.dtype] // 8
            tensor = replace(tensor, file=path, offset=begin)
        found[view] = tensor
    return list(found.values()), aliases


def _storage_entry(entries: dict[str, zipfile.ZipInfo], folder: str, view: View) -> zipfile.ZipInfo:
    """The file of a tensor, once it holds what the pickle says."""
    storage = view.storage
    entry = entries.get(f"{folder}data/{storage.key}")
    num_bytes = storage.num_elements * DTYPE_BITS[storage.dtype or "U8"] // 8
    if entry is None or entry.compress_type != zipfile.ZIP_STORED or entry.file_size != num_bytes:
        raise Unread(f"storage {storage.key[:20]!r} is missing, compressed, or not of {num_bytes:,} bytes")
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if 0 not in view.shape and (last + 1) * DTYPE_BITS[view.dtype] // 8 > num_bytes:
        raise Unread(f"a tensor goes on after its storage {storage.key[:20]!r}")
    return entry


def first_byte(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Of an entry's content: after its own header, whose names and extra fields have lengths of their own."""
    file.seek(entry.header_offset + 26)
    name_length, extra_length = struct.unpack("<HH", file.read(4))
    return int(entry.header_offset + 30 + name_length + extra_length)

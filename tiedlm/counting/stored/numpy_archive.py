"""The tensors of an `.npz` file, as MLX writes its models: a zip archive of arrays, each behind a header of its own.

Only the headers are read, which are Python literals (NumPy, `lib/format.py`), and nothing in them is executed.
"""

from __future__ import annotations

import ast
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from tiedlm.counting.stored.pickle_words import Unread
from tiedlm.counting.stored.safetensors_header import StoredTensor, checked_tensor
from tiedlm.counting.stored.torch_archive import BoundedFile, first_byte
from tiedlm.errors import InputError

MAX_HEADER_BYTES = 10_000
"""Of an array, as NumPy's own limit."""
DTYPES = {
    **{"f2": "F16", "f4": "F32", "f8": "F64", "V2": "BF16", "b1": "BOOL", "c8": "C64"},
    **{f"{sign}{size}": f"{sign.upper()}{8 * size}" for sign in "iu" for size in (1, 2, 4, 8)},
}
"""NumPy's names, after the order of bytes; it has no bfloat16, which MLX stores as two bytes of no type."""


def read_npz(path: Path) -> list[StoredTensor]:
    """The tensors of a file; the bytes of those that are compressed, or in another order, are not compared.

    Raises:
        InputError: the file is damaged, or holds what is no array of numbers.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(cast(BinaryIO, BoundedFile(file))) as archive:
            arrays = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            return [_tensor(path, file, archive, entry) for entry in arrays]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a .safetensors file") from error
    except InputError:  # which is a ValueError, and says what is wrong
        raise
    except (Unread, EOFError, RuntimeError, ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise InputError(f"{path}: {_unsound(error)}") from error
    except (struct.error, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: {_unsound(error)}") from error


def _unsound(error: Exception) -> str:
    return f"is no sound .npz file ({str(error)[:200] or type(error).__name__}); get the file anew"


def _tensor(path: Path, file: BinaryIO, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> StoredTensor:
    with archive.open(entry) as member:
        magic = member.read(8)
        if magic[:6] != b"\x93NUMPY":
            raise Unread(f"{entry.filename[:60]!r} is no array")
        form = "<H" if magic[6] == 1 else "<I"
        (length,) = struct.unpack(form, member.read(struct.calcsize(form)))
        if length > MAX_HEADER_BYTES:
            raise Unread(f"{entry.filename[:60]!r} has a header of {length:,} bytes")
        told = ast.literal_eval(member.read(length).decode("latin-1"))
        begin = member.tell()
    described, shape = (told.get(key) for key in ("descr", "shape")) if isinstance(told, dict) else (None, None)
    dtype = DTYPES.get(described[1:]) if isinstance(described, str) else None
    if dtype is None or not isinstance(shape, tuple):
        raise Unread(f"{entry.filename[:60]!r} is no array of numbers")
    tensor = checked_tensor(str(path), entry.filename.removesuffix(".npy"), dtype, list(shape))
    is_plain = entry.compress_type == zipfile.ZIP_STORED and told.get("fortran_order") is False
    if entry.file_size != begin + tensor.num_bytes:
        raise Unread(f"{entry.filename[:60]!r} is not as long as its header says")
    return replace(tensor, file=path, offset=first_byte(file, entry) + begin) if is_plain else tensor

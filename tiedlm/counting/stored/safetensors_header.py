"""The header of a `.safetensors` file: which tensors it holds and where, without reading any of them.

Files come from strangers, so everything that the header says is checked against the file before it is believed,
as the `safetensors` library does (https://huggingface.co/docs/safetensors, format), and sizes have limits: a header
has at most 100 MB, the format's own limit, and `header_json` bounds its entries.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tiedlm.counting.stored.header_json import MAX_ENTRY_BYTES, MAX_NAME_LENGTH, header_entries
from tiedlm.counting.stored.json_file import MAX_JSON_BYTES, parse_json_object
from tiedlm.errors import InputError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""What a folder's weights are called, in the order in which transformers looks for them."""
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit (safetensors, tensor.rs, MAX_HEADER_SIZE)."""
OTHER_FILES = {
    b"version ": "a Git-LFS pointer, for which git lfs pull gets the file",
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"\x80": "a pickle, which is not opened",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
    b"<": "a page of HTML or XML, as a failed download leaves",
    b"{": "JSON",
}
"""What is found under the name of weights, by its first bytes."""
METADATA = "__metadata__"
DTYPE_BITS = {  # safetensors 0.8, tensor.rs, Dtype
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True, slots=True)  # there may be half a million
class StoredTensor:
    """One tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path | None
    """None where only the header was fetched."""
    offset: int = 0
    """Of its first byte in the file."""
    block_bytes: int | None = None
    """Its bytes where they are no whole number an element, as of GGUF's blocks."""
    is_parameter: bool = False
    """Whether its file says that it is a parameter, as a module does that was pickled whole."""

    @property
    def num_elements(self) -> int:
        """Product of the shape."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """On disk."""
        if self.block_bytes is not None:
            return self.block_bytes
        return self.num_elements * DTYPE_BITS[self.dtype] // 8

    @property
    def is_floating(self) -> bool:
        """Whether it can be a parameter; whole numbers are positions, masks, or packed weights."""
        if self.block_bytes is not None:  # GGUF's blocks have as many elements as the weights that they stand for
            return self.dtype not in ("I8", "I16", "I32", "I64")
        return self.dtype.startswith(("F", "BF", "C"))


def read_header(path: Path) -> tuple[list[StoredTensor], dict[str, str]]:
    """The tensors of a file, in the order of their bytes, and its metadata.

    Raises:
        InputError: the file cannot be read, or is no whole and sound `.safetensors` file.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path}: is no file; give a .safetensors file")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            prefix = file.read(8)
            if len(prefix) < 8:
                _refuse(path, f"it has {len(prefix)} bytes, fewer than the 8 that give the header's length")
            (header_size,) = struct.unpack("<Q", prefix)
            if header_size > MAX_HEADER_BYTES:
                for begins, what in OTHER_FILES.items():
                    if prefix.startswith(begins):
                        _refuse(path, f"it is {what}")
                _refuse(path, f"its header claims {header_size:,} bytes, over the limit of {MAX_HEADER_BYTES:,}")
            if header_size > size - 8:
                _refuse(path, f"its header claims {header_size:,} bytes of a file of {size:,}")
            text = file.read(header_size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a .safetensors file") from error
    tensors, metadata = _parsed(path, text)
    end = 8 + header_size
    for tensor in tensors:
        if tensor.offset != end:
            _refuse(path, f"tensor {_short(tensor.name)} begins at byte {tensor.offset}, not where the last one ends")
        end += tensor.num_bytes
    if end != size:
        _refuse(path, f"its tensors end at byte {end:,} of a file of {size:,}")
    return tensors, metadata


def _parsed(path: Path, text: bytes) -> tuple[list[StoredTensor], dict[str, str]]:
    """The tensors of a header in the order of their bytes, and its metadata."""
    metadata: dict[str, Any] | None = None
    tensors: dict[str, StoredTensor] = {}
    start = 8 + len(text)
    for name, entry in header_entries(text, str(path)):
        if name in tensors or (name == METADATA and metadata is not None):
            _refuse(path, f"a key occurs twice, {_short(name)}")
        if len(entry) > (MAX_JSON_BYTES if name == METADATA else MAX_ENTRY_BYTES):
            _refuse(path, f"what stands under {_short(name)} is {len(entry):,} bytes long")
        if name == METADATA:
            metadata = parse_json_object(entry, str(path), unique_keys=True)
            if not all(isinstance(value, str) for value in metadata.values()):
                _refuse(path, "its __metadata__ is not a table of texts")
        else:
            check_name(str(path), name)
            tensors[name] = _tensor(path, name, parse_json_object(entry, str(path), unique_keys=True), start)
    return sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.num_bytes)), metadata or {}


def checked_tensor(source: str, name: str, dtype: Any, shape: Any) -> StoredTensor:
    """A tensor as a header describes it, once its name, type and sizes are such as can be.

    Raises:
        InputError: they are not.
    """
    check_name(source, name)
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        _refuse(source, f"tensor {_short(name)} has the unknown dtype {_short(dtype)}")
    if not _are_sizes(shape):
        _refuse(source, f"tensor {_short(name)} has a shape that is no whole numbers below 2^63")
    num_elements = 1
    for size in shape:
        num_elements *= size
        if num_elements >= 2**63:  # before it grows: a shape may have many sizes
            _refuse(source, f"tensor {_short(name)} has more than 2^63 elements")
    return StoredTensor(name, dtype, tuple(shape), None)


def check_name(source: str, name: str) -> None:
    """Refuse a name that cannot be printed.

    Raises:
        InputError: it is too long, or has control characters.
    """
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():  # it is going to be printed
        raise InputError(
            f"{source}: tensor {_short(name)} has a name over {MAX_NAME_LENGTH:,} characters or with control "
            "characters; rename it"
        )


def _tensor(path: Path, name: str, entry: dict[str, Any], data_start: int) -> StoredTensor:
    if not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"tensor {_short(name)} lacks one of dtype, shape and data_offsets")
    tensor, offsets = checked_tensor(str(path), name, entry["dtype"], entry["shape"]), entry["data_offsets"]
    if not _are_sizes(offsets) or len(offsets) != 2:
        _refuse(path, f"tensor {_short(name)} has data_offsets that are no whole numbers below 2^63")
    if tensor.num_elements * DTYPE_BITS[tensor.dtype] != 8 * (offsets[1] - offsets[0]):
        _refuse(path, f"tensor {_short(name)} of shape {_short(tensor.shape)} does not fill its data_offsets")
    return StoredTensor(tensor.name, tensor.dtype, tensor.shape, path, data_start + offsets[0])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _refuse(source: object, reason: str) -> NoReturn:
    raise InputError(f"{source}: is no sound .safetensors file ({reason}); get the file anew")

"""Whether two tensors of files are bit for bit the same, found with little memory and time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Literal

from tiedlm.counting.stored.safetensors_header import DTYPE_BITS, StoredTensor

Copies = Literal["one", "identical", "different", "unknown"]
PIECE = 1 << 20
"""Bytes, or numbers, that are read at once."""
MAX_COMPARED_BYTES = 1 << 32
VALUES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types whose numbers are compared across: how each lies in a file."""


def compare_bits(one: StoredTensor, other: StoredTensor) -> Copies:
    """A piece at a time, until the first difference; unknown where only headers are at hand.

    Bit by bit; where the two are kept in different precisions, by their values, as `transformers` compares them
    (modeling_utils.py, `tie_weights`).
    """
    if one.shape != other.shape or (one.dtype != other.dtype and not {one.dtype, other.dtype} <= VALUES.keys()):
        return "different"
    if one.file is None or other.file is None or max(one.num_bytes, other.num_bytes) > MAX_COMPARED_BYTES:
        return "unknown"
    with one.file.open("rb") as first, other.file.open("rb") as second:
        files = ((first, one), (second, other))
        if any(512 * os.fstat(file.fileno()).st_blocks < tensor.num_bytes for file, tensor in files):
            return "unknown"  # a sparse file, which claims more bytes than it holds
        for pieces in zip(*(_pieces(file, tensor, one.dtype != other.dtype) for file, tensor in files), strict=True):
            if not pieces[0] or (pieces[0] != pieces[1] and not _are_equal(pieces, one.dtype, other.dtype)):
                return "different"
    return "identical"


def _are_equal(pieces: tuple[bytes, ...], dtype: str, other: str) -> bool:
    """Whether numbers are equal whose bits differ: the two zeros."""
    import numpy

    if dtype not in VALUES or len({len(piece) for piece in pieces}) != 1:
        return False
    values = [piece if dtype != other else _float64(piece, dtype) for piece in pieces]
    first, second = (numpy.frombuffer(value, dtype="<f8") for value in values)
    return bool((first == second).all())


def _pieces(file: BinaryIO, tensor: StoredTensor, as_values: bool) -> Iterator[bytes]:
    """A tensor's bytes; or those of its numbers as float64, which holds the numbers of every shorter type exactly."""
    width = DTYPE_BITS[tensor.dtype] // 8 if as_values else 1
    file.seek(tensor.offset)
    for start in range(0, tensor.num_bytes, width * PIECE):
        piece = file.read(min(width * PIECE, tensor.num_bytes - start))
        yield _float64(piece, tensor.dtype) if as_values else piece


def _float64(piece: bytes, dtype: str) -> bytes:
    import numpy

    stored = numpy.frombuffer(piece, dtype=VALUES[dtype])
    if dtype == "BF16":  # the upper half of a float32
        stored = (stored.astype("<u4") << 16).view("<f4")
    return bytes(stored.astype("<f8").tobytes())

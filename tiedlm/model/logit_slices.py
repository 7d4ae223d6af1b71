"""Logits in slices: V of them a row are too many to hold at once, so few rows or few columns are made at a time.

How many, and where in memory they lie, is known here; what they are for, in `fused_loss.py` and `prediction_scores.py`.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor

CACHED_LOGITS = 1 << 19  # 2 MiB in fp32, which a core has near when it comes back to them
KEPT_LOGITS = 20 << 20  # 40 MiB in bf16; fewer mean more passes over the matrix
FEW_ROWS = 256  # of kept logits: with fewer, the passes over the matrix cost more than making the logits twice
ROUNDED_ROWS = 1 << 13  # of the matrix, copied at lower precision at a time
LINE = 32  # logits of bf16, 64 bytes: a processor reads memory by such lines, and a product by lines of its operands


def make_logits(hidden_states: Tensor, weight: Tensor) -> Tensor:
    """Logits without their bias, (N, H) and (V, H) → (N, V), in the precision of the first.

    `KEPT_LOGITS` of them are in the same memory every time, so what they were is gone with the next call.
    """
    num_rows, vocab_size = len(hidden_states), len(weight)
    width = _row_width(vocab_size)
    memory = _kept_memory(max(KEPT_LOGITS, num_rows * width), hidden_states.dtype, hidden_states.device)
    rows = memory[: num_rows * width].view(num_rows, width)
    rows[:, vocab_size:] = 0.0  # a product by matrix units reads on to the end of a line, times 0: of a NaN that is one
    logits = rows[:, :vocab_size]
    for columns in matrix_slices(vocab_size):
        torch.mm(hidden_states, weight[columns].to(hidden_states.dtype).t(), out=logits[:, columns])
    return logits


def row_slices(num_rows: int, vocab_size: int) -> list[slice]:
    """Rows of which all logits are kept at a time."""
    return _slices(num_rows, KEPT_LOGITS // _row_width(vocab_size))


def column_slices(num_rows: int, vocab_size: int) -> list[slice]:
    """Columns of which the logits of all rows stay in cache, so few that none need be kept."""
    # so that a slice, its rows a line longer at most, lies in the kept memory
    limit = min(ROUNDED_ROWS, max(LINE, KEPT_LOGITS // num_rows // LINE * LINE - LINE))
    return _slices(vocab_size, limit, LINE)


def matrix_slices(vocab_size: int) -> list[slice]:
    """Rows of the output matrix that are rounded to a lower precision at a time."""
    return _slices(vocab_size, ROUNDED_ROWS, LINE)


def cached_slices(logits: Tensor) -> list[slice]:
    """Rows of (N, V) to calculate with at a time; only a CPU gains by few."""
    return _slices(len(logits), (KEPT_LOGITS if logits.is_cuda else CACHED_LOGITS) // logits.shape[1])


def columns_are_faster(num_rows: int, vocab_size: int) -> bool:
    """Whether slices by rows would pass over the matrix too often; where they are all rows, one pass is enough."""
    return KEPT_LOGITS // _row_width(vocab_size) < min(FEW_ROWS, num_rows)


def to_scores(logits: Tensor, bias: Tensor | None) -> Tensor:
    """A copy to calculate with, in fp32 or what is wider, with the bias added."""
    scores = logits.to(sum_dtype(logits.dtype), copy=True)
    return scores if bias is None else scores.add_(bias)


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Of sums: fp32, or wider if the summands are."""
    return torch.promote_types(dtype, torch.float32)


def _row_width(vocab_size: int) -> int:
    """How far apart two rows of V logits lie: lines in full, and an odd number of them.

    With an even one, of a power of two above all, the lines of a column would drive each other out of the cache.
    """
    return (-(-vocab_size // LINE) | 1) * LINE


@functools.lru_cache(maxsize=1)
def _kept_memory(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Else a CPU would be given it anew, page by page, at every step: it is more than the C library keeps."""
    return torch.empty(size, dtype=dtype, device=device)


def _slices(size: int, limit: int, multiple: int = 1) -> list[slice]:
    """As few as keep to the limit, one at least, as equal as can be, each starting at a multiple."""
    num_slices, num_multiples = max(1, -(-size // max(1, limit))), -(-size // multiple)
    bounds = [num_multiples * index // num_slices * multiple for index in range(num_slices)] + [size]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]

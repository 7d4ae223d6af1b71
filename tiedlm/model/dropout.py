"""Dropout whose zeros do not depend on how the rows of a batch are divided: over ranks, or into micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RowShare(NamedTuple):
    """Some rows of a batch."""

    rows: slice
    num_rows: int
    """Of the whole batch."""


_SHARES: list[RowShare] = []


@contextmanager
def rows_of_batch(share: RowShare | None) -> Iterator[None]:
    """While it lasts, what passes through dropout are these rows of a batch; None: all of one."""
    if share is None:
        yield
        return
    _SHARES.append(share)
    try:
        yield
    finally:
        _SHARES.pop()


def dropout(hidden_states: Tensor, probability: float) -> Tensor:
    """(B, …) → (B, …). Of a part of a batch, the zeros are drawn for all rows and those of the others are not used."""
    if not _SHARES or probability == 0.0:
        return F.dropout(hidden_states, probability)
    rows, num_rows = _SHARES[-1]
    kept = hidden_states.new_empty(num_rows, *hidden_states.shape[1:]).bernoulli_(1 - probability)
    return hidden_states * kept[rows].div_(1 - probability)


def is_divided() -> bool:
    """Whether what passes is a part of a batch."""
    return bool(_SHARES)


class Dropout(nn.Dropout):
    """`dropout` in training, nothing else."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, …) → (B, …)."""
        return dropout(input, self.p) if self.training else input


def generator_states(device: torch.device) -> list[Tensor]:
    """Of the generators that dropout draws from on a device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_generator_states(states: list[Tensor], device: torch.device) -> None:
    """Draw again what was drawn since these states."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)

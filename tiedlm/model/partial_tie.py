"""An untied output matrix some of whose rows are the table's: tying for rare tokens alone, or for frequent ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tiedlm.config.interventions import Intervention

UNTIED_ROWS = "head.decoder.parametrizations.weight.original"
"""The name of the parameter that has them."""


class RowsOfTable(nn.Module):
    """The rows that are not tied, (U, H) → the whole output matrix, (V, H)."""

    def __init__(self, table: Tensor, untied_rows: Tensor) -> None:
        super().__init__()
        self.table = table
        self.register_buffer("untied_rows", untied_rows, persistent=False)
        self.untied_rows: Tensor

    def forward(self, untied: Tensor) -> Tensor:
        """(U, H) → (V, H): the table, with those rows in the place of its own."""
        return self.table.index_copy(0, self.untied_rows, untied)

    def right_inverse(self, whole: Tensor) -> Tensor:
        """(V, H) → (U, H): of a matrix, the rows that are kept."""
        return whole[self.untied_rows]


def untied_rows(intervention: Intervention, token_counts: npt.NDArray[np.int64]) -> Tensor:
    """(U,): the tokens that are scored by a row of their own; `token_counts` (V,) is how often each occurs in train."""
    below, at_least = intervention.tied_below, intervention.tied_from
    is_tied = token_counts < below if below is not None else token_counts >= (at_least or 0)
    return torch.from_numpy(np.flatnonzero(~is_tied))


def tie_some_rows(decoder: nn.Linear, embeddings: nn.Embedding, rows: Tensor) -> None:
    """Let the output matrix be the table but for these rows, (U,), which stay its own.

    `decoder.weight` is then made anew from both each time it is read, and its gradient is shared out between them.
    """
    parametrize.register_parametrization(decoder, "weight", RowsOfTable(embeddings.weight, rows))


def rows_of_its_own(decoder: nn.Linear) -> Tensor | None:
    """(U,): the rows that `tie_some_rows` has left to the output matrix; None where it tied none."""
    if not parametrize.is_parametrized(decoder, "weight"):
        return None
    rows: Tensor = decoder.parametrizations["weight"][0].untied_rows  # type: ignore[index, union-attr]
    return rows

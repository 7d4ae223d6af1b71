"""A factor on the gradient that a matrix gets from one of its two uses, for all rows or for those of rare tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class GradientScale(nn.Module):
    """(V, H) → (V, H), the same numbers, whose gradients are multiplied row by row on their way back."""

    def __init__(self, scale: float, vocab_size: int) -> None:
        super().__init__()
        self.acts = scale != 1.0
        """Whether it changes anything; who asks first spares a pass over the matrix."""
        self.scale = scale
        self.register_buffer("factors", torch.full((vocab_size, 1), scale) if self.acts else None, persistent=False)
        self.factors: Tensor | None
        """(V, 1), by row."""

    def keep_to_rare(self, token_counts: npt.NDArray[np.int64], below: int) -> None:
        """Scale the rows of tokens that occur less often than this alone; `token_counts` is (V,)."""
        if self.factors is not None:
            self.factors[torch.from_numpy(np.flatnonzero(token_counts >= below))] = 1.0

    def of_rows(self, gradients: Tensor, ids: Tensor) -> Tensor:
        """The gradients of the rows of some tokens, scaled: (B, T, H) and (B, T) → (B, T, H)."""
        return gradients if self.factors is None else gradients * self.factors[ids]

    def forward(self, matrix: Tensor) -> Tensor:
        """(V, H) → (V, H)."""
        return _Scaled.apply(matrix, self.factors)  # type: ignore[no-any-return, no-untyped-call]


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, factors: Tensor) -> Tensor:
        ctx.factors = factors
        return matrix.view_as(matrix)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factors, None

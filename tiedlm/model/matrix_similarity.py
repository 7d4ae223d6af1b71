"""How alike two (V, H) matrices are as maps of the vocabulary, whatever directions their columns have."""

from __future__ import annotations

import torch
from torch import Tensor

NUM_NEIGHBOURS = 10
ROWS_AT_ONCE = 1_024


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Linear centred kernel alignment of (N, H) and (N, H′): 1 for rotated, scaled copies, near 0 for strangers.

    Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", section 3.
    """
    first, second = (matrix.double() - matrix.double().mean(0) for matrix in (first, second))
    across = (first.T @ second).square().sum()
    within = (first.T @ first).norm() * (second.T @ second).norm()
    return float(across / within)


def neighbour_overlap(first: Tensor, second: Tensor) -> float:
    """Share of a row's nearest rows by cosine, 10 of them, that two matrices agree on; the mean over (N, …) rows."""
    neighbours = [_neighbours(matrix) for matrix in (first, second)]
    agreed = (neighbours[0].unsqueeze(2) == neighbours[1].unsqueeze(1)).any(2)
    return float(agreed.double().mean())


def _neighbours(matrix: Tensor) -> Tensor:
    """(N, H) → (N, 10), none its own."""
    directions = torch.nn.functional.normalize(matrix.float(), dim=1)
    found = []
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        cosines = directions[start : start + ROWS_AT_ONCE] @ directions.T
        rows = torch.arange(len(cosines))
        cosines[rows, start + rows] = -torch.inf
        found.append(cosines.topk(min(NUM_NEIGHBOURS, len(matrix) - 1), dim=1).indices)
    return torch.cat(found)

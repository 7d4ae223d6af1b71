"""What two matrices have in common as maps of a vocabulary."""

from __future__ import annotations

import pytest
import torch

from tiedlm.model.matrix_similarity import NUM_NEIGHBOURS, linear_cka, neighbour_overlap

N, H = 300, 16


def matrix(seed: int, width: int = H) -> torch.Tensor:
    return torch.randn(N, width, generator=torch.Generator().manual_seed(seed))


def test_a_rotated_copy_is_the_same_map_and_a_stranger_is_none() -> None:
    table = matrix(0)
    rotation = torch.linalg.qr(torch.randn(H, H, generator=torch.Generator().manual_seed(1))).Q
    assert linear_cka(table, 3.0 * table @ rotation + 5.0) == pytest.approx(1.0)
    assert neighbour_overlap(table, 3.0 * table @ rotation) == pytest.approx(1.0, abs=0.01)
    assert linear_cka(table, matrix(2)) < 0.15
    assert neighbour_overlap(table, matrix(2)) == pytest.approx(NUM_NEIGHBOURS / (N - 1), abs=0.01)
    assert linear_cka(table, table.roll(1, 0)) < 0.15  # the same vectors, of other tokens


def test_linear_cka_is_the_alignment_of_centred_gram_matrices() -> None:
    """Kornblith et al. 2019, equation 3, with HSIC of the Gram matrices written out; of different widths too."""
    first, second = matrix(0) + matrix(3), torch.cat([matrix(0), matrix(4)], 1)
    centring = torch.eye(N, dtype=torch.double) - 1 / N
    grams = [centring @ m.double() @ m.double().T @ centring for m in (first, second)]

    def hsic(one: torch.Tensor, other: torch.Tensor) -> float:
        return torch.trace(one @ other).item()

    expected = hsic(*grams) / (hsic(grams[0], grams[0]) * hsic(grams[1], grams[1])) ** 0.5
    assert linear_cka(first, second) == pytest.approx(expected)


def test_neighbours_are_the_nearest_by_cosine() -> None:
    first, second = matrix(0), matrix(0) + 0.3 * matrix(5)
    agreed = []
    for row in range(N):
        nearest = []
        for table in (first, second):
            cosines = torch.nn.functional.cosine_similarity(table[row], table)
            cosines[row] = -1
            nearest.append(set(cosines.topk(NUM_NEIGHBOURS).indices.tolist()))
        agreed.append(len(nearest[0] & nearest[1]) / NUM_NEIGHBOURS)
    assert neighbour_overlap(first, second) == pytest.approx(sum(agreed) / N)

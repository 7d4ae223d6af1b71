"""Which row of the output matrix scores a token, where it is not simply its own.

Bertolotti & Cazzola (ICML 2024, "By Tying Embeddings You Are Assuming the Distributional Hypothesis") argue that tying
assumes that what means alike also occurs alike. A permutation of the rows on the output side alone breaks that and
nothing else: parameters, saving and gradients into the table stay. Each row then has to serve two words. A rotation of
all rows leaves each word its own and their likenesses, which are inner products, as they are: it only takes away that a
row points to the same place on both sides.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiedlm.generators import make_generator
from tiedlm.masked_batch import SPECIAL_TOKENS

BAND_SIZE = 16  # tokens, neighbours in the order of their frequency
ROTATED = "rotated:"


def draw_output_rows(kind: str, token_counts: npt.NDArray[np.int64]) -> Tensor:
    """(V,): the row for each token. Special tokens keep their own; of the others none does, but by `identity`.

    `kind` is as `intervention.output_rows`, `token_counts` (V,) how often each token occurs in train.
    """
    rows = torch.arange(len(token_counts))
    kind, _, number = kind.partition(":")
    if kind == "identity":
        return rows
    generator = make_generator(int(number), "output_rows")
    by_frequency = rows[len(SPECIAL_TOKENS) :]
    by_frequency = by_frequency[torch.from_numpy(token_counts)[by_frequency].argsort(descending=True, stable=True)]
    num_bands = 1 if kind == "any" else max(1, len(by_frequency) // BAND_SIZE)
    for band in by_frequency.tensor_split(num_bands):
        cycle = band[torch.randperm(len(band), generator=generator)]
        rows[cycle] = cycle.roll(1)
    return rows


def draw_rotation(kind: str, hidden_size: int) -> Tensor:
    """(H, H), R: the rows E of the output matrix score as E · R. Uniform over the orthogonal matrices.

    By the QR decomposition of a normal matrix, signs set as Mezzadri 2007 ("How to generate random matrices from the
    classical compact groups", section 5) has it. `kind` is `rotated:N`.
    """
    generator = make_generator(int(kind.removeprefix(ROTATED)), "rotation")
    normal = torch.empty(hidden_size, hidden_size, dtype=torch.float64).normal_(generator=generator)
    q, r = torch.linalg.qr(normal)
    rotation: Tensor = q * r.diagonal().sign()
    return rotation.float()

"""A permutation of the output matrix's rows: which token's row scores a token, for arms that share the table alone.

Bertolotti & Cazzola (ICML 2024, "By Tying Embeddings You Are Assuming the Distributional Hypothesis") argue that tying
assumes that what means alike also occurs alike. A permutation of the rows on the output side alone breaks that and
nothing else: parameters, saving and gradients into the table stay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tiedlm.generators import make_generator
from tiedlm.masked_batch import SPECIAL_TOKENS

BAND_SIZE = 16  # tokens, neighbours in the order of their frequency


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

"""Tokens by how often they occur in train, in powers of ten."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAST_COUNTS = (0, 10, 100, 1_000, 10_000)
"""How often a token of each band occurs at least."""
BAND_NAMES = tuple(
    f"{low:,} to {LEAST_COUNTS[band + 1] - 1:,}" if band + 1 < len(LEAST_COUNTS) else f"{low:,} or more"
    for band, low in enumerate(LEAST_COUNTS)
)
"""What tables call each band."""


def frequency_bands(token_counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The band of each token, 0 the rarest: (V,) → (V,)."""
    return np.searchsorted(LEAST_COUNTS, token_counts, side="right") - 1

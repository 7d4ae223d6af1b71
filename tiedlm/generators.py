"""One `torch.Generator` a purpose, so that no draw can disturb another.

What is drawn depends on (seed, purpose) alone. Two arms of one seed therefore share whatever they
both draw, whether or not one of them draws something more.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: str) -> int:
    """A 63-bit seed from a user's seed and the words that name a purpose."""
    digest = hashlib.sha256("\0".join((str(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_generator(seed: int, *purpose: str) -> torch.Generator:
    """A CPU generator for one purpose, e.g. `make_generator(seed, "init", parameter_name)`."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))

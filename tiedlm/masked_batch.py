"""What the data gives to the model: token ids, of which the first few are special, and the positions to predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PAD, MASK, UNK, EOS = "[PAD]", "[MASK]", "[UNK]", "<eos>"
SPECIAL_TOKENS = (PAD, MASK, UNK)
"""Never drawn as a random replacement. Of the three only `[UNK]`, a word outside the vocabulary, occurs in
blocks and is predicted; `<eos>` ends each line and is a word like others."""
PAD_ID, MASK_ID, UNK_ID = range(3)


@dataclass(frozen=True)
class MaskedBatch:
    """What the model reads and what it is asked; names and meanings as in BERT's `run_pretraining.py`."""

    input_ids: Tensor
    """(B, T), with replacements in place."""
    masked_lm_positions: Tensor
    """(B, P), ascending; 0 where `masked_lm_weights` is 0."""
    masked_lm_ids: Tensor
    """(B, P), the true ids at those positions."""
    masked_lm_weights: Tensor
    """(B, P), 1.0 for a real prediction and 0.0 for a filler."""

    def part(self, rows: slice) -> MaskedBatch:
        """Some of its rows."""
        return MaskedBatch(**{name: tensor[rows] for name, tensor in vars(self).items()})

    def to(self, device: torch.device) -> MaskedBatch:
        """The same batch on another device."""
        return MaskedBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})

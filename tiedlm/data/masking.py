"""Blocks → MaskedBatch: which positions are predicted, and what stands there meanwhile.

Positions are chosen here, carried forward and never searched for again.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tiedlm.generators import make_generator
from tiedlm.masked_batch import MASK_ID, PAD_ID, SPECIAL_TOKENS, MaskedBatch

NUM_FOLDS = 7  # 1/7 of a block's positions are masked at a time: BERT's 15 %


def mask_blocks(blocks: Tensor, mlm_probability: float, vocab_size: int, generator: torch.Generator) -> MaskedBatch:
    """Mask (B, T) blocks for training: 80 % `[MASK]`, 10 % a random token, 10 % left (Devlin et al. 2019, §3.1).

    Each block gets round(mlm_probability × its real tokens) distinct positions, at least one. Unlike the
    source's, random replacements are never special tokens.
    """
    blocks = blocks.long()
    num_rows, seq_length = blocks.shape
    num_slots = max(1, round(seq_length * mlm_probability))
    is_padding = blocks == PAD_ID
    num_real = (seq_length - is_padding.sum(1)).double()  # in fp32 a product may round to another number of positions
    num_predictions = (num_real * mlm_probability).round().clamp(min=1)  # (B,)
    scores = torch.rand(num_rows, seq_length, generator=generator).masked_fill(is_padding, 2.0)
    positions = scores.argsort(1)[:, :num_slots]  # (B, P), each distinct; padding comes last
    weights = (torch.arange(num_slots) < num_predictions.unsqueeze(1)).float()

    roll = torch.rand(num_rows, num_slots, generator=generator)
    random_ids = torch.randint(len(SPECIAL_TOKENS), vocab_size, (num_rows, num_slots), generator=generator)
    kept_ids = blocks.gather(1, positions)
    replacements = torch.where(roll < 0.8, MASK_ID, torch.where(roll < 0.9, random_ids, kept_ids))
    return _masked_batch(blocks, positions, replacements, weights)


def fold_batch(blocks: Tensor, ranks: Tensor, fold: int) -> MaskedBatch:
    """Mask one fold of (B, T) blocks for evaluation: always `[MASK]`, no chance.

    `ranks` (B, T) come from `fold_ranks`. Over all `NUM_FOLDS` folds each real token is predicted once.
    """
    blocks = blocks.long()
    num_slots = -(-blocks.shape[1] // NUM_FOLDS)
    positions = ranks.argsort(1)[:, fold::NUM_FOLDS]  # (B, P) or (B, P - 1)
    if positions.shape[1] < num_slots:  # a filler, so that all folds have one shape
        positions = torch.cat([positions, positions.new_full((len(blocks), 1), -1)], dim=1)
    weights = (positions >= 0) & (blocks.gather(1, positions.clamp(min=0)) != PAD_ID)
    return _masked_batch(blocks, positions, torch.full_like(positions, MASK_ID), weights.float())


def fold_ranks(blocks: Tensor, eval_mask_seed: int) -> Tensor:
    """One fixed permutation of the positions for each of (N, T) blocks: (N, T). The text plays no part."""
    generator = make_generator(eval_mask_seed, "eval_mask")
    return torch.rand(blocks.shape, generator=generator).argsort(1)


class BatchOrder:
    """Row indices (B,) of one batch after another: a shuffled epoch after the other, no block left out or cut off."""

    def __init__(self, num_blocks: int, batch_size: int, generator: torch.Generator) -> None:
        self.num_blocks, self.batch_size, self.generator = num_blocks, batch_size, generator
        self.rows_to_come = torch.empty(0, dtype=torch.int64)
        """Drawn and not yet given: with the generator's state, the position in the data."""

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        while len(self.rows_to_come) < self.batch_size:
            epoch = torch.randperm(self.num_blocks, generator=self.generator)
            self.rows_to_come = torch.cat([self.rows_to_come, epoch])
        rows, self.rows_to_come = self.rows_to_come.tensor_split([self.batch_size])
        return rows


def _masked_batch(blocks: Tensor, positions: Tensor, replacements: Tensor, weights: Tensor) -> MaskedBatch:
    """Sort the slots of each row by position, fillers last, and write the replacements."""
    order = positions.masked_fill(weights == 0, blocks.shape[1]).argsort(1)
    weights = weights.gather(1, order)
    is_filler = weights == 0
    positions = positions.gather(1, order).masked_fill(is_filler, 0)
    true_ids = blocks.gather(1, positions).masked_fill(is_filler, PAD_ID)
    # Fillers write to a spare column that is cut off again, so they can overwrite nothing.
    seq_length = blocks.shape[1]
    input_ids = torch.cat([blocks, blocks.new_empty(len(blocks), 1)], dim=1)
    input_ids.scatter_(1, positions.masked_fill(is_filler, seq_length), replacements.gather(1, order))
    return MaskedBatch(input_ids[:, :seq_length].contiguous(), positions, true_ids, weights)

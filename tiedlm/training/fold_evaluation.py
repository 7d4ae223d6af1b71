"""model + blocks → EvalTotals: the sums from which loss, perplexity and accuracy follow.

Every token of the blocks is predicted exactly once, under `[MASK]`, in folds fixed by a seed; nothing
is left to chance and no mean of means is ever taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tiedlm.data.masking import NUM_FOLDS, fold_batch, fold_ranks
from tiedlm.masked_batch import UNK_ID
from tiedlm.model.masked_lm import MaskedLM

TOKENS_PER_BATCH = 8192  # of the encoder; bounds memory, does not change the result


@dataclass(frozen=True)
class EvalTotals:
    """Sums over each block's predicted tokens, (N,) each: the paired bootstrap resamples blocks."""

    block_nll_nats: Tensor
    block_num_tokens: Tensor
    block_num_correct: Tensor
    block_unk_nll_nats: Tensor
    block_num_unk: Tensor
    """Of the tokens that are `[UNK]`, which the others count too."""

    @property
    def masked_lm_loss_nats(self) -> float:
        """Mean negative log likelihood a predicted token."""
        return float(self.block_nll_nats.sum() / self.block_num_tokens.sum())


@torch.no_grad()
def evaluate(
    model: MaskedLM,
    blocks: Tensor,
    eval_mask_seed: int,
    autocast: torch.amp.autocast_mode.autocast,
    folds: range = range(NUM_FOLDS),
    on_batch: Callable[[float], None] = lambda _: None,
) -> EvalTotals:
    """Predict (N, T) blocks fold by fold; `folds` may be a part of them for a quick look.

    `on_batch` is told the share of the blocks that is done.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    ranks = fold_ranks(blocks, eval_mask_seed)
    nll = torch.zeros(len(blocks), dtype=torch.float64)
    num_tokens, num_correct, unk_nll, num_unk = (torch.zeros_like(nll) for _ in range(4))
    rows_per_batch = max(1, TOKENS_PER_BATCH // blocks.shape[1])
    for start in range(0, len(blocks), rows_per_batch):
        rows = slice(start, start + rows_per_batch)
        for fold in folds:
            batch = fold_batch(blocks[rows], ranks[rows], fold).to(device)
            with autocast:  # (B, P) each
                batch_nll, is_correct = model.score(batch)
            weights = batch.masked_lm_weights.double()
            nll[rows] += (batch_nll * weights).sum(1).cpu()
            num_tokens[rows] += weights.sum(1).cpu()
            num_correct[rows] += (is_correct * weights).sum(1).cpu()
            unk_weights = weights * (batch.masked_lm_ids == UNK_ID)
            unk_nll[rows] += (batch_nll * unk_weights).sum(1).cpu()
            num_unk[rows] += unk_weights.sum(1).cpu()
        on_batch(min(1.0, rows.stop / len(blocks)))
    model.train(was_training)
    return EvalTotals(nll, num_tokens, num_correct, unk_nll, num_unk)

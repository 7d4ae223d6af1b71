"""The fold evaluation: model + blocks → EvalTotals, the sums from which loss, perplexity and accuracy follow.

Every token of the blocks is predicted exactly once, under `[MASK]`, in folds fixed by a seed; nothing
is left to chance and no mean of means is ever taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from tiedlm.data.frequency_bands import LEAST_COUNTS
from tiedlm.data.masking import NUM_FOLDS, fold_batch, fold_ranks
from tiedlm.masked_batch import UNK_ID, MaskedBatch
from tiedlm.processes.ranks import ALONE, Ranks

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
    group_nll_nats: Tensor
    """(num_groups,): by the group of its place, where places have groups."""
    band_nll_nats: Tensor
    band_num_tokens: Tensor
    band_num_correct: Tensor
    """(num_bands,) each: the same sums by the band of the predicted token."""

    @property
    def masked_lm_loss_nats(self) -> float:
        """Mean negative log likelihood a predicted token."""
        return float(self.block_nll_nats.sum() / self.block_num_tokens.sum())


class Scorer(Protocol):
    """A module that scores predictions, as `MaskedLM` does."""

    training: bool

    def parameters(self) -> Iterator[nn.Parameter]:
        """As of a module."""

    def eval(self) -> object:
        """As of a module."""

    def train(self, mode: bool = True) -> object:
        """As of a module."""

    def to(self, device: str) -> object:
        """As of a module."""

    def score(self, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
        """Each prediction's loss in nats, and whether it is right: two of (B, P)."""


@torch.no_grad()
def evaluate(
    model: Scorer,
    blocks: Tensor,
    eval_mask_seed: int,
    autocast: torch.amp.autocast_mode.autocast,
    bands: Tensor | None = None,
    folds: range = range(NUM_FOLDS),
    on_batch: Callable[[float], None] = lambda _: None,
    ranks: Ranks = ALONE,
    groups: Tensor | None = None,
) -> EvalTotals:
    """Predict (N, T) blocks fold by fold; `folds` may be a part of them for a quick look.

    `bands` (V,) has the band of each token, by its frequency (`data/frequency_bands.py`) or any other; without it, all
    are of the first. `groups` (N, T) has a number for each place, by which losses are added up too.
    `on_batch` is told the share of the blocks that is done. Of several `ranks` each predicts a part, and all have the
    sums.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    order = fold_ranks(blocks, eval_mask_seed)
    nll = torch.zeros(len(blocks), dtype=torch.float64)
    num_tokens, num_correct, unk_nll, num_unk = (torch.zeros_like(nll) for _ in range(4))
    num_bands = len(LEAST_COUNTS) if bands is None else max(len(LEAST_COUNTS), int(bands.max()) + 1)
    of_bands = torch.zeros(3, num_bands, dtype=torch.float64)
    of_groups = torch.zeros(0 if groups is None else int(groups.max()) + 1, dtype=torch.float64)
    rows_per_batch = max(1, TOKENS_PER_BATCH // blocks.shape[1])
    for number, start in enumerate(range(0, len(blocks), rows_per_batch)):
        rows = slice(start, start + rows_per_batch)
        for fold in folds if ranks.is_mine(number) else ():
            batch = fold_batch(blocks[rows], order[rows], fold).to(device)
            with autocast:  # (B, P) each
                batch_nll, is_correct = model.score(batch)
            weights = batch.masked_lm_weights.double()
            nll[rows] += (batch_nll * weights).sum(1).cpu()
            num_tokens[rows] += weights.sum(1).cpu()
            num_correct[rows] += (is_correct * weights).sum(1).cpu()
            unk_weights = weights * (batch.masked_lm_ids == UNK_ID)
            unk_nll[rows] += (batch_nll * unk_weights).sum(1).cpu()
            num_unk[rows] += unk_weights.sum(1).cpu()
            sums = torch.stack([batch_nll * weights, weights, is_correct * weights]).flatten(1).cpu()  # (3, B·P)
            ids = batch.masked_lm_ids.flatten().cpu()
            of_bands.index_add_(1, torch.zeros_like(ids) if bands is None else bands[ids], sums)
            if groups is not None:
                places = batch.masked_lm_positions.cpu()
                of_groups.index_add_(0, groups[rows].gather(1, places).flatten().long(), sums[0])
        on_batch(min(1.0, rows.stop / len(blocks)))
    model.train(was_training)
    ranks.add_up([nll, num_tokens, num_correct, unk_nll, num_unk, of_bands, *([] if groups is None else [of_groups])])
    return EvalTotals(nll, num_tokens, num_correct, unk_nll, num_unk, of_groups, *of_bands)

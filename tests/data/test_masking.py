"""What is masked, and that evaluation leaves nothing to chance."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tiedlm.data.masking import NUM_FOLDS, BatchOrder, fold_batch, fold_ranks, mask_blocks
from tiedlm.generators import make_generator
from tiedlm.masked_batch import MASK_ID, PAD_ID, SPECIAL_TOKENS, MaskedBatch

NUM_SPECIAL = len(SPECIAL_TOKENS)


def blocks_of(num_blocks: int, seq_length: int, num_padded: int = 0, vocab_size: int = 50) -> torch.Tensor:
    """(N, T) of ordinary tokens; the last block ends with padding."""
    blocks = torch.randint(NUM_SPECIAL, vocab_size, (num_blocks, seq_length), generator=make_generator(0, "blocks"))
    blocks[-1, seq_length - num_padded :] = PAD_ID
    return blocks


def assert_sound(batch: MaskedBatch, blocks: torch.Tensor) -> None:
    """What holds for every batch, in training and in evaluation."""
    for row, (ids, positions, targets, weights) in enumerate(
        zip(batch.input_ids, batch.masked_lm_positions, batch.masked_lm_ids, batch.masked_lm_weights, strict=True)
    ):
        real = weights == 1
        chosen = positions[real]
        assert torch.equal(weights.sort(descending=True).values, weights), "fillers come last"
        assert torch.equal(chosen.unique(), chosen), "positions are distinct and ascending"
        assert torch.equal(blocks[row, chosen], targets[real]), "targets are the true ids"
        assert PAD_ID not in targets[real], "padding is never predicted"
        untouched = torch.ones_like(ids, dtype=torch.bool)
        untouched[chosen] = False
        assert torch.equal(ids[untouched], blocks[row, untouched]), "other positions stay as they are"
        assert (positions[~real] == 0).all()
        assert (targets[~real] == PAD_ID).all()


@given(
    num_blocks=st.integers(1, 5),
    seq_length=st.integers(8, 40),
    padded_share=st.floats(0, 0.99),
    mlm_probability=st.floats(0.01, 0.95),
    seed=st.integers(0, 2**32),
)
@example(num_blocks=1, seq_length=20, padded_share=0.5, mlm_probability=0.95 - 2e-16, seed=0)  # 9.5 in fp32
@settings(max_examples=150, deadline=None)
def test_training_masks_are_sound(
    num_blocks: int, seq_length: int, padded_share: float, mlm_probability: float, seed: int
) -> None:
    blocks = blocks_of(num_blocks, seq_length, int(padded_share * seq_length))
    batch = mask_blocks(blocks, mlm_probability, 50, make_generator(seed, "mask"))
    assert_sound(batch, blocks)
    num_real = (blocks != PAD_ID).sum(1)
    expected = [max(1, round(int(number) * mlm_probability)) for number in num_real]
    assert batch.masked_lm_weights.sum(1).int().tolist() == expected


def test_replacements_are_80_10_10_and_never_special() -> None:
    blocks = blocks_of(2_000, 50, vocab_size=1_000)
    batch = mask_blocks(blocks, 0.2, 1_000, make_generator(0, "mask"))
    shown = batch.input_ids.gather(1, batch.masked_lm_positions)
    share_masked = (shown == MASK_ID).float().mean().item()
    share_kept = (shown == batch.masked_lm_ids).float().mean().item()
    assert share_masked == pytest.approx(0.8, abs=0.01)  # 20,000 draws: a standard deviation is 0.003
    assert share_kept == pytest.approx(0.1, abs=0.01)
    replaced = shown[(shown != MASK_ID) & (shown != batch.masked_lm_ids)]
    assert len(replaced) == pytest.approx(0.1 * shown.numel(), rel=0.1)
    assert replaced.min() >= NUM_SPECIAL


@given(seq_length=st.integers(8, 40), padded_share=st.floats(0, 0.99), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_folds_predict_every_real_token_exactly_once(seq_length: int, padded_share: float, seed: int) -> None:
    blocks = blocks_of(3, seq_length, int(padded_share * seq_length))
    ranks = fold_ranks(blocks, seed)
    times_predicted = torch.zeros_like(blocks)
    for fold in range(NUM_FOLDS):
        batch = fold_batch(blocks, ranks, fold)
        assert_sound(batch, blocks)
        assert (batch.input_ids.gather(1, batch.masked_lm_positions)[batch.masked_lm_weights == 1] == MASK_ID).all()
        times_predicted.scatter_add_(1, batch.masked_lm_positions, batch.masked_lm_weights.long())
        assert (batch.masked_lm_weights.sum(1) <= math.ceil(seq_length / NUM_FOLDS)).all()
    assert torch.equal(times_predicted, (blocks != PAD_ID).long())


def test_evaluation_masks_depend_on_their_seed_alone() -> None:
    blocks = blocks_of(4, 16)
    first = fold_ranks(blocks, 7)
    torch.manual_seed(99)
    assert torch.equal(fold_ranks(blocks_of(4, 16, vocab_size=20), 7), first)
    assert not torch.equal(fold_ranks(blocks, 8), first)


def test_every_block_comes_once_an_epoch() -> None:
    rows = torch.cat(list(islice(BatchOrder(10, 4, make_generator(0, "order")), 5)))
    assert sorted(rows[:10].tolist()) == list(range(10))
    assert sorted(rows[10:].tolist()) == list(range(10))
    assert not torch.equal(rows[:10], rows[10:])

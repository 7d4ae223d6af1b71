"""What is masked, and that evaluation leaves nothing to chance."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import toy_model
from tiedlm.data.masking import NUM_FOLDS, BatchOrder, fold_batch, fold_ranks, mask_blocks
from tiedlm.generators import make_generator
from tiedlm.masked_batch import MASK_ID, PAD_ID, SPECIAL_TOKENS, MaskedBatch
from tiedlm.model.masked_lm import build_model
from tiedlm.training.fold_evaluation import evaluate

NO_AUTOCAST = torch.autocast("cpu", enabled=False)
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


def test_the_result_does_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(toy_model(), 50, seed=0)
    blocks = blocks_of(11, 16, num_padded=5)
    whole = evaluate(model, blocks, 0, NO_AUTOCAST)
    monkeypatch.setattr("tiedlm.training.fold_evaluation.TOKENS_PER_BATCH", 48)
    parts = evaluate(model, blocks, 0, NO_AUTOCAST)
    assert parts.masked_lm_loss_nats == pytest.approx(whole.masked_lm_loss_nats, rel=1e-6)
    assert torch.equal(parts.block_num_tokens, whole.block_num_tokens)
    assert int(whole.block_num_tokens.sum()) == 11 * 16 - 5


def test_evaluation_never_holds_more_than_a_part_of_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    vocab_size = 5_000
    model, blocks = build_model(toy_model(), vocab_size, seed=0), blocks_of(33, 16, num_padded=5)
    whole = evaluate(model, blocks, 0, NO_AUTOCAST)
    largest = max(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr("tiedlm.model.logit_slices.KEPT_LOGITS", 3 * vocab_size)
    sizes: list[int] = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
            result = operation(*arguments, **(options or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    with Sizes():
        parts = evaluate(model, blocks, 0, NO_AUTOCAST)
    assert max(sizes) <= largest
    assert parts.masked_lm_loss_nats == pytest.approx(whole.masked_lm_loss_nats, rel=1e-6)
    assert torch.equal(parts.block_num_correct, whole.block_num_correct)


def test_uniform_logits_have_the_perplexity_of_the_vocabulary() -> None:
    model = build_model(toy_model(), 50, seed=0)
    model.head.decoder.weight.data.zero_()
    totals = evaluate(model, blocks_of(6, 16), 0, NO_AUTOCAST)
    assert math.exp(totals.masked_lm_loss_nats) == pytest.approx(50.0, rel=1e-6)


@pytest.mark.parametrize("token", [7, PAD_ID])
def test_accuracy_counts_right_first_guesses_at_real_tokens(token: int) -> None:
    model = build_model(toy_model(), 50, seed=0)
    model.head.decoder.weight.data.zero_()
    model.head.decoder.bias.data[token] = 1.0  # the model's only guess
    blocks = blocks_of(6, 16, num_padded=5)
    num_right = 0 if token == PAD_ID else int((blocks == token).sum())
    assert int(evaluate(model, blocks, 0, NO_AUTOCAST).block_num_correct.sum()) == num_right


def test_evaluation_leaves_the_model_as_it_was() -> None:
    model = build_model(toy_model(hidden_dropout_prob=0.5), 50, seed=0).train()
    first, second = (evaluate(model, blocks_of(4, 16), 0, NO_AUTOCAST).masked_lm_loss_nats for _ in range(2))
    assert first == second  # no dropout while evaluating
    assert model.training


def test_every_block_comes_once_an_epoch() -> None:
    rows = torch.cat(list(islice(BatchOrder(10, 4, make_generator(0, "order")), 5)))
    assert sorted(rows[:10].tolist()) == list(range(10))
    assert sorted(rows[10:].tolist()) == list(range(10))
    assert not torch.equal(rows[:10], rows[10:])

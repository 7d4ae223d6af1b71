"""Evaluation by folds: every token is predicted once, whatever the batch, and nothing is changed by it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import toy_model
from tests.data.test_masking import blocks_of
from tiedlm.masked_batch import PAD_ID
from tiedlm.model.masked_lm import build_model
from tiedlm.training.fold_evaluation import evaluate

NO_AUTOCAST = torch.autocast("cpu", enabled=False)


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

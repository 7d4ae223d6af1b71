"""What a GPU computes otherwise gives the same numbers: its branches, taken on a CPU.

`is_cuda` is said to be true of every tensor. That finds a wrong formula, not a wrong device or kernel.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import tiedlm.model.logit_slices
from tests.conftest import toy_model
from tiedlm.data.masking import mask_blocks
from tiedlm.generators import make_generator
from tiedlm.masked_batch import PAD_ID
from tiedlm.model.masked_lm import build_model
from tiedlm.training.fold_evaluation import evaluate

VOCAB_SIZE = 300


def gradients_and_scores(encoder: str, is_tied: bool) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Loss, seven times its gradients by name, and each block's score; the last block is short."""
    model = build_model(toy_model(encoder=encoder, tie_word_embeddings=is_tied), VOCAB_SIZE, seed=0)
    blocks = torch.randint(3, VOCAB_SIZE, (16, 24), generator=make_generator(0, "text"))
    blocks[-1, -9:] = PAD_ID
    loss = model.loss(mask_blocks(blocks, 0.3, VOCAB_SIZE, make_generator(0, "mask")))
    (7.0 * loss).backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    totals = evaluate(model, blocks, 0, torch.autocast("cpu", enabled=False))
    return loss, gradients, totals.block_nll_nats


@pytest.mark.parametrize("encoder", ["modernbert", "bert"])
@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("kept_logits", [1 << 20, VOCAB_SIZE * 20])  # all at once, and by columns
def test_a_gpu_s_branches_give_the_numbers_of_a_cpu_s(
    encoder: str, is_tied: bool, kept_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiedlm.model.logit_slices, "KEPT_LOGITS", kept_logits)
    expected = gradients_and_scores(encoder, is_tied)
    monkeypatch.setattr(Tensor, "is_cuda", property(lambda _: True), raising=False)
    loss, gradients, scores = gradients_and_scores(encoder, is_tied)
    assert_close(loss, expected[0])
    assert gradients.keys() == expected[1].keys()
    for name, gradient in gradients.items():
        assert_close(gradient, expected[1][name], rtol=1e-4, atol=1e-5, msg=lambda words, name=name: f"{name}: {words}")
    assert_close(scores, expected[2])

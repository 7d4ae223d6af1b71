"""The head: its formula by NumPy, and its fused loss and scores by the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch.testing import assert_close

from tests.conftest import toy_model
from tests.model.test_masked_lm import ENCODERS, VOCAB_SIZE
from tiedlm.model import logit_slices
from tiedlm.model.head import MaskedLMHead, masked_lm_loss
from tiedlm.model.linear_and_norm import LAYER_NORM_EPS
from tiedlm.model.logit_slices import make_logits
from tiedlm.model.masked_lm import build_model
from tiedlm.model.prediction_scores import score


@ENCODERS
def test_the_head_is_the_formula_of_get_masked_lm_output(encoder: str) -> None:
    """Transcribed in NumPy from the description in DESIGN: dense, GELU, LayerNorm, · Wᵀ + b, weighted mean."""
    config = toy_model(encoder=encoder)
    head = MaskedLMHead(config, VOCAB_SIZE).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in head.parameters():
        parameter.data.normal_(generator=generator)
    hidden_states = torch.randn(2, 3, config.hidden_size, generator=generator, dtype=torch.float64)
    targets = torch.randint(VOCAB_SIZE, (2, 3), generator=generator)
    weights = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    loss = head.loss(hidden_states, targets, weights)

    weight = {name: parameter.detach().numpy() for name, parameter in head.named_parameters()}
    dense = hidden_states.numpy() @ weight["transform.dense.weight"].T + weight.get("transform.dense.bias", 0.0)
    gelu = dense * 0.5 * (1.0 + erf(dense / math.sqrt(2.0)))
    centred = gelu - gelu.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + LAYER_NORM_EPS[encoder])
    transformed = normed * weight["transform.norm.weight"] + weight.get("transform.norm.bias", 0.0)
    logits = transformed @ weight["decoder.weight"].T + weight["decoder.bias"]
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    nll = -np.take_along_axis(log_probabilities, targets.numpy()[..., None], -1)[..., 0]
    expected = (nll * weights.numpy()).sum() / (weights.numpy().sum() + 1e-5)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert masked_lm_loss(head(hidden_states), targets, weights).item() == pytest.approx(expected, rel=1e-12)


IN_PIECES = [{}, {"FEW_ROWS": 0}, {"FEW_ROWS": 1_000}]  # at once, in pieces by rows, and by columns


@pytest.mark.parametrize("pieces", IN_PIECES)
def test_the_fused_loss_and_its_gradients_are_those_of_the_plain_formula(
    pieces: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if pieces:
        pieces = pieces | {"CACHED_LOGITS": 100, "KEPT_LOGITS": 18 * 40, "ROUNDED_ROWS": 6, "LINE": 2}
    for limit, number in pieces.items():
        monkeypatch.setattr(f"tiedlm.model.logit_slices.{limit}", number)
    head = MaskedLMHead(toy_model(head_transform=False), 17).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in head.parameters():
        parameter.data.normal_(generator=generator)
    hidden_states = torch.randn(3, 50, 32, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(17, (3, 50), generator=generator)
    weights = torch.rand(3, 50, generator=generator, dtype=torch.float64)
    logits = head(hidden_states)
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(3, 50)
    assert_close(score(logits, targets)[0], nll.detach())
    expected = masked_lm_loss(logits, targets, weights)
    loss = head.loss(hidden_states, targets, weights)
    assert_close(loss, expected)
    inputs = [hidden_states, head.decoder.weight, head.decoder.bias]
    ours, theirs = (torch.autograd.grad(7.0 * value, inputs) for value in (loss, expected))
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other)


def test_a_loss_gives_its_gradients_once() -> None:
    loss = build_model(toy_model(), 17, seed=0).head.loss(
        torch.randn(3, 50, 32), torch.randint(17, (3, 50)), torch.ones(3, 50)
    )
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="compute the loss again"):
        loss.backward()


def test_the_memory_of_logits_is_kept_and_no_answer_lies_in_it() -> None:
    head = MaskedLMHead(toy_model(), 17)
    batches = [(torch.randn(3, 50, 32), torch.randint(17, (3, 50)), torch.ones(3, 50)) for _ in range(2)]
    parameters = list(head.parameters())
    alone = [[one.clone() for one in torch.autograd.grad(head.loss(*batch), parameters)] for batch in batches]
    losses = [head.loss(*batch) for batch in batches]
    scores = [head.score(*batch[:2])[0] for batch in batches]
    for loss, gradients, nll in zip(losses, alone, scores, strict=True):
        assert_close(nll.mean(), loss, rtol=1e-4, atol=0)
        for one, other in zip(torch.autograd.grad(loss, parameters), gradients, strict=True):
            assert_close(one, other)


def test_logits_lie_where_those_before_lay() -> None:
    """Else every step is given new memory for them, page by page."""
    weight = torch.randn(17, 8)
    logits = [make_logits(torch.randn(num_rows, 8), weight) for num_rows in (50, 3, 50)]
    assert len({one.data_ptr() for one in logits}) == 1


@pytest.mark.parametrize("pieces", IN_PIECES)
@pytest.mark.parametrize("vocab_size", [17, 501])
def test_what_lay_between_two_rows_of_logits_is_in_no_gradient(
    vocab_size: int, pieces: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products by matrix units (AMX) read on to the end of a row's last line, where another model's NaN can lie."""
    for name, value in pieces.items():
        monkeypatch.setattr(logit_slices, name, value)
    head = MaskedLMHead(toy_model(), vocab_size)
    states, ids = torch.randn(3, 50, 32), torch.randint(vocab_size, (3, 50))

    def gradients() -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return list(torch.autograd.grad(head.loss(states, ids, torch.ones(3, 50)), list(head.parameters())))

    before = gradients()
    kept = make_logits(torch.zeros(1, 32, dtype=torch.bfloat16), head.decoder.weight.detach())
    torch.empty(0, dtype=torch.bfloat16).set_(kept.untyped_storage()).fill_(math.nan)
    for one, other in zip(gradients(), before, strict=True):
        assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("pieces", IN_PIECES)
@pytest.mark.parametrize("with_bf16_states", [False, True])
@pytest.mark.parametrize(
    ("are_certain", "std", "bound"), [(True, 2.0, 2.1e-3), (False, 1.0, 2.1e-3), (False, 0.1, 3e-4)]
)
def test_under_bf16_products_are_rounded_and_sums_are_not(
    are_certain: bool,
    std: float,
    bound: float,
    with_bf16_states: bool,
    pieces: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the true ids are almost certain as well as where they are as unlikely as all others (std 0.1)."""
    vocab_size, num_rows = 1_000, 300  # of which 1/300 has no exact bf16
    if pieces:
        pieces = pieces | {"CACHED_LOGITS": 9_000, "KEPT_LOGITS": 70_000, "ROUNDED_ROWS": 96}
    for limit, number in pieces.items():
        monkeypatch.setattr(f"tiedlm.model.logit_slices.{limit}", number)
    head = MaskedLMHead(toy_model(head_transform=False), vocab_size)
    generator = torch.Generator().manual_seed(0)
    for parameter in head.parameters():
        parameter.data.normal_(std=std, generator=generator)
    hidden_states = torch.randn(1, num_rows, 32, generator=generator)
    if with_bf16_states:
        hidden_states = hidden_states.bfloat16()
    hidden_states.requires_grad_()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        products = (hidden_states[0] @ head.decoder.weight.t()).double()
    bias = head.decoder.bias.detach().double().requires_grad_()
    targets = torch.randint(vocab_size // 2, (1, num_rows), generator=generator)  # the other half never occurs
    if are_certain:
        targets[0] = (products + bias.detach()).argmax(1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss(hidden_states, targets, torch.ones(1, num_rows))
    loss.backward()
    expected = torch.nn.functional.cross_entropy(products + bias, targets[0])
    expected.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    if not pieces:  # products of parts of a matrix may be rounded another way
        assert_close(head.decoder.bias.grad, bias.grad.float(), rtol=1e-5, atol=1e-8)
    weight, hidden = head.decoder.weight, hidden_states[0]
    probabilities = (products + bias.detach()).softmax(1)
    probabilities[torch.arange(num_rows), targets[0]] -= 1.0
    for ours, theirs in (
        (weight.grad, probabilities.t() @ hidden.detach().double() / num_rows),
        (hidden_states.grad[0], probabilities @ weight.detach().double() / num_rows),
    ):
        error = (ours.double() - theirs).norm() / theirs.norm()
        rounding = 2e-3 if ours.dtype == torch.bfloat16 else 0.0  # of the answer, at its end
        assert error < bound + rounding


def test_of_equal_scores_the_first_is_the_choice() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(4, (30, 5, 17), generator=generator).bfloat16()
    targets = torch.randint(17, (30, 5), generator=generator)
    is_correct = score(logits, targets)[1]
    assert torch.equal(is_correct, logits.argmax(-1) == targets)
    is_highest = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) == logits.amax(-1)
    assert 0 < is_correct.sum() < is_highest.sum()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_loss_of_hundreds_of_nats_is_still_a_number(precision: torch.dtype) -> None:
    logits = torch.tensor([[[0.0, 500.0, -500.0]]])
    assert score(logits, torch.tensor([[2]]))[0].item() == 1000.0
    head = MaskedLMHead(toy_model(head_transform=False, hidden_size=4), 3)
    head.decoder.weight.data.fill_(0.0)
    head.decoder.weight.data[:, 0] = logits.flatten()
    head.decoder.bias.data[:] = torch.tensor([0.0, 0.0, 1.0])
    hidden_states = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]], requires_grad=True)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss = head.loss(hidden_states, torch.tensor([[2, 2]]), torch.ones(1, 2))
    loss.backward()
    assert loss.item() == pytest.approx((999.0 + 0.0) / 2, rel=1e-5)
    assert hidden_states.grad[0, 0].tolist() == pytest.approx([500.0, 0.0, 0.0, 0.0], rel=1e-5)


def test_a_batch_without_predictions_has_loss_zero_not_nan() -> None:
    head = MaskedLMHead(toy_model(), VOCAB_SIZE)
    assert head.loss(torch.ones(2, 3, 32), torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3)).item() == 0.0

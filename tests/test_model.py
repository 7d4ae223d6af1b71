"""The model's properties: the tie, pairing, direction, and what the head computes."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch.testing import assert_close

import tiedlm.model.masked_lm
from tests.conftest import toy_model
from tests.test_architecture import MODULES, syntax, without_torch
from tiedlm.counting.parameters import count_config
from tiedlm.masked_batch import PAD_ID, MaskedBatch
from tiedlm.model.attention import attend, gather_positions
from tiedlm.model.embeddings import WordEmbeddings
from tiedlm.model.head import MaskedLMHead, masked_lm_loss
from tiedlm.model.logit_slices import make_logits
from tiedlm.model.masked_lm import MaskedLM, TieError, build_model, check_tie, measure_parameters
from tiedlm.model.primitives import LAYER_NORM_EPS
from tiedlm.model.saved_model import load_model, save_model
from tiedlm.model.score import score

VOCAB_SIZE = 50
ENCODERS = pytest.mark.parametrize("encoder", ["modernbert", "bert"])


def example(
    num_rows: int = 3, seq_length: int = 12, num_slots: int = 4
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (B, T), positions (B, P) and targets (B, P); the last row ends with padding."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, VOCAB_SIZE, (num_rows, seq_length), generator=generator)
    ids[-1, -3:] = PAD_ID
    positions = torch.rand(num_rows, seq_length - 3, generator=generator).argsort(1)[:, :num_slots].sort(1).values
    return ids, positions, torch.randint(3, VOCAB_SIZE, (num_rows, num_slots), generator=generator)


@ENCODERS
def test_the_gradient_of_a_tied_matrix_is_the_sum_of_both_uses(encoder: str) -> None:
    tied = build_model(toy_model(encoder=encoder), VOCAB_SIZE, seed=0)
    untied = build_model(toy_model(encoder=encoder, tie_word_embeddings=False), VOCAB_SIZE, seed=0)
    untied.load_state_dict(tied.state_dict())
    ids, positions, targets = example()
    outputs = []
    for model in (tied, untied):
        logits = model(ids, positions)
        outputs.append(logits)
        model.loss(MaskedBatch(ids, positions, targets, torch.ones(positions.shape))).backward()
    assert torch.equal(*outputs)
    separate = untied.embeddings.word_embeddings.weight.grad, untied.head.decoder.weight.grad
    assert all(gradient.abs().max() > 1e-4 for gradient in separate)
    assert_close(tied.embeddings.word_embeddings.weight.grad, separate[0] + separate[1])


@ENCODERS
def test_the_arms_of_a_seed_start_with_every_shared_tensor_equal(encoder: str) -> None:
    arms = [
        build_model(toy_model(encoder=encoder, tie_word_embeddings=tie), VOCAB_SIZE, seed=3) for tie in (True, False)
    ]
    tied, untied = (dict(model.named_parameters()) for model in arms)
    assert untied.keys() - tied.keys() == {"head.decoder.weight"}
    assert all(torch.equal(tied[name], untied[name]) for name in tied)
    assert not torch.equal(untied["head.decoder.weight"], untied["embeddings.word_embeddings.weight"])


def test_an_arm_without_the_transform_shares_all_the_rest() -> None:
    full, bare = (build_model(toy_model(head_transform=flag), VOCAB_SIZE, seed=0) for flag in (True, False))
    shared = dict(bare.named_parameters())
    assert {name for name, _ in full.named_parameters()} - shared.keys() == {
        "head.transform.dense.weight",
        "head.transform.norm.weight",
    }
    assert all(torch.equal(parameter, shared[name]) for name, parameter in full.named_parameters() if name in shared)


@ENCODERS
@pytest.mark.parametrize("head_transform", [True, False])
def test_tying_saves_exactly_v_times_h_and_closed_forms_count_the_model(encoder: str, head_transform: bool) -> None:
    totals = {}
    for tie in (True, False):
        config = toy_model(encoder=encoder, head_transform=head_transform, tie_word_embeddings=tie)
        measured = measure_parameters(build_model(config, VOCAB_SIZE, seed=0))
        assert measured == count_config("toy", config.config_json(VOCAB_SIZE)).groups
        totals[tie] = sum(measured.values())
    assert totals[False] - totals[True] == VOCAB_SIZE * toy_model().hidden_size


@pytest.mark.parametrize("tie", [True, False])
def test_a_model_that_lies_about_its_tie_is_refused(tie: bool) -> None:
    model = build_model(toy_model(tie_word_embeddings=tie), VOCAB_SIZE, seed=0)
    weight = model.embeddings.word_embeddings.weight
    model.head.decoder.weight = torch.nn.Parameter(weight.detach().clone()) if tie else weight
    with pytest.raises(TieError, match=f"in a test: tie_word_embeddings={tie}"):
        check_tie(model, "in a test")


@pytest.mark.parametrize("tie", [True, False])
def test_a_saved_model_comes_back_with_its_tie(tie: bool, tmp_path: Path) -> None:
    model = build_model(toy_model(tie_word_embeddings=tie), VOCAB_SIZE, seed=0)
    num_bytes = save_model(model, VOCAB_SIZE, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.is_tied is tie
    ids, positions, _ = example()
    assert torch.equal(loaded(ids, positions), model(ids, positions))
    stored = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert stored < num_bytes < stored + 4_000


def test_word_embeddings_have_the_gradient_of_the_library_s() -> None:
    ours, library = WordEmbeddings(5, 3), torch.nn.Embedding(5, 3)
    library.weight.data.copy_(ours.weight.data)
    ids = torch.tensor([[0, 4, 4], [2, 0, 4]])  # rows read more than once, and never
    factors = torch.randn(2, 3, 3)
    for table in (ours, library):
        for _ in range(2):  # the second is added to the first
            (table(ids) * factors).sum().backward()
    assert_close(ours.weight.grad, library.weight.grad)
    with torch.no_grad():
        assert not ours(ids).requires_grad


@ENCODERS
def test_a_prediction_sees_both_sides(encoder: str) -> None:
    model = build_model(toy_model(encoder=encoder), VOCAB_SIZE, seed=0)
    seen: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    model.embeddings.word_embeddings.register_forward_hook(keep)
    ids, _, _ = example(num_rows=2)
    model(ids, torch.full((2, 1), 5)).logsumexp(-1).sum().backward()
    reach = seen[0].grad.abs().sum(-1) > 0
    assert torch.equal(reach, ids != PAD_ID)  # everything but padding, left and right of position 5


@ENCODERS
def test_padding_changes_nothing(encoder: str) -> None:
    model = build_model(toy_model(encoder=encoder), VOCAB_SIZE, seed=0).eval()
    ids = example(num_rows=1)[0][:, :9]
    padded = torch.nn.functional.pad(ids, (0, 5), value=PAD_ID)
    positions = torch.tensor([[0, 4, 8]])
    assert_close(model(ids, positions), model(padded, positions))


@pytest.mark.parametrize("padded", [False, True])
def test_plain_attention_is_what_the_fused_kernel_computes(padded: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4, generator=generator) for _ in range(3))
    is_padding = torch.zeros(2, 7, dtype=torch.bool)
    is_padding[1, 5:] = padded
    fused = torch.nn.functional.scaled_dot_product_attention
    expected = fused(query, key, value, attn_mask=~is_padding[:, None, None, :])
    assert_close(attend(query, key, value, is_padding, 0.0), expected)


def test_positions_are_gathered_as_a_loop_would() -> None:
    hidden_states = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[0, 5], [2, 2], [4, 1]])
    rows = [[hidden_states[row, column] for column in columns] for row, columns in enumerate(positions)]
    looped = torch.stack([torch.stack(row) for row in rows])
    assert torch.equal(gather_positions(hidden_states, positions), looped)


@ENCODERS
def test_a_last_layer_at_a_few_positions_is_the_whole_layer_there(encoder: str) -> None:
    model = build_model(toy_model(encoder=encoder), VOCAB_SIZE, seed=0).double()
    ids, positions, _ = example()
    embedded, is_padding = model.embeddings(ids), ids == PAD_ID
    every_position = torch.arange(ids.shape[1]).expand_as(ids)
    few = model.encoder(embedded, positions, is_padding)
    all_then_few = gather_positions(model.encoder(embedded, every_position, is_padding), positions)
    assert_close(few, all_then_few)
    parameters = list(model.encoder.parameters())
    gradients = (torch.autograd.grad(out.pow(3).sum(), parameters, retain_graph=True) for out in (few, all_then_few))
    for ours, theirs in zip(*gradients, strict=True):
        assert_close(ours, theirs)


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


def test_no_model_is_saved_or_loaded_whose_tie_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(toy_model(), VOCAB_SIZE, seed=0)
    save_model(model, VOCAB_SIZE, tmp_path / "whole.safetensors")
    monkeypatch.setattr(MaskedLM, "is_tied", property(lambda _: False))
    with pytest.raises(TieError, match=r"after loading .*whole\.safetensors"):
        load_model(tmp_path / "whole.safetensors")
    with pytest.raises(TieError, match="before saving"):
        save_model(model, VOCAB_SIZE, tmp_path / "lost.safetensors")
    assert not (tmp_path / "lost.safetensors").exists()


def test_logits_lie_where_those_before_lay() -> None:
    """Else every step is given new memory for them, page by page."""
    weight = torch.randn(17, 8)
    logits = [make_logits(torch.randn(num_rows, 8), weight) for num_rows in (50, 3, 50)]
    assert len({one.data_ptr() for one in logits}) == 1


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


@ENCODERS
def test_under_bf16_layers_hand_on_bf16_and_gradients_of_parameters_are_fp32(encoder: str) -> None:
    model = build_model(toy_model(encoder=encoder), VOCAB_SIZE, seed=0)
    handed_on: list[torch.dtype] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        handed_on.append(output.dtype)

    for layer in model.encoder.layers:
        layer.register_forward_hook(keep)
    ids, positions, targets = example()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(MaskedBatch(ids, positions, targets, torch.ones(positions.shape)))
    loss.backward()
    assert handed_on == [torch.bfloat16] * len(model.encoder.layers)
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}


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


@ENCODERS
@pytest.mark.parametrize("tie", [True, False])
def test_an_untrained_model_is_as_good_as_a_uniform_guess(encoder: str, tie: bool) -> None:
    config = toy_model(encoder=encoder, hidden_size=128, num_attention_heads=4, tie_word_embeddings=tie)
    model = build_model(config, 10_000, seed=0)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 10_000, (16, 32), generator=generator)
    positions = torch.arange(10).expand(16, 10)
    loss = score(model(ids, positions), ids[:, :10])[0].mean().item()
    assert loss == pytest.approx(math.log(10_000), rel=0.03)


def test_seeds_differ() -> None:
    first, second = (build_model(toy_model(), VOCAB_SIZE, seed).embeddings.word_embeddings.weight for seed in (0, 1))
    assert not torch.equal(first, second)


def test_one_line_of_model_code_asks_whether_to_tie() -> None:
    """Every module that touches a model; what describes one, and cannot import torch, may name the flag."""
    lines = set()
    for module in (module for module in MODULES if not without_torch(module)):
        for node in ast.walk(syntax(module)):
            name = getattr(node, "attr", getattr(node, "value", None))  # an attribute, or a string as in getattr
            if name == "tie_word_embeddings":
                lines.add((module, getattr(node, "lineno", 0)))
    assert {module for module, _ in lines} == {"model.masked_lm"}
    source = Path(tiedlm.model.masked_lm.__file__).read_text().splitlines()
    in_model = [source[number - 1].strip() for _, number in sorted(lines)]
    assert in_model[0].startswith("if config.tie_word_embeddings:")
    assert "!= model.config.tie_word_embeddings" in in_model[1]  # the measurement, and its message
    assert len(in_model) == 3

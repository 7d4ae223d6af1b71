"""The model's properties: the tie, pairing, direction, and what the head computes."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import tiedlm.model.masked_lm
from tests.conftest import toy_model
from tests.test_architecture import MODULES, syntax, without_torch
from tiedlm.counting.closed_forms.parameters import count_config
from tiedlm.masked_batch import PAD_ID, MaskedBatch
from tiedlm.model.attention import attend, gather_positions
from tiedlm.model.embeddings import WordEmbeddings
from tiedlm.model.masked_lm import MaskedLM, TieError, build_model, check_tie, measure_parameters
from tiedlm.model.prediction_scores import score
from tiedlm.model.saved_model import load_model, save_model

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


@ENCODERS
@pytest.mark.parametrize("tie", [True, False])
def test_the_heads_dense_layer_alone_starts_with_a_part_of_the_identity(encoder: str, tie: bool) -> None:
    plain, with_identity = (
        build_model(toy_model(encoder=encoder, tie_word_embeddings=tie, **given), VOCAB_SIZE, seed=0).state_dict()
        for given in ({}, {"head_dense_identity": 0.25})
    )
    dense = "head.transform.dense.weight"
    assert_close(with_identity[dense], plain[dense] + 0.25 * torch.eye(toy_model().hidden_size), rtol=0, atol=0)
    assert all(torch.equal(tensor, with_identity[name]) for name, tensor in plain.items() if name != dense)


def test_a_part_of_the_identity_is_written_where_there_is_one_alone() -> None:
    """So a record of before has the digest that it had."""
    assert "head_dense_identity" not in toy_model().model_dump()
    given = toy_model(head_dense_identity=0.25)
    assert given.model_dump()["head_dense_identity"] == 0.25
    assert type(given).model_validate_json(given.model_dump_json()) == given


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
    num_bytes, _ = save_model(model, VOCAB_SIZE, tmp_path / "model.safetensors")
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


def test_no_model_is_saved_or_loaded_whose_tie_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(toy_model(), VOCAB_SIZE, seed=0)
    save_model(model, VOCAB_SIZE, tmp_path / "whole.safetensors")
    monkeypatch.setattr(MaskedLM, "is_tied", property(lambda _: False))
    with pytest.raises(TieError, match=r"after loading .*whole\.safetensors"):
        load_model(tmp_path / "whole.safetensors")
    with pytest.raises(TieError, match="before saving"):
        save_model(model, VOCAB_SIZE, tmp_path / "lost.safetensors")
    assert not (tmp_path / "lost.safetensors").exists()


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
    for place in ("exchange.exported_config", "exchange.foreign_loading"):
        of_files = {(module, number) for module, number in lines if module == place}
        assert len(of_files) == 1  # the tie that was measured is written, a stranger's flag is held to its weights
        lines -= of_files
    assert {module for module, _ in lines} == {"model.masked_lm"}
    source = Path(tiedlm.model.masked_lm.__file__).read_text().splitlines()
    in_model = [source[number - 1].strip() for _, number in sorted(lines)]
    assert in_model[0].startswith("if config.tie_word_embeddings:")
    assert in_model[1].startswith("self.config = self.config.model_copy(")  # it is untied, and says so
    assert "!= model.config.tie_word_embeddings" in in_model[2]  # the measurement, and its message
    assert len(in_model) == 4

"""Both encoders and the head against `transformers`, by copying weights."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from tests.conftest import toy_model
from tiedlm.data.masking import mask_blocks
from tiedlm.masked_batch import PAD_ID
from tiedlm.model.linear_and_norm import LAYER_NORM_EPS
from tiedlm.model.masked_lm import MaskedLM, build_model

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
VOCAB_SIZE = 60
Names = dict[str, list[str]]  # the start of our name → the starts of theirs, whose tensors are stacked
Build = Callable[[MaskedLM], tuple[torch.nn.Module, Names]]


def bert(model: MaskedLM) -> tuple[torch.nn.Module, Names]:
    """`BertForMaskedLM` of the same shape, and its name for each of our tensors."""
    config = model.config
    theirs = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_position_embeddings,
            tie_word_embeddings=config.tie_word_embeddings,
            pad_token_id=PAD_ID,
        )
    )
    names = {
        "embeddings.": ["bert.embeddings."],
        "embeddings.norm": ["bert.embeddings.LayerNorm"],
        "head.transform.dense": ["cls.predictions.transform.dense"],
        "head.transform.norm": ["cls.predictions.transform.LayerNorm"],
        "head.decoder": ["cls.predictions.decoder"],
    }
    for index in range(config.num_hidden_layers):
        mine, other = f"encoder.layers.{index}.", f"bert.encoder.layer.{index}."
        names |= {
            f"{mine}attention.query_key_value": [f"{other}attention.self.{part}" for part in ("query", "key", "value")],
            f"{mine}attention.output": [f"{other}attention.output.dense"],
            f"{mine}attention_norm": [f"{other}attention.output.LayerNorm"],
            f"{mine}intermediate": [f"{other}intermediate.dense"],
            f"{mine}output.": [f"{other}output.dense."],
            f"{mine}output_norm": [f"{other}output.LayerNorm"],
        }
    return theirs, names


def modernbert(model: MaskedLM) -> tuple[torch.nn.Module, Names]:
    """`ModernBertForMaskedLM` with every layer global, and its name for each of our tensors."""
    config = model.config
    theirs = transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_position_embeddings,
            tie_word_embeddings=config.tie_word_embeddings,
            layer_types=["full_attention"] * config.num_hidden_layers,
            rope_parameters={
                kind: {"rope_type": "default", "rope_theta": config.rope_theta}
                for kind in ("full_attention", "sliding_attention")  # version 5.0 asks for both
            },
            pad_token_id=PAD_ID,
            attn_implementation="eager",
            reference_compile=False,
        )
    )
    names = {
        "embeddings.word_embeddings": ["model.embeddings.tok_embeddings"],
        "embeddings.norm": ["model.embeddings.norm"],
        "encoder.final_norm": ["model.final_norm"],
        "head.transform.dense": ["head.dense"],
        "head.transform.norm": ["head.norm"],
        "head.decoder": ["decoder"],
    }
    for index in range(config.num_hidden_layers):
        mine, other = f"encoder.layers.{index}.", f"model.layers.{index}."
        names |= {
            f"{mine}attention.query_key_value": [f"{other}attn.Wqkv"],
            f"{mine}attention.output": [f"{other}attn.Wo"],
            f"{mine}attention_norm": [f"{other}attn_norm"],
            f"{mine}mlp_norm": [f"{other}mlp_norm"],
            f"{mine}intermediate": [f"{other}mlp.Wi"],
            f"{mine}output.": [f"{other}mlp.Wo."],
        }
    return theirs, names


def copy_weights(model: MaskedLM, theirs: torch.nn.Module, names: Names, std: float = 0.2) -> None:
    """Draw every tensor of theirs anew, norms and biases included, and copy all of them into ours."""
    generator = torch.Generator().manual_seed(0)
    for parameter in theirs.parameters():
        parameter.data.normal_(std=std, generator=generator)
    source = dict(theirs.named_parameters(remove_duplicate=False))
    for name, parameter in model.named_parameters():
        prefix = max((prefix for prefix in names if name.startswith(prefix)), key=len)
        parts = [source[other + name.removeprefix(prefix)] for other in names[prefix]]
        parameter.data.copy_(torch.cat(parts))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize(("encoder", "build"), [("bert", bert), ("modernbert", modernbert)])
def test_logits_equal_those_of_transformers(encoder: str, build: Build, tie: bool, padded: bool) -> None:
    config = toy_model(encoder=encoder, tie_word_embeddings=tie, num_hidden_layers=3, num_attention_heads=4)
    model = build_model(config, VOCAB_SIZE, seed=0).eval()
    theirs, names = build(model)
    copy_weights(model, theirs.eval(), names)
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(3, VOCAB_SIZE, (4, 20), generator=generator)
    if padded:
        for row, num_padded in enumerate((0, 1, 7, 15)):
            input_ids[row, 20 - num_padded :] = PAD_ID
    positions = torch.tensor([[0, 1, 3, 4]]).expand(4, 4)
    with torch.no_grad():
        expected = theirs(input_ids=input_ids, attention_mask=(input_ids != PAD_ID).long()).logits
        ours = model(input_ids, positions)
    assert_close(ours, expected[:, [0, 1, 3, 4]], atol=1e-5, rtol=0)
    assert expected.std() > 0.2  # so that 1e-5 is small against what is compared


@pytest.mark.parametrize(("encoder", "build"), [("bert", bert), ("modernbert", modernbert)])
def test_fifty_steps_of_training_equal_those_of_transformers(encoder: str, build: Build) -> None:
    """Equal weights, batches, masks and AdamW: the loss curves agree to 1e-4 nats."""
    config = toy_model(encoder=encoder, num_hidden_layers=2)
    model = build_model(config, VOCAB_SIZE, seed=0).train()
    theirs, names = build(model)
    theirs.config.hidden_dropout_prob = theirs.config.attention_probs_dropout_prob = 0.0
    for module in theirs.train().modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    copy_weights(model, theirs, names, std=0.1)  # with less, attention hardly matters
    optimizers = [torch.optim.AdamW(one.parameters(), lr=1e-2, weight_decay=0.1) for one in (model, theirs)]
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(3, 12, (64, 16), generator=generator)  # few words, so that there is something to learn
    losses = []
    for step in range(50):
        batch = mask_blocks(blocks[step % 8 :: 8], 0.3, VOCAB_SIZE, generator)
        labels = torch.full_like(batch.input_ids, -100).scatter(1, batch.masked_lm_positions, batch.masked_lm_ids)
        pair = model.loss(batch), theirs(input_ids=batch.input_ids, labels=labels).loss
        for optimizer, loss in zip(optimizers, pair, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append([loss.item() for loss in pair])
    ours, expected = torch.tensor(losses).T
    assert_close(ours, expected, atol=1e-4, rtol=0)
    assert expected[0] - expected[-5:].mean() > 1.0  # something was learned


def test_the_constants_are_those_of_the_originals() -> None:
    theirs = transformers.ModernBertConfig()
    assert theirs.norm_eps == LAYER_NORM_EPS["modernbert"]
    assert transformers.BertConfig().layer_norm_eps == LAYER_NORM_EPS["bert"]


@pytest.mark.parametrize(("encoder", "build"), [("bert", bert), ("modernbert", modernbert)])
def test_tying_saves_v_times_h_in_transformers_too(encoder: str, build: Build) -> None:
    totals = []
    for tie in (False, True):
        theirs, _ = build(build_model(toy_model(encoder=encoder, tie_word_embeddings=tie), VOCAB_SIZE, seed=0))
        totals.append(sum(parameter.numel() for parameter in theirs.parameters()))
    unread_bias_copy = VOCAB_SIZE if encoder == "bert" else 0  # untied, its BERT head splits the bias alias too
    assert totals[0] - totals[1] == VOCAB_SIZE * toy_model().hidden_size + unread_bias_copy

"""Active parameters of mixtures of experts: published figures, and what receives a gradient from one token."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.counting.shrunk_models import shrunk
from tests.counting.test_families import torch, transformers
from tiedlm.api.count import count_params
from tiedlm.counting.built.routed_experts import find_routing
from tiedlm.counting.counted_model import counted_model
from tiedlm.counting.cross_check import answer_config

PUBLISHED: dict[str, tuple[dict[str, Any], float, float, bool]] = {  # sizes, total and active in billions as published
    "Mixtral-8x7B": (  # arXiv 2401.04088, §1: 47 B and 13 B; mistral.ai: 12.9 B
        {"model_type": "mixtral", "num_key_value_heads": 8},
        46.7,
        12.9,
        True,
    ),
    "Qwen1.5-MoE-A2.7B": (  # its name, and qwenlm.github.io/blog/qwen-moe: 14.3 B and 2.7 B
        {
            "model_type": "qwen2_moe",
            "moe_intermediate_size": 1_408,
            "shared_expert_intermediate_size": 5_632,
            "num_experts": 60,
            "num_experts_per_tok": 4,
        },
        14.3,
        2.7,
        True,
    ),
    "OLMoE-1B-7B": (  # arXiv 2409.02060, table 1: 6.9 B and 1.3 B
        {"model_type": "olmoe", "intermediate_size": 1_024},
        6.9,
        1.3,
        True,
    ),
    "gpt-oss-20b": (  # arXiv 2508.10925, table 1: 20.91 B and 3.61 B, without the embeddings and with the output matrix
        {"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32, "num_experts_per_tok": 4},
        20.91,
        3.61,
        False,
    ),
    "Qwen3-30B-A3B": (  # its model card: 30.5 B and 3.3 B
        {
            "model_type": "qwen3_moe",
            "hidden_size": 2_048,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "moe_intermediate_size": 768,
            "num_experts": 128,
            "num_experts_per_tok": 8,
        },
        30.5,
        3.3,
        True,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    config, total, active, with_embeddings = PUBLISHED[name]
    count = answer_config(name, config | {"tie_word_embeddings": False}).count
    ours = count.active if with_embeddings else count.active_without_word_embeddings
    assert ours is not None
    for number, published in ((ours, active), (count.total, total)):  # some round, some cut
        assert abs(number / 1e9 - published) < 10 ** -len(str(published).partition(".")[2])


def idle_by_gradient(model: Any) -> int:
    """Elements of experts that get no gradient from one token, an expert being an index of the first dimension."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    ids = torch.tensor([[5]])
    decoder = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    model.eval()(input_ids=ids, use_cache=False, **decoder).logits.square().sum().backward()
    idle = 0
    for name, parameter in model.named_parameters():
        if "experts" in name and "shared" not in name:
            by_expert = re.search(r"expert_\d", name) is None
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            rows = gradient.reshape(4 if by_expert else 1, -1)
            idle += int((rows.abs().sum(1) == 0).sum()) * rows.shape[1]
    return idle


@pytest.mark.parametrize(
    "class_name",
    [
        "MixtralForCausalLM",
        "Qwen2MoeForCausalLM",
        "Qwen3MoeForCausalLM",
        "OlmoeForCausalLM",
        "DeepseekV3ForCausalLM",
        "GptOssForCausalLM",
        "GraniteMoeForCausalLM",
        "JambaForCausalLM",
        "SwitchTransformersForConditionalGeneration",
        "NllbMoeForConditionalGeneration",
    ],
)
def test_the_experts_that_a_token_is_not_sent_to_get_no_gradient(class_name: str) -> None:
    raw = shrunk(class_name)
    model_type = raw.pop("model_type")
    wanted = {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
    wanted |= {"encoder_sparse_step": 1, "decoder_sparse_step": 1}  # else so few layers have no experts
    raw |= {key: value for key, value in wanted.items() if key in raw}
    config = transformers.AutoConfig.for_model(model_type, **raw, attn_implementation="eager")
    model = getattr(transformers, class_name)(config)
    routing = find_routing(model)
    assert routing is not None
    assert routing.idle == idle_by_gradient(model) > 0


def test_a_router_with_places_for_no_expert_tells_no_number() -> None:
    """LongCat sends some tokens to fewer experts than others."""
    config = transformers.LongcatFlashConfig(
        num_layers=1,
        hidden_size=32,
        num_attention_heads=2,
        n_routed_experts=4,
        zero_expert_num=4,
        moe_topk=2,
        ffn_hidden_size=48,
        expert_ffn_hidden_size=16,
        vocab_size=50,
    )
    with torch.device("meta"):
        routing = find_routing(transformers.LongcatFlashForCausalLM(config))
    assert routing is not None
    assert (routing.experts, routing.idle) == ((), None)


def test_stored_weights_have_the_active_parameters_of_their_configuration(tmp_path: Path) -> None:
    raw = shrunk("MixtralForCausalLM")
    raw.pop("model_type")
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(**raw))
    model.save_pretrained(tmp_path)
    stored, planned = (count_params(path).count for path in (tmp_path, tmp_path / "config.json"))
    assert stored.active == planned.active == model.num_parameters() - 2 * (4 - 2) * 3 * 32 * 48
    assert counted_model(count_params("gpt2")).active is None

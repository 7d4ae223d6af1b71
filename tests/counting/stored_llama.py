"""A Llama of two layers as its tensors and its configuration, for files that no library writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tests.counting.test_families import torch
from tiedlm.api.count import count_params
from tiedlm.errors import InputError

V, H, F = 96, 32, 64
LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": V,
    "hidden_size": H,
    "num_hidden_layers": 2,
    "intermediate_size": F,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
TIED_TOTAL = V * H + 2 * (3 * H * F + 2 * H * H + 2 * 16 * H + 2 * H) + H


def llama(tied: bool = True) -> dict[str, Any]:
    """Its tensors by the names of `transformers`."""
    torch.manual_seed(0)
    shapes = {"model.embed_tokens.weight": (V, H), "model.norm.weight": (H,)}
    for layer in ("model.layers.0.", "model.layers.1."):
        shapes |= {
            f"{layer}self_attn.q_proj.weight": (H, H),
            f"{layer}self_attn.k_proj.weight": (16, H),
            f"{layer}self_attn.v_proj.weight": (16, H),
            f"{layer}self_attn.o_proj.weight": (H, H),
            f"{layer}mlp.gate_proj.weight": (F, H),
            f"{layer}mlp.up_proj.weight": (F, H),
            f"{layer}mlp.down_proj.weight": (H, F),
            f"{layer}input_layernorm.weight": (H,),
            f"{layer}post_attention_layernorm.weight": (H,),
        }
    if not tied:
        shapes["lm_head.weight"] = (V, H)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def stored(path: Path, tensors: dict[str, Any]) -> Path:
    """As a `.safetensors` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def refusal(path: object) -> str:
    """The sentence with which `count-params` refuses a path."""
    try:
        answer = count_params(str(path))
    except InputError as error:
        assert str(error).isprintable()  # noqa: PT017 (it is returned)
        return str(error)
    raise AssertionError(f"{path} was counted: {answer.count.total:,} parameters, notes {answer.notes}")

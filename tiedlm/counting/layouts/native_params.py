"""The `params.json` of Mistral's and Meta's own files → the `config.json` that `transformers` would have for them.

Keys as in vLLM (`transformers_utils/configs/mistral.py`), the width of Meta's feed-forward layers as in Meta's
`llama/model.py` (`FeedForward`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiedlm.counting.stored.json_file import read_json

FILE = "params.json"
WEIGHTS = ("consolidated.safetensors", "consolidated.safetensors.index.json", "consolidated.00.pth")
"""What lies beside it."""
TIE_KEY = "tied_embeddings"
SIZES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "vocab_size": "vocab_size",
}
OTHER_MODELS = ("vision_encoder", "multimodal", "qk_nope_head_dim", "quantized_kv", "model_type", "ple_dim")
"""Keys of models that are no Mistral, Mixtral or Llama: their tensors alone tell them."""
WHO_SAYS = {True: f"{TIE_KEY} in {FILE}", False: f"the default of Mistral's loaders ({FILE} has no {TIE_KEY})"}
"""Who decides the tie, by whether the key is there."""


def is_native(path: Path) -> bool:
    """Whether a file of weights is one that `params.json` describes."""
    return path.name.startswith("consolidated") and (path.parent / FILE).is_file()


def read_params(path: Path) -> dict[str, Any] | None:
    """The configuration that a `params.json` stands for; None where it is of a model that is not known here.

    Raises:
        UnreadableJson: it cannot be read.
    """
    raw = read_json(path)
    if any(raw.get(key) for key in OTHER_MODELS) or not {"dim", "n_layers", "n_heads"} <= raw.keys():
        return None
    config: dict[str, Any] = {new: raw[old] for old, new in SIZES.items() if raw.get(old) is not None}
    config.setdefault("num_key_value_heads", raw["n_heads"])
    width = _meta_width(raw)
    if width is not None:
        config["intermediate_size"] = width
    experts = raw.get("moe")
    if isinstance(experts, Mapping) and experts:
        if experts.get("num_shared_experts") or not {"num_experts", "num_experts_per_tok"} <= experts.keys():
            return None
        config |= {
            "model_type": "mixtral",
            "architectures": ["MixtralForCausalLM"],
            "num_local_experts": experts["num_experts"],
            "num_experts_per_tok": experts["num_experts_per_tok"],
        }
    else:
        config |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    if width is None or TIE_KEY in raw:  # Meta's loader knows no tie, and its files of tied models hold both
        config["tie_word_embeddings"] = raw.get(TIE_KEY, False)
    return config if config.get("vocab_size") != -1 else None  # Meta's Llama 2 leaves it to the tokenizer


def who_says(path: Path) -> str:
    """Who decides the tie by a `params.json`."""
    return WHO_SAYS[TIE_KEY in read_json(path)]


def _meta_width(raw: Mapping[str, Any]) -> int | None:
    """Of a feed-forward layer by Meta's keys: two thirds of four times the width, times a factor, rounded up."""
    dim, multiple, factor = raw["dim"], raw.get("multiple_of"), raw.get("ffn_dim_multiplier")
    if type(dim) is not int or type(multiple) is not int or multiple < 1 or raw.get("hidden_dim") is not None:
        return None
    width = 2 * 4 * dim // 3
    if isinstance(factor, int | float) and 0 < factor < 1_000:
        width = int(factor * width)
    return -(-width // multiple) * multiple

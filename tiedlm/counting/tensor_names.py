"""What a stored tensor is, by its name: a group of parameters, a buffer, or packed weights."""

from __future__ import annotations

import functools
import re

from tiedlm.counting.safetensors_header import StoredTensor

# A file has names, types and shapes, and nothing else tells what a tensor is. These are parts of the names that the
# classes of `transformers` give, Meta's and Mistral's own files, Mamba and our models; `#` is a number and `^` the
# beginning. The first group that fits counts.
GROUP_NAMES = {
    "word_embeddings": (
        "word_embeddings.weight",
        "tok_embeddings.weight",
        "embed_tokens.weight",
        "wte.weight",
        "shared.weight",
        "embed_in.weight",
        "^embeddings.weight",
        "^backbone.embeddings.weight",
    ),
    "decoder_weight": (
        "decoder.weight",
        "lm_head.weight",
        "vocab_projector.weight",
        "generator_lm_head.weight",
        "embed_out.weight",
        "^output.weight",
    ),
    "decoder_bias": (
        "decoder.bias",
        "predictions.bias",
        "lm_head.bias",
        "vocab_projector.bias",
        "generator_lm_head.bias",
    ),
    "pooler": ("pooler",),
    "next_sentence_head": ("seq_relationship",),
    "head_transform": (
        "predictions.transform",
        "predictions.dense",
        "predictions.LayerNorm",
        "lm_head.dense",
        "lm_head.layer_norm",
        "lm_head.LayerNorm",
        "vocab_transform",
        "vocab_layer_norm",
        "generator_predictions",
        "head.transform",
        "head.dense",
        "head.norm",
        "project_out",
    ),
    "position_embeddings": (
        "position_embeddings",
        "wpe",
        "embed_positions",
        "rel_embeddings",
        "encoder.LayerNorm",
        "relative_attention_bias",
    ),
    "token_type_embeddings": ("token_type_embeddings",),
    "embedding_projection": ("embedding_hidden_mapping_in", "embeddings_project", "embed_proj", "project_in"),
    "decoder_layers": ("decoder.block.#", "decoder.layers.#", "h.#", "gpt_neox.layers.#"),
    "encoder_layers": ("layer.#", "layers.#", "block.#", "albert_layer_groups.#"),
    "embeddings_norm": ("embeddings.LayerNorm", "embeddings.norm"),
    "final_norm": ("ln_f", "norm", "final_norm", "final_layer_norm"),
}
BUFFER_NAMES = {
    "causal masks": ("attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias"),
    "rotary frequencies": ("inv_freq",),
}
PACKED_DTYPES = ("U8", "I8", "U16", "I16", "U32", "I32")


def group_of(tensor: StoredTensor, layers_group: str | None) -> str:
    """The group of a parameter, or `other`; layers whose names tell no more are of `layers_group`, or `layers`."""
    group = _fit(_path(tensor), "parameters") or "other"
    if group in ("word_embeddings", "decoder_weight") and (len(tensor.shape) != 2 or not tensor.num_elements):
        return "other"
    return layers_group or "layers" if group == "encoder_layers" else group


def kind_of_buffer(tensor: StoredTensor) -> str | None:
    """What a tensor is that is no parameter; None for a parameter."""
    kind = _fit(_path(tensor), "buffers")
    if kind == "causal masks" and tensor.is_floating and len(tensor.shape) == 1:
        return None  # a bias that is one
    return kind or (None if tensor.is_floating else "whole numbers (positions, masks)")


def is_packed(tensor: StoredTensor) -> bool:
    """Whether it is a quantised matrix, several weights to a number (GPTQ, AWQ, bitsandbytes, MLX)."""
    return tensor.dtype in PACKED_DTYPES and len(tensor.shape) >= 2 and _fit(_path(tensor), "buffers") is None


def _path(tensor: StoredTensor) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", f".{tensor.name}.")


@functools.cache  # the layers of a model have their names in common
def _fit(path: str, table: str) -> str | None:
    names = GROUP_NAMES if table == "parameters" else BUFFER_NAMES
    return next((group for group, parts in names.items() if any(_is_part(part, path) for part in parts)), None)


def _is_part(part: str, path: str) -> bool:
    return path.startswith(f".{part[1:]}.") if part.startswith("^") else f".{part}." in path

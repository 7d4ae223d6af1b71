"""What a stored tensor is to its model: a parameter of some group, no parameter, or packed weights.

What is no parameter is in `not_parameters`, and comes after what a class at hand knows.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from tiedlm.counting.stored.kind_row import Beside
from tiedlm.counting.stored.not_parameters import PACKED, WHOLE, is_packed_weight, kind_by_name
from tiedlm.counting.stored.safetensors_header import StoredTensor

# A file has names, types and shapes, and nothing else tells what a tensor is. These are parts of the names that the
# classes of `transformers` give, Meta's, Mistral's and llama.cpp's own files, Mamba and our models; `#` is a number and
# `^` the beginning. The first group that fits counts.
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
        "word_embedding.weight",
        "^transformer.w.weight",
        "^token_embd.weight",
    ),
    "decoder_weight": (
        "decoder.weight",
        "lm_head.weight",
        "vocab_projector.weight",
        "generator_lm_head.weight",
        "embed_out.weight",
        "^output.weight",
        "language_model.output.weight",
        "^transformer.output_layer.weight",
        "pred_layer.proj.weight",
        "lm_head.out_proj.weight",
    ),
    "decoder_bias": (
        "decoder.bias",
        "predictions.bias",
        "lm_head.bias",
        "vocab_projector.bias",
        "generator_lm_head.bias",
        "lm_loss.bias",
        "pred_layer.proj.bias",
        "^output.bias",
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
        "^position_embd",
        "attn_rel_b",
    ),
    "token_type_embeddings": ("token_type_embeddings", "^token_types"),
    "embedding_projection": ("embedding_hidden_mapping_in", "embeddings_project", "embed_proj", "project_in"),
    "decoder_layers": ("decoder.block.#", "decoder.layers.#", "h.#", "gpt_neox.layers.#", "^dec.blk.#"),
    "encoder_layers": ("^blk.#", "^enc.blk.#", "layer.#", "layers.#", "block.#", "albert_layer_groups.#"),
    "embeddings_norm": ("embeddings.LayerNorm", "embeddings.norm", "^token_embd_norm"),
    "final_norm": (
        "^output_norm",
        "^enc.output_norm",
        "^dec.output_norm",
        "ln_f",
        "norm",
        "final_norm",
        "final_layer_norm",
    ),
}


EMBEDDING = re.compile(r"emb|(^|[._])(tok|word_?vec(tor)?s?)\.weight$")
OF_NO_WORDS = re.compile(
    r"(?<![a-z])(pos(itions?|itional)?(emb\w*)?|(token)?types?|seg(ments?)?|patch(es)?|time(steps?)?|(layer|rms)?norm)(?![a-z])"
    r"|(?<![^.])layers?\.\d"
)
"""Of embeddings of positions and such, by whole words, and of those in a model's layers; `emb_layers.0` are words'."""


@dataclass(frozen=True)
class Layout:
    """What a model that was built reads the tensors of a file as; its names come before the tables of this module."""

    inputs: frozenset[str] = frozenset()
    """Names of the embedding matrix that look up; where it is tied, none of these is the output's."""
    outputs: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    buffers: frozenset[str] = frozenset()


UNKNOWN = Layout()


def group_of(name: str, shape: tuple[int, ...], layers_group: str | None, layout: Layout = UNKNOWN) -> str:
    """The group of a parameter, or `other`; layers whose names tell no more are of `layers_group`, or `layers`."""
    is_matrix = len(shape) == 2 and 0 not in shape
    if is_matrix and name in layout.inputs | layout.outputs:
        return "word_embeddings" if name in layout.inputs else "decoder_weight"
    group = _fit(_path(name)) or "other"
    if group in ("word_embeddings", "decoder_weight") and (not is_matrix or name in layout.parameters):
        return "other"
    return layers_group or "layers" if group == "encoder_layers" else group


def kind_of_buffer(tensor: StoredTensor, layout: Layout = UNKNOWN, beside: Beside = None) -> str | None:
    """What a tensor is that is no parameter; None for a parameter.

    `beside`: the model's tensors by their names, which tell a scale from a parameter called `scale`; without them only
    names that no parameter has tell.
    """
    if tensor.name in layout.parameters or (tensor.is_parameter and tensor.is_floating):
        return PACKED if is_packed_weight(tensor, beside) else None
    kind = kind_by_name(tensor, beside)
    if kind is None and tensor.name in layout.buffers:
        return "buffers of its class"
    if kind is None and is_packed_weight(tensor, beside):
        return PACKED
    return kind or (None if tensor.is_floating else WHOLE)


def is_packed(tensor: StoredTensor, layout: Layout = UNKNOWN, beside: Beside = None) -> bool:
    """Whether it is a quantised matrix of whole numbers (GPTQ, AWQ, bitsandbytes, MLX), and no buffer of its class."""
    return tensor.name not in layout.buffers and is_packed_weight(tensor, beside)


def is_embedding(tensor: StoredTensor) -> bool:
    """Whether a packed tensor stands for one of the two matrices: `lm_head.qweight`, `model.embed_tokens.weight`."""
    return is_known_matrix(f"{tensor.name.rpartition('.')[0]}.weight")


def is_known_matrix(name: str) -> bool:
    """Whether a name is of one of the two matrices."""
    return group_of(name, (1, 1), None) in ("word_embeddings", "decoder_weight")


def looks_like_embedding(name: str) -> bool:
    """Whether the name of an unknown matrix speaks of embeddings, and of none but words'."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return EMBEDDING.search(words) is not None and OF_NO_WORDS.search(words) is None


def _path(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", f".{name}.")


@functools.cache  # the layers of a model have their names in common
def _fit(path: str) -> str | None:
    return next((group for group, parts in GROUP_NAMES.items() if any(_is_part(part, path) for part in parts)), None)


def _is_part(part: str, path: str) -> bool:
    return path.startswith(f".{part[1:]}.") if part.startswith("^") else f".{part}." in path

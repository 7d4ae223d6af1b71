"""What a checkpoint really holds: its parameters by group, its one or two embedding matrices, and whether they are one.

Only headers are read, but for the bytes of tensors that may be copies of each other, which are compared.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tiedlm.counting import order_groups
from tiedlm.errors import InputError
from tiedlm.safetensors_header import StoredTensor

Copies = Literal["one", "identical", "different", "unknown"]
COMPARED_BYTES = 1 << 20

# A file has names, types and shapes, and nothing else tells what a tensor is. These are parts of the names that the
# classes of `transformers` and our own models give; `#` is a number, and the first group that fits counts.
GROUP_NAMES = {
    "word_embeddings": (
        "word_embeddings.weight",
        "tok_embeddings.weight",
        "embed_tokens.weight",
        "wte.weight",
        "shared.weight",
        "embed_in.weight",
    ),
    "decoder_weight": (
        "decoder.weight",
        "lm_head.weight",
        "vocab_projector.weight",
        "generator_lm_head.weight",
        "embed_out.weight",
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
WHOLE_NUMBERS = "whole numbers (positions, masks or packed weights)"


@dataclass(frozen=True)
class TieClaim:
    """What a configuration says of the file beside it."""

    ties: bool
    has_head: bool
    """Whether its class has an output matrix at all; a bare encoder has none to tie."""
    is_decoder: bool
    """Whether all its layers are a decoder's, which their names need not say."""


@dataclass(frozen=True)
class CheckpointCount:
    """What is stored, and what it says of the tie."""

    num_tensors: int
    num_bytes: int
    """Of all tensors."""
    dtypes: dict[str, int]
    """Stored elements by type."""
    groups: dict[str, int]
    """Parameters, each once: the second of two identical matrices is none."""
    input_embedding: StoredTensor
    output_embedding: StoredTensor | None
    copies: Copies
    """The matrix is stored once, twice alike, or the two differ; unknown where their bytes are not at hand."""
    duplicates: dict[str, int]
    """Tensors stored a second time → their elements, not counted again."""
    not_parameters: dict[str, int]
    """Kind of tensor that is no parameter → elements, not counted."""
    claim: TieClaim | None
    """None where no configuration is at hand."""

    @property
    def is_tied(self) -> bool:
        """As stored; where that is unknown, as the configuration says."""
        if self.copies == "unknown":
            return self.claim is not None and self.claim.ties
        return self.copies != "different"

    @property
    def mismatch(self) -> str | None:
        """In a sentence, how the configuration and the file contradict each other."""
        if self.claim is None:
            return None
        if self.claim.ties and self.copies == "different" and self.output_embedding:
            return (
                "the configuration says tied, but the file holds two different matrices, "
                f"{self.input_embedding.name} and {self.output_embedding.name}; a loader that ties them drops one"
            )
        if not self.claim.ties and self.claim.has_head and self.output_embedding is None:
            return (
                f"the configuration says untied, but beside {self.input_embedding.name} the file holds no output "
                "matrix; a loader that does not tie starts with a random one"
            )
        return None

    def document(self) -> dict[str, object]:
        """The `checkpoint` part of the JSON of `count-params --json`."""
        return {
            "num_tensors": self.num_tensors,
            "num_bytes": self.num_bytes,
            "dtypes": self.dtypes,
            "input_embedding": self.input_embedding.name,
            "output_embedding": self.output_embedding.name if self.output_embedding else None,
            "copies": self.copies,
            "duplicates": self.duplicates,
            "not_parameters": self.not_parameters,
            "config_ties": None if self.claim is None else self.claim.ties,
            "mismatch": self.mismatch,
        }


def count_checkpoint(tensors: list[StoredTensor], source: str, claim: TieClaim | None) -> CheckpointCount:
    """Sort tensors into groups by their names, and compare the matrices that may be one.

    Raises:
        InputError: no word-embedding matrix is known by its name.
    """
    by_group, not_parameters = _sort(tensors, claim)
    inputs, outputs = by_group.get("word_embeddings", []), by_group.get("decoder_weight", [])
    if not inputs and not outputs:
        total = sum(tensor.num_elements for group in by_group.values() for tensor in group)
        raise InputError(
            f"{source}: holds {total:,} parameters in {len(tensors):,} tensors, but none is known by its name as a "
            "word-embedding matrix, so there is no tie to speak of; give a language model"
        )
    # A tied matrix may be stored under the output's name alone; T5's has up to four names; BERT's bias has two.
    first, output = (inputs or outputs)[0], outputs[0] if inputs and outputs else None
    biases = by_group.get("decoder_bias", [])
    pairs = [(first, tensor) for tensor in (inputs + outputs)[1:]] + [(biases[0], tensor) for tensor in biases[1:]]
    compared = {second.name: _compare(one, second) for one, second in pairs}
    copies: Copies = "one" if output is None else compared[output.name]
    claims_tie = claim is not None and claim.ties
    is_copy = {"identical": True, "unknown": claims_tie, "different": False, "one": False}
    duplicates = {second.name: second.num_elements for _, second in pairs if is_copy[compared[second.name]]}
    groups = {
        group: sum(tensor.num_elements for tensor in members if tensor.name not in duplicates)
        for group, members in by_group.items()
    }
    if not inputs:
        groups["word_embeddings"], groups["decoder_weight"] = groups["decoder_weight"], 0
    return CheckpointCount(
        num_tensors=len(tensors),
        num_bytes=sum(tensor.num_bytes for tensor in tensors),
        dtypes=_num_elements((tensor.dtype, tensor) for tensor in tensors),
        groups=order_groups(groups),
        input_embedding=first,
        output_embedding=output,
        copies=copies,
        duplicates=duplicates,
        not_parameters=not_parameters,
        claim=claim,
    )


def _sort(tensors: list[StoredTensor], claim: TieClaim | None) -> tuple[dict[str, list[StoredTensor]], dict[str, int]]:
    """Parameters by group, and the elements of what is none by kind."""
    by_group: dict[str, list[StoredTensor]] = {}
    buffers = []
    for tensor in tensors:
        kind = _kind_of_buffer(tensor)
        if kind:
            buffers.append((kind, tensor))
        else:
            by_group.setdefault(_group(tensor, claim), []).append(tensor)
    return by_group, _num_elements(buffers)


def _num_elements(tensors: Iterable[tuple[str, StoredTensor]]) -> dict[str, int]:
    """Sums by whatever each tensor is given with."""
    sums: Counter[str] = Counter()
    for key, tensor in tensors:
        sums[key] += tensor.num_elements
    return dict(sums)


def _kind_of_buffer(tensor: StoredTensor) -> str | None:
    kind = _first_fit(tensor, BUFFER_NAMES)
    if kind == "causal masks" and tensor.is_floating and len(tensor.shape) == 1:
        return None  # a bias that is one
    return kind or (None if tensor.is_floating else WHOLE_NUMBERS)


def _group(tensor: StoredTensor, claim: TieClaim | None) -> str:
    group = _first_fit(tensor, GROUP_NAMES) or "other"
    if group in ("word_embeddings", "decoder_weight") and len(tensor.shape) != 2:
        return "other"
    return "decoder_layers" if group == "encoder_layers" and claim is not None and claim.is_decoder else group


def _first_fit(tensor: StoredTensor, names: dict[str, tuple[str, ...]]) -> str | None:
    return _fit(re.sub(r"(?<=\.)\d+(?=\.)", "#", f".{tensor.name}."), tuple(names.items()))


@functools.cache  # the layers of a model have their names in common
def _fit(path: str, names: tuple[tuple[str, tuple[str, ...]], ...]) -> str | None:
    return next((group for group, parts in names if any(f".{part}." in path for part in parts)), None)


def _compare(one: StoredTensor, other: StoredTensor) -> Copies:
    """Bit by bit, a piece at a time, until the first difference."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return "different"
    if one.file is None or other.file is None:
        return "unknown"
    with one.file.open("rb") as first, other.file.open("rb") as second:
        first.seek(one.offset)
        second.seek(other.offset)
        left = one.num_bytes
        while left > 0:
            piece = first.read(min(left, COMPARED_BYTES))
            if piece != second.read(min(left, COMPARED_BYTES)) or not piece:
                return "different"
            left -= len(piece)
    return "identical"

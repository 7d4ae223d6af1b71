"""Which of a file's matrices are the word embeddings and the output, by name, by alias, or else by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import UNKNOWN, Layout, group_of, is_known_matrix, looks_like_embedding


@dataclass(frozen=True)
class EmbeddingPair:
    """The one or two matrices of a tie."""

    first: StoredTensor
    """The embeddings; or the output matrix, where that alone is stored."""
    output: StoredTensor | None
    only_output: bool = False
    is_aliased: bool = False
    """Whether the file's own metadata say that the one matrix has a second name, of the other role."""
    may_be_output: tuple[str, ...] = ()
    """Several matrices of the embedding's shape, or of its rows, none of which is known by its name."""


def find_pair(
    by_group: Mapping[str, Sequence[StoredTensor]],
    aliases: Mapping[str, str],
    has_head: bool,
    layout: Layout = UNKNOWN,
) -> EmbeddingPair | None:
    """Find the matrices by their names, else by their shape; None where nothing looks like word embeddings.

    `aliases`: names that are not stored → the tensor that stands for them (`safetensors.torch.save_model`).
    """
    inputs, outputs = by_group.get("word_embeddings", []), by_group.get("decoder_weight", [])
    unknown = [
        tensor
        for tensor in by_group.get("other", [])
        if len(tensor.shape) == 2
        and tensor.num_elements
        and tensor.name not in layout.parameters
        and "per_layer" not in tensor.name  # Gemma 3n's further table, in GGUF too
    ]
    known = [*inputs, *outputs]
    shared = next((tensor for tensor in known or unknown if _is_aliased(tensor, aliases)), None)
    if shared is not None and not _rivals(shared, outputs, unknown, aliases):
        # the decoder's, say, where the encoder has a table of its own
        return EmbeddingPair(shared, None, only_output=shared in outputs and not inputs, is_aliased=True)
    if inputs and outputs:  # of several inputs, as T5's, that which the output could be
        alike = [tensor for tensor in inputs if tensor.shape == outputs[0].shape]
        return EmbeddingPair((alike or inputs)[0], outputs[0])
    if outputs:
        partners = _of_shape(unknown, outputs[0]) or _of_rows(unknown, outputs[0])
        likely = [tensor for tensor in partners if looks_like_embedding(tensor.name)] or partners
        if len(likely) == 1:
            return EmbeddingPair(likely[0], outputs[0])
        return EmbeddingPair(outputs[0], None, only_output=True)
    first = inputs[0] if inputs else _guess_input(unknown, aliases)
    if first is None:
        return None
    wider = [tensor for tensor in _of_rows(unknown, first) if not looks_like_embedding(tensor.name)]
    partners = (_of_shape(unknown, first) or wider or _last_layer(by_group, first, layout)) if has_head else []
    if len(partners) == 1:
        return EmbeddingPair(first, partners[0])
    return EmbeddingPair(first, None, may_be_output=tuple(tensor.name for tensor in partners))


def _rivals(
    shared: StoredTensor,
    outputs: Sequence[StoredTensor],
    unknown: Sequence[StoredTensor],
    aliases: Mapping[str, str],
) -> list[StoredTensor]:
    """Other matrices that may be its partner, so that a further name of the one says nothing of a tie."""
    looks_up = _looks_up(shared, aliases)
    alike = [tensor for tensor in _of_shape(unknown, shared) if _looks_up(tensor, aliases) != looks_up]
    return [tensor for tensor in outputs if tensor is not shared] + alike


def _looks_up(stored: StoredTensor, aliases: Mapping[str, str]) -> bool:
    """Whether one of its names speaks of embeddings."""
    names = _names(stored, aliases)
    return any(looks_like_embedding(name) or group_of(name, (1, 1), None) == "word_embeddings" for name in names)


def _of_shape(tensors: Sequence[StoredTensor], one: StoredTensor) -> list[StoredTensor]:
    return [tensor for tensor in tensors if tensor.shape == one.shape and tensor is not one]


def _of_rows(tensors: Sequence[StoredTensor], one: StoredTensor) -> list[StoredTensor]:
    """Others with a row for each word, of whatever width: an LSTM's states may be wider than its embeddings."""
    alike = [tensor for tensor in tensors if tensor.shape[0] == one.shape[0] and tensor is not one]
    return [tensor for tensor in alike if tensor.name.endswith(".weight")]


def _last_layer(
    by_group: Mapping[str, Sequence[StoredTensor]], one: StoredTensor, layout: Layout
) -> list[StoredTensor]:
    """The only matrix of its shape in a layer: the output may be the last (Phi-1's `layers.25.linear`)."""
    layers = [tensor for group, members in by_group.items() if group.endswith("layers") for tensor in members]
    alike = [tensor for tensor in _of_shape(layers, one) if tensor.name not in layout.parameters]
    return alike if len(alike) == 1 else []


def _guess_input(unknown: Sequence[StoredTensor], aliases: Mapping[str, str]) -> StoredTensor | None:
    """The longest table one of whose names speaks of embeddings."""
    tables = [
        tensor
        for tensor in unknown
        if tensor.is_floating
        and any(looks_like_embedding(name) or is_known_matrix(name) for name in _names(tensor, aliases))
    ]
    return max(tables, key=lambda tensor: tensor.shape[0], default=None)


def _is_aliased(stored: StoredTensor, aliases: Mapping[str, str]) -> bool:
    """Whether its names have both roles: where T5's inputs share a matrix, all are an input's."""
    roles = {_role(name) for name in _names(stored, aliases)}
    return len(stored.shape) == 2 and len(roles) > 1


def _role(name: str) -> str | None:
    """Of which of the two a name speaks; None of neither."""
    group = group_of(name, (1, 1), None)
    if group in ("word_embeddings", "decoder_weight"):
        return group
    return "word_embeddings" if looks_like_embedding(name) else None


def _names(stored: StoredTensor, aliases: Mapping[str, str]) -> list[str]:
    return [stored.name, *(name for name, kept in aliases.items() if kept == stored.name)]

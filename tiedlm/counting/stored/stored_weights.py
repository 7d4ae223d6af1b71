"""What a checkpoint really holds: its parameters by group, its one or two embedding matrices, and whether they are one.

Headers are read, and of the tensors those that may be copies of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiedlm.counting.closed_forms.parameters import order_groups
from tiedlm.counting.stored.bit_comparison import Copies, compare_bits
from tiedlm.counting.stored.embedding_pair import EmbeddingPair, find_pair
from tiedlm.counting.stored.not_parameters import SCALES
from tiedlm.counting.stored.placed_names import PlacedNames
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import group_of, is_embedding, is_packed, kind_of_buffer
from tiedlm.counting.stored.tie_verdict import CheckpointCount, TieClaim
from tiedlm.errors import InputError

Groups = dict[str, list[StoredTensor]]


@dataclass(frozen=True)
class Packed:
    """Weights that are stored several to a number."""

    names: tuple[str, ...]
    reason: str


class PackedWeights(InputError):
    """The weights are quantised: how many parameters they are is not in the header."""


def count_checkpoint(
    tensors: list[StoredTensor], source: str, claim: TieClaim | None, aliases: Mapping[str, str] | None = None
) -> CheckpointCount:
    """Sort tensors into groups by their names, and compare the matrices that may be one.

    `aliases`: names that the file's metadata give to a tensor that is stored under another.

    Raises:
        PackedWeights: the weights are quantised, and no configuration counts them.
        InputError: no word-embedding matrix is known by its name or shape.
    """
    packed = _check_packed(tensors, source, claim)
    by_group, not_parameters = _sort(tensors, claim, packed is not None)
    placed = PlacedNames() if claim is None else claim.placed
    pair = find_pair(by_group, aliases or {}, claim is None or claim.has_head, placed.layout)
    if pair is None and packed:
        raise PackedWeights(f"{source}: {packed.reason}, and it holds no word-embedding matrix; give the whole model")
    if pair is None:
        total = sum(tensor.num_elements for members in by_group.values() for tensor in members)
        raise InputError(
            f"{source}: holds {total:,} parameters, but no tensor is known by its name as a word-embedding matrix, so "
            "there is no tie to speak of; give a language model"
        )
    _regroup(by_group, pair)
    copies: Copies = "one" if pair.output is None else compare_bits(pair.first, pair.output)
    duplicates = _duplicates(by_group, pair, copies, claim, placed)
    return CheckpointCount(
        num_tensors=len(tensors),
        num_bytes=sum(tensor.num_bytes for tensor in tensors),
        dtypes=_num_elements((tensor.dtype, tensor) for tensor in tensors),
        groups=order_groups(_counted(by_group, pair, duplicates, claim, packed)),
        pair=pair,
        copies=copies,
        duplicates=duplicates,
        not_parameters=not_parameters,
        claim=claim,
        has_head_tensors=bool(by_group.get("decoder_bias") or by_group.get("head_transform")),
        parameters=tuple(tensor.name for members in by_group.values() for tensor in members),
        packed_parameters=frozenset((placed.packed(packed.names) or {}) if packed else ()),
        odd_biases=_odd_biases(by_group.get("decoder_bias", []), pair) if claim is None or claim.has_head else (),
        packed=None if packed is None else packed.reason,
    )


def _counted(
    by_group: Groups, pair: EmbeddingPair, duplicates: Mapping[str, int], claim: TieClaim | None, packed: Packed | None
) -> dict[str, int]:
    """Parameters by group, each once; those that are packed, as the model of the configuration has them."""
    groups = Counter({"decoder_weight": 0})
    for group, members in by_group.items():
        groups[group] += sum(tensor.num_elements for tensor in members if tensor.name not in duplicates)
    if packed is None or claim is None or claim.planned is None:
        return dict(groups)
    held = claim.placed.packed(packed.names)
    if held is None:
        is_second = pair.output is not None and pair.output.name not in duplicates
        return dict(claim.planned) | {"decoder_weight": pair.first.num_elements if is_second else 0}
    for name, number in held.items():
        groups[group_of(name, (1, 1), claim.layers_group)] += number
    return dict(groups)


def _odd_biases(biases: Iterable[StoredTensor], pair: EmbeddingPair) -> tuple[str, ...]:
    rows = (pair.output or pair.first).shape[0]
    return tuple(
        f"{bias.name} has {bias.shape[0]:,} numbers for {rows:,} rows; it was not resized with the matrix"
        for bias in biases
        if len(bias.shape) == 1 and bias.shape[0] != rows
    )


def _check_packed(tensors: list[StoredTensor], source: str, claim: TieClaim | None) -> Packed | None:
    layout, beside = (PlacedNames() if claim is None else claim.placed).layout, {one.name: one for one in tensors}
    packed = [tensor for tensor in tensors if is_packed(tensor, layout, beside)]
    if not packed:
        return None
    reason = (
        f"its weights are quantised ({packed[0].name} is {packed[0].dtype}), so the header does not tell how many "
        "parameters they are"
    )
    if claim is None or claim.planned is None:
        raise PackedWeights(f"{source}: {reason}; put a config.json beside it that can be counted")
    if any(is_embedding(tensor) for tensor in packed):
        raise PackedWeights(f"{source}: {reason}, nor whether the embeddings, quantised too, are tied")
    return Packed(tuple(tensor.name for tensor in packed), reason)


def _sort(tensors: list[StoredTensor], claim: TieClaim | None, is_quantised: bool) -> tuple[Groups, dict[str, int]]:
    """Parameters by group, and the elements of what is none by kind."""
    by_group: Groups = {}
    buffers = []
    placed = PlacedNames() if claim is None else claim.placed
    layout, layers_group = placed.layout, None if claim is None else claim.layers_group
    is_quantised |= claim is not None and claim.is_quantised
    is_quantised |= any(tensor.dtype.startswith(("F8", "F6", "F4")) for tensor in tensors)
    missing, beside = set(placed.missing), {tensor.name: tensor for tensor in tensors}
    for tensor in tensors:
        kind = kind_of_buffer(tensor, layout, beside)
        if kind is None and is_quantised and tensor.name in placed.asides:
            carried = placed.asides[tensor.name]
            if carried not in missing or tensor.num_elements != placed.sizes[carried]:
                kind = SCALES
        if kind:
            buffers.append((kind, tensor))
        else:
            group = group_of(tensor.name, tensor.shape, layers_group, layout)
            by_group.setdefault(group, []).append(tensor)
    return by_group, _num_elements(buffers)


def _regroup(by_group: Groups, pair: EmbeddingPair) -> None:
    """Put the two matrices, and a bias as long as the vocabulary, where their roles belong."""
    others = by_group.get("other", [])
    found = {"word_embeddings": pair.first, "decoder_weight": pair.output}
    for group, tensor in found.items():
        if tensor is not None and tensor not in by_group.get(group, []):
            for members in by_group.values():
                if tensor in members:
                    members.remove(tensor)
            by_group.setdefault(group, []).append(tensor)
    rows = (pair.output or pair.first).shape[0]
    biases = [tensor for tensor in others if tensor.shape == (rows,) and tensor.name.endswith("bias")]
    for bias in biases if not by_group.get("decoder_bias") else []:
        others.remove(bias)
        by_group.setdefault("decoder_bias", []).append(bias)


def _duplicates(
    by_group: Groups, pair: EmbeddingPair, copies: Copies, claim: TieClaim | None, placed: PlacedNames
) -> dict[str, int]:
    """Tensors that are one in the model with another: by its class; those that it does not know, by their names."""
    claims_tie = claim is not None and claim.ties is True
    claims_untied = claim is not None and claim.ties is False and not claim.class_ties
    same = {"identical"} | ({"unknown"} if claims_tie else set())
    found: set[StoredTensor] = (
        {pair.output} if pair.output is not None and copies in same and not claims_untied else set()
    )
    for alike in placed.as_one([tensor for members in by_group.values() for tensor in members]):
        alike.sort(key=lambda tensor: tensor != pair.first)
        for place, tensor in enumerate(alike):
            if tensor not in (pair.first, pair.output) and {"identical", "unknown"} & {
                compare_bits(earlier, tensor) for earlier in alike[:place]
            }:
                found.add(tensor)
    originals = [pair.first] + ([pair.output] if pair.output is not None else [])
    for group, members in by_group.items():
        for tensor in members:
            if tensor in originals or tensor.name in placed.places or tensor.shape != pair.first.shape:
                continue
            is_alias = group in ("word_embeddings", "decoder_weight")
            compared = {compare_bits(original, tensor) for original in originals}
            if "identical" in compared or (is_alias and compared & same):
                found.add(tensor)
    biases = by_group.get("decoder_bias", [])
    unplaced = [bias for bias in biases[1:] if bias.name not in placed.places]
    found |= {bias for bias in unplaced if compare_bits(biases[0], bias) in same}
    return {tensor.name: tensor.num_elements for tensor in found}


def _num_elements(tensors: Iterable[tuple[str, StoredTensor]]) -> dict[str, int]:
    """Sums by whatever each tensor is given with."""
    sums: Counter[str] = Counter()
    for key, tensor in tensors:
        sums[key] += tensor.num_elements
    return dict(sums)

"""What a checkpoint really holds: its parameters by group, its one or two embedding matrices, and whether they are one.

Headers are read, and of the tensors those that may be copies of each other.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tiedlm.counting.parameters import order_groups
from tiedlm.counting.safetensors_header import StoredTensor
from tiedlm.counting.tensor_names import group_of, is_packed, kind_of_buffer
from tiedlm.errors import InputError

Copies = Literal["one", "identical", "different", "unknown"]
PIECE_BYTES = 1 << 20
MAX_COMPARED_BYTES = 1 << 32


class PackedWeights(InputError):
    """The weights are quantised: how many parameters they are is not in the header."""


@dataclass(frozen=True)
class TieClaim:
    """What a configuration says of the file beside it."""

    ties: bool
    has_head: bool
    """Whether its class has an output matrix at all; a bare encoder has none to tie."""
    layers_group: str | None = None
    """Where layers belong whose names do not say it."""


@dataclass(frozen=True)
class CheckpointCount:
    """What is stored, and what it says of the tie."""

    num_tensors: int
    num_bytes: int
    """Of all tensors."""
    dtypes: dict[str, int]
    """Stored elements by type."""
    groups: dict[str, int]
    """Parameters; of two identical matrices that are one in the model, the second is none."""
    input_embedding: StoredTensor
    output_embedding: StoredTensor | None
    copies: Copies
    """The matrix is stored once, twice alike, or the two differ; unknown where they were not compared."""
    duplicates: dict[str, int]
    """Tensors stored a second time → their elements, not counted again."""
    not_parameters: dict[str, int]
    """Kind of tensor that is no parameter → elements, not counted."""
    claim: TieClaim | None
    """None where no configuration is at hand."""
    has_head_tensors: bool
    """Whether a bias over the vocabulary or a transform is stored: parts of a head."""
    may_be_output: tuple[str, ...]
    """Tensors of the embedding's shape whose names are not known."""

    @property
    def is_tied(self) -> bool | None:
        """Whether the model's two matrices are one; None where neither the file nor a configuration tells."""
        if self.copies == "different":
            return False
        if self.copies == "identical":
            return self.claim is None or self.claim.ties
        if self.copies == "unknown":
            return None if self.claim is None else self.claim.ties
        if self.may_be_output or (self.claim is not None and not (self.claim.has_head and self.claim.ties)):
            return None
        return True if self.claim is not None or self.has_head_tensors else None

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
        if not self.claim.ties and self.claim.has_head and self.copies == "one" and not self.may_be_output:
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
        PackedWeights: the weights are quantised.
        InputError: no word-embedding matrix is known by its name, or the output matrix has another shape.
    """
    by_group, not_parameters = _sort(tensors, source, None if claim is None else claim.layers_group)
    inputs, outputs = by_group.get("word_embeddings", []), by_group.get("decoder_weight", [])
    # A tied matrix may be stored under the output's name alone.
    first, output = _embeddings(inputs, outputs, source, _sum(by_group.values()))
    # T5's table has up to three names beside the output's; BERT's bias has two.
    biases = by_group.get("decoder_bias", [])
    pairs = [(first, tensor) for tensor in (inputs + outputs)[1:]] + [(biases[0], tensor) for tensor in biases[1:]]
    compared = {second.name: _compare(one, second) for one, second in pairs}
    claims_tie, claims_untied = claim is not None and claim.ties, claim is not None and not claim.ties
    same = {"identical"} | ({"unknown"} if claims_tie else set())
    duplicates = {
        second.name: second.num_elements
        for _, second in pairs
        if compared[second.name] in same and not (second is output and claims_untied)
    }
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
        copies="one" if output is None else compared[output.name],
        duplicates=duplicates,
        not_parameters=not_parameters,
        claim=claim,
        has_head_tensors=bool(biases or by_group.get("head_transform")),
        may_be_output=tuple(tensor.name for tensor in by_group.get("other", []) if tensor.shape == first.shape),
    )


def _sort(
    tensors: list[StoredTensor], source: str, layers_group: str | None
) -> tuple[dict[str, list[StoredTensor]], dict[str, int]]:
    """Parameters by group, and the elements of what is none by kind."""
    packed = next((tensor for tensor in tensors if is_packed(tensor)), None)
    if packed is not None:
        raise PackedWeights(
            f"{source}: its weights are quantised ({packed.name} is {packed.dtype}), so the header does not tell how "
            "many parameters they are; put its config.json beside it"
        )
    by_group: dict[str, list[StoredTensor]] = {}
    buffers = []
    for tensor in tensors:
        kind = kind_of_buffer(tensor)
        if kind:
            buffers.append((kind, tensor))
        else:
            by_group.setdefault(group_of(tensor, layers_group), []).append(tensor)
    return by_group, _num_elements(buffers)


def _embeddings(
    inputs: list[StoredTensor], outputs: list[StoredTensor], source: str, total: int
) -> tuple[StoredTensor, StoredTensor | None]:
    if not inputs and not outputs:
        raise InputError(
            f"{source}: holds {total:,} parameters, but no tensor is known by its name as a word-embedding matrix, so "
            "there is no tie to speak of; give a language model"
        )
    first, output = (inputs or outputs)[0], outputs[0] if inputs and outputs else None
    if output is not None and output.shape != first.shape:
        raise InputError(
            f"{source}: holds {total:,} parameters; {first.name} is {list(first.shape)} and {output.name} is "
            f"{list(output.shape)}, so they cannot be tied; give a model whose two matrices are of one shape"
        )
    return first, output


def _sum(groups: Iterable[list[StoredTensor]]) -> int:
    return sum(tensor.num_elements for group in groups for tensor in group)


def _num_elements(tensors: Iterable[tuple[str, StoredTensor]]) -> dict[str, int]:
    """Sums by whatever each tensor is given with."""
    sums: Counter[str] = Counter()
    for key, tensor in tensors:
        sums[key] += tensor.num_elements
    return dict(sums)


def _compare(one: StoredTensor, other: StoredTensor) -> Copies:
    """Bit by bit, a piece at a time, until the first difference."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return "different"
    if one.file is None or other.file is None or one.num_bytes > MAX_COMPARED_BYTES:
        return "unknown"
    with one.file.open("rb") as first, other.file.open("rb") as second:
        if any(512 * os.fstat(file.fileno()).st_blocks < one.num_bytes for file in (first, second)):
            return "unknown"  # a sparse file, which claims more bytes than it holds
        first.seek(one.offset)
        second.seek(other.offset)
        left = one.num_bytes
        while left > 0:
            piece = first.read(min(left, PIECE_BYTES))
            if piece != second.read(min(left, PIECE_BYTES)) or not piece:
                return "different"
            left -= len(piece)
    return "identical"

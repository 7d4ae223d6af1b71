"""What a configuration claims of the tie, what a checkpoint holds, and the verdict of the two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tiedlm.counting.stored.bit_comparison import Copies
from tiedlm.counting.stored.embedding_pair import EmbeddingPair
from tiedlm.counting.stored.placed_names import PlacedNames
from tiedlm.counting.stored.safetensors_header import StoredTensor

CLASSIFIER = re.compile(r"^(score|classifier|qa_outputs|v_head|value_head|reward_head|regression_layer)\.")
"""`transformers`, the heads of classes for sequences, tokens and answers; trl and reward models."""


@dataclass(frozen=True)
class TieClaim:
    """What a configuration says of the file beside it."""

    ties: bool | None
    """None where neither a flag nor a class that is known says it."""
    who: str | None
    """Who says so: a key of the configuration, or the default of a class."""
    has_head: bool
    """Whether its class has an output matrix at all; a bare encoder has none to tie."""
    can_tie: bool = True
    """Whether the class has two matrices of one shape."""
    layers_group: str | None = None
    """Where layers belong whose names do not say it."""
    class_ties: bool | None = None
    """Whether the class would read one stored matrix as both, whatever `ties` says; None where no class was asked."""
    placed: PlacedNames = field(default_factory=PlacedNames)
    planned: Mapping[str, int] | None = None
    """The groups of the model of the configuration, which count where the weights are quantised."""
    is_quantised: bool = False
    """Whether the configuration says so."""
    is_known: bool = True
    """Whether its class is known, by `transformers` or a closed form."""


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
    pair: EmbeddingPair
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
    parameters: tuple[str, ...] = ()
    """Names of the tensors that are parameters, as they are stored."""
    packed_parameters: frozenset[str] = frozenset()
    """Of the class, those that packed weights hold."""
    odd_biases: tuple[str, ...] = ()
    """In a sentence each, output biases that are longer or shorter than the vocabulary."""
    packed: str | None = None
    """In a sentence, that the weights are quantised, and so counted by the configuration."""

    @property
    def input_embedding(self) -> StoredTensor:
        """The embedding matrix; or the output matrix, where that alone is stored."""
        return self.pair.first

    @property
    def output_embedding(self) -> StoredTensor | None:
        """The output matrix, where it is stored beside the other."""
        return self.pair.output

    @property
    def output_shape(self) -> tuple[int, int] | None:
        """Of an output matrix that cannot be the embeddings, since it has another shape."""
        output = self.output_embedding
        if output is None or output.shape == self.input_embedding.shape:
            return None
        return output.shape[0], output.shape[1]

    @property
    def has_head(self) -> bool:
        """Whether the model predicts words; an output matrix tells it, whatever its class is called."""
        if self.output_embedding is not None or self.claim is None:
            return True
        return self.claim.has_head and not (self.is_classifier and not self.has_head_tensors)

    @property
    def is_classifier(self) -> bool:
        """Whether a model of an unknown class holds the layer of one that predicts no words."""
        is_unknown = self.claim is not None and not self.claim.is_known
        return is_unknown and any(CLASSIFIER.search(name) for name in self.parameters)

    @property
    def is_placed(self) -> bool:
        """Whether its class tells its tensors."""
        return self.claim is not None and bool(self.claim.placed.places)

    @property
    def missing(self) -> list[str]:
        """Parameters of the class of which the file holds nothing."""
        placed = [] if self.claim is None else self.claim.placed.missing
        return [name for name in placed if name not in self.packed_parameters]

    @property
    def is_tied(self) -> bool | None:
        """Whether the model's two matrices are one; None where neither the file nor a configuration tells."""
        ties = None if self.claim is None else self.claim.ties
        if self.copies == "different":
            return False
        if not self.has_head:
            return None
        if self.copies == "identical":
            return ties is not False or bool(self.claim and self.claim.class_ties)
        if self.copies == "unknown":
            return ties
        if self.pair.is_aliased:
            return True
        if self.pair.may_be_output:
            return None
        if self.claim is not None and self.claim.class_ties:
            return True
        if ties is False or (self.is_classifier and not self.has_head_tensors):
            return None
        return True if ties or (self.has_head_tensors and not self.pair.only_output) else None

    @property
    def mismatch(self) -> str | None:
        """In a sentence, how the configuration and the file contradict each other."""
        claim, first, output = self.claim, self.input_embedding, self.output_embedding
        if claim is None or not self.has_head:
            return None
        if claim.ties and claim.can_tie and self.copies == "different" and output:
            return (
                f"{claim.who} says tied, but the file holds two different matrices, {first.name} and {output.name}; a "
                "loader that ties them drops one"
            )
        is_one = self.copies == "one" and not self.pair.may_be_output and not self.pair.is_aliased
        if claim.ties is False and is_one and claim.class_ties is not True:
            there, missing = ("output", "input") if self.pair.only_output else ("input", "output")
            return (
                f"{claim.who} says untied, but beside {first.name}, the {there} matrix, the file holds no {missing} "
                "matrix; a loader that does not tie starts with a random one"
            )
        return None

"""An answer of `count-params` as its JSON has it: what is stored, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tiedlm.counting.closed_forms.parameter_bytes import CHECKPOINT_BYTES, TRAINING_RECIPES
from tiedlm.counting.closed_forms.parameters import MASKED_FRACTION, ParameterCount
from tiedlm.counting.cross_check import Answer, Basis
from tiedlm.counting.stored.bit_comparison import Copies
from tiedlm.counting.stored.tie_verdict import CheckpointCount


@dataclass(frozen=True)
class OfTotals:
    """The same for the model as it is stored, tied and untied, and for what tying saves."""

    stored: int
    tied: int
    untied: int
    saved: int


@dataclass(frozen=True)
class Experts:
    """Of a layer."""

    per_token: int
    of: int


@dataclass(frozen=True)
class ActiveParameters:
    """Of a mixture of experts, those that a token passes through; None where the modules do not tell."""

    total: int | None
    without_word_embeddings: int | None
    """Without the table that looks up, unless the output multiplies by it."""
    experts: list[Experts]


@dataclass(frozen=True)
class ForwardFlops:
    """Of one token, forward, without the attention scores; a multiply-add is two."""

    head: int
    body: int
    head_fraction: float
    """Where every position reaches the head."""
    head_fraction_masked: float | None
    """Where only the masked positions do; None of a model that predicts all."""


@dataclass(frozen=True)
class StoredModel:
    """What the file holds, and what it says of the tie."""

    num_tensors: int
    num_bytes: int
    dtypes: dict[str, int]
    """Stored elements by type."""
    input_embedding: str | None
    output_embedding: str | None
    """The names of the matrices; None where it is not stored."""
    copies: Copies
    """The matrix is stored once, twice alike, or the two differ; unknown where they were not compared."""
    duplicates: dict[str, int]
    """Tensors stored a second time → their elements, not counted again."""
    not_parameters: dict[str, int]
    """Kind of tensor that is no parameter → elements, not counted."""
    config_ties: bool | None
    config_ties_by: str | None
    """Whether the configuration beside it says tied, and who says so in it; None where nothing does."""
    mismatch: str | None
    """In a sentence, how the configuration and the file contradict each other."""


@dataclass(frozen=True)
class CountedModel:
    """A model's parameters by group, tied and untied."""

    schema_version: Literal[1] = field(default=1, init=False)
    name: str
    architecture: str | None
    basis: Basis
    """What tells the count."""
    source: str | None
    """Who says whether it is tied."""
    vocab_size: int
    hidden_size: int
    embedding_size: int
    """Width of the embedding matrix: `hidden_size`, or less where it is factorised."""
    tie_word_embeddings: bool | None
    """None for a checkpoint that does not tell."""
    no_tie: str | None
    """In a sentence, why the tie does not apply."""
    groups: dict[str, int]
    """Stored parameters, which sum to `total`; a tied `decoder_weight` counts 0, since it is not stored again."""
    total: int
    total_tied: int
    total_untied: int
    saved: int
    """What tying saves, or would save."""
    saved_fraction: float
    """Of the untied model."""
    active: ActiveParameters | None
    """None where all parameters are."""
    other_totals: dict[str, int]
    """Other totals that people meet for the same model, by what they count."""
    checkpoint_bytes: dict[str, OfTotals]
    training_bytes: dict[str, OfTotals]
    """By precision."""
    forward_flops_per_token: ForwardFlops | None
    """None where no closed form knows them."""
    checkpoint: StoredModel | None
    """None where no file was read."""
    notes: list[str]
    what_if: list[CountedModel] | None
    """The model itself, then those of `--what-if`; None where none were asked for."""


@dataclass(frozen=True)
class CountedModels:
    """Several models, or the known ones."""

    schema_version: Literal[1] = field(default=1, init=False)
    models: list[CountedModel]


def counted_model(answer: Answer, what_if: Sequence[ParameterCount] | None = None) -> CountedModel:
    """Put an answer together with the same model in other sizes."""
    count, checkpoint = answer.count, answer.checkpoint
    totals = OfTotals(count.total, count.total_tied, count.total_untied, count.saved)
    return CountedModel(
        name=count.name,
        architecture=count.architecture,
        basis=answer.basis,
        source=count.source,
        vocab_size=count.vocab_size,
        hidden_size=count.hidden_size,
        embedding_size=count.embedding_size,
        tie_word_embeddings=count.tie_word_embeddings,
        no_tie=count.no_tie,
        groups=count.groups,
        total=count.total,
        total_tied=count.total_tied,
        total_untied=count.total_untied,
        saved=count.saved,
        saved_fraction=count.saved_fraction,
        active=_active(count),
        other_totals=count.other_totals,
        checkpoint_bytes={precision: _times(size, totals) for precision, size in CHECKPOINT_BYTES.items()},
        training_bytes={precision: _times(recipe.total, totals) for precision, recipe in TRAINING_RECIPES.items()},
        forward_flops_per_token=_flops(count),
        checkpoint=None if checkpoint is None else _stored(checkpoint),
        notes=list(answer.notes),
        what_if=None if what_if is None else [counted_model(Answer(other, answer.basis)) for other in what_if],
    )


def _times(size: int, totals: OfTotals) -> OfTotals:
    return OfTotals(size * totals.stored, size * totals.tied, size * totals.untied, size * totals.saved)


def _active(count: ParameterCount) -> ActiveParameters | None:
    if count.routing is None:
        return None
    experts = [Experts(per_token=few, of=many) for few, many in count.routing.experts]
    return ActiveParameters(count.active, count.active_without_word_embeddings, experts)


def _flops(count: ParameterCount) -> ForwardFlops | None:
    head, body, fraction = count.head_flops, count.body_flops, count.head_fraction()
    if head is None or body is None or fraction is None:
        return None
    return ForwardFlops(head, body, fraction, count.head_fraction(MASKED_FRACTION) if count.is_masked_lm else None)


def _stored(checkpoint: CheckpointCount) -> StoredModel:
    first, output = checkpoint.input_embedding.name, checkpoint.output_embedding
    is_only_output = checkpoint.pair.only_output
    return StoredModel(
        num_tensors=checkpoint.num_tensors,
        num_bytes=checkpoint.num_bytes,
        dtypes=checkpoint.dtypes,
        input_embedding=None if is_only_output else first,
        output_embedding=first if is_only_output else output.name if output else None,
        copies=checkpoint.copies,
        duplicates=checkpoint.duplicates,
        not_parameters=checkpoint.not_parameters,
        config_ties=None if checkpoint.claim is None else checkpoint.claim.ties,
        config_ties_by=None if checkpoint.claim is None else checkpoint.claim.who,
        mismatch=checkpoint.mismatch,
    )

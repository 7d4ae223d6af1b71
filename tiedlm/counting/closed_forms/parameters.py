"""Where a language model's parameters are, what tying saves of them, and what that means in bytes and FLOPs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tiedlm.counting.closed_forms.configuration import default_of, stated_tie
from tiedlm.counting.closed_forms.families import draw_blueprint

if TYPE_CHECKING:
    from tiedlm.counting.closed_forms.blueprint import Blueprint

# In the order of the forward pass; True for those that every count names, at 0 where a model has none.
GROUPS = {
    "word_embeddings": True,
    "position_embeddings": True,
    "token_type_embeddings": True,
    "embeddings_norm": True,
    "embedding_projection": False,
    "encoder_layers": True,
    "decoder_layers": False,
    "layers": False,  # of a checkpoint, where nothing tells which
    "final_norm": True,
    "pooler": False,
    "next_sentence_head": False,
    "other": False,
    "head_transform": True,
    "decoder_weight": True,
    "decoder_bias": True,
}
HEAD_GROUPS = ("head_transform", "decoder_weight", "decoder_bias")
MASKED_FRACTION = 0.15
"""Of a masked LM's positions; BERT gathers them, so the head runs on no others (Devlin et al. 2019, §3.1)."""


@dataclass(frozen=True)
class Routing:
    """How a mixture of experts sends a token: to some of the experts of a layer (Shazeer et al. 2017)."""

    experts: tuple[tuple[int, int], ...]
    """Experts a token passes through, of how many; several where layers differ."""
    idle: int | None
    """Parameters of the experts that a token is not sent to; None where the modules do not tell."""


def saved_formula(vocab_size: int, width: int) -> str:
    """`10,003 × 128 = 1,280,384`."""
    return f"{vocab_size:,} × {width:,} = {vocab_size * width:,}"


@dataclass(frozen=True)
class ParameterCount:
    """The answer of `tiedlm count-params` for one model."""

    name: str
    vocab_size: int
    hidden_size: int
    embedding_size: int
    """Width of the embedding matrix: `hidden_size`, or less where it is factorised."""
    tie_word_embeddings: bool | None
    """None for a checkpoint that does not tell, such as an encoder without a head."""
    groups: dict[str, int]
    """Stored parameters; a tied `decoder_weight` counts 0, since it is not stored again."""
    architecture: str | None = None
    source: str | None = None
    """Who says whether it is tied."""
    multiply_adds: dict[str, int] | None = None
    """Of one token by group; None where no closed form knows them."""
    other_totals: dict[str, int] = field(default_factory=dict)
    """Other totals that people meet for the same model, by what they count."""
    has_head: bool = True
    """Whether it predicts words: an encoder alone or a discriminator has no matrix to tie to."""
    output_shape: tuple[int, int] | None = None
    """Of an output matrix whose shape is another than the embedding's, so that the two cannot be one."""

    routing: Routing | None = None
    """Of a mixture of experts."""
    num_tables: int = 1
    """Tables with an output matrix each: several of codebooks, of which none is the tie."""
    no_partner: str | None = None
    """In a sentence, that the other matrix stands in another model, as of a draft for speculative decoding."""

    @property
    def active(self) -> int | None:
        """Parameters that a token passes through: all but the experts that it is not sent to; None where unknown.

        Both matrices count whole, as of Mixtral, Qwen and DeepSeek.
        """
        idle = 0 if self.routing is None else self.routing.idle
        return None if idle is None else self.total - idle

    @property
    def active_without_word_embeddings(self) -> int | None:
        """The same without the table that looks up, unless the output multiplies by it: as of gpt-oss."""
        is_output = self.groups["decoder_weight"] == 0
        return None if self.active is None else self.active - (0 if is_output else self.groups["word_embeddings"])

    @property
    def no_tie(self) -> str | None:
        """In a sentence, why the tie does not apply."""
        if self.no_partner is not None:
            return self.no_partner
        if self.output_shape is not None:
            rows, columns = self.output_shape
            return (
                f"cannot be tied: the embedding matrix is {self.vocab_size:,} × {self.embedding_size:,}, the output "
                f"matrix {rows:,} × {columns:,}"
            )
        if self.num_tables > 1:
            return f"has {self.num_tables} tables with an output matrix each, as codebooks are, so there is no one tie"
        return None if self.has_head else "no language-model head, so the tie does not apply"

    @property
    def total(self) -> int:
        """Stored parameters."""
        return sum(self.groups.values())

    @property
    def saved(self) -> int:
        """What tying saves, or would save: vocab_size × embedding_size, or 0 where the tie does not apply."""
        return 0 if self.no_tie else self.vocab_size * self.embedding_size

    @property
    def saved_fraction(self) -> float:
        """Of the untied model."""
        return self.saved / self.total_untied

    @property
    def total_tied(self) -> int:
        """The total if it were tied."""
        return self.total if self.no_tie else self.total - self.groups["decoder_weight"]

    @property
    def total_untied(self) -> int:
        """The total if it were not tied."""
        return self.total_tied + self.saved

    @property
    def head_flops(self) -> int | None:
        """Of the head at one predicted position, forward; a multiply-add is two. Tied or not, they are the same."""
        if self.multiply_adds is None:
            return None
        return 2 * sum(self.multiply_adds[group] for group in HEAD_GROUPS if group in self.multiply_adds)

    @property
    def body_flops(self) -> int | None:
        """Of all else at one token, forward, without the attention scores, which depend on the length."""
        if self.multiply_adds is None or self.head_flops is None:
            return None
        return 2 * sum(self.multiply_adds.values()) - self.head_flops

    @property
    def is_masked_lm(self) -> bool:
        """Whether only masked positions are predicted."""
        return self.architecture is not None and self.architecture.endswith("ForMaskedLM")

    def head_fraction(self, predicted_fraction: float = 1.0) -> float | None:
        """The head's share of the forward FLOPs where this share of the positions reaches it."""
        if self.head_flops is None or self.body_flops is None:
            return None
        head = predicted_fraction * self.head_flops
        return head / (head + self.body_flops)


def count_config(name: str, raw: Mapping[str, Any], source: str | None = None) -> ParameterCount:
    """Count the model of a `config.json` by closed form.

    Raises:
        InputError: a value is none that a model can have.
        NoClosedForm: the family, or something that the configuration asks for, is not known.
    """
    plan = draw_blueprint(raw, name)
    stated = stated_tie(raw)
    return count_blueprint(name, plan, source or (default_of(plan.architecture) if stated is None else stated[1]))


def count_blueprint(name: str, plan: Blueprint, source: str | None = None) -> ParameterCount:
    """Count a model on paper."""
    total = sum(part.parameters for part in plan.parts.values())
    other_totals = {what: total + difference for what, difference in plan.other_totals.items()}
    if plan.tie_word_embeddings:
        times = {1: "twice", 3: "four times"}[plan.num_input_modules]
        other_totals[f"the tied matrix counted {times}, as torchinfo 1.8.0 does"] = (
            total + plan.num_input_modules * plan.vocab_size * plan.embedding_size
        )
    return ParameterCount(
        name,
        plan.vocab_size,
        plan.hidden_size,
        plan.embedding_size,
        plan.tie_word_embeddings,
        order_groups({group: part.parameters for group, part in plan.parts.items()}),
        plan.architecture,
        source,
        {group: part.multiply_adds for group, part in plan.parts.items()},
        other_totals,
    )


def order_groups(groups: Mapping[str, int]) -> dict[str, int]:
    """The groups in the order of the forward pass, with those that every count names."""
    assert groups.keys() <= GROUPS.keys()
    return {group: groups.get(group, 0) for group, is_named in GROUPS.items() if is_named or groups.get(group)}

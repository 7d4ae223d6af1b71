"""Closed-form parameter counts: where a masked LM's parameters are, and what tying saves.

No model is built. The forms are those of `BertForMaskedLM` and of `ModernBertForMaskedLM`; the tests
hold them to our own models and to `transformers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tiedlm.config import ModelConfig


@dataclass(frozen=True)
class ModelShape:
    """What decides a parameter count."""

    encoder: Literal["modernbert", "bert"]
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    max_position_embeddings: int
    tie_word_embeddings: bool = True
    head_transform: bool = True


def _bert_uncased(num_hidden_layers: int, hidden_size: int) -> ModelShape:
    return ModelShape("bert", 30_522, hidden_size, num_hidden_layers, 4 * hidden_size, 512)


PRESETS = {  # Turc et al. 2019, and google-research/bert's README
    "bert-tiny-uncased": _bert_uncased(2, 128),
    "bert-mini-uncased": _bert_uncased(4, 256),
    "bert-small-uncased": _bert_uncased(4, 512),
    "bert-medium-uncased": _bert_uncased(8, 512),
    "bert-base-uncased": _bert_uncased(12, 768),
    "bert-large-uncased": _bert_uncased(24, 1024),
}


def shape_of(config: ModelConfig, vocab_size: int) -> ModelShape:
    """The shape of a configured model once the tokenizer is known."""
    return ModelShape(
        config.encoder,
        vocab_size,
        config.hidden_size,
        config.num_hidden_layers,
        config.intermediate_size,
        config.max_position_embeddings,
        config.tie_word_embeddings,
        config.head_transform,
    )


def count_groups(shape: ModelShape) -> dict[str, int]:
    """Stored parameters by group; they sum to the total. A tied `decoder_weight` counts 0: it is not stored again."""
    vocab, hidden, inner = shape.vocab_size, shape.hidden_size, shape.intermediate_size
    is_bert = shape.encoder == "bert"
    norm = 2 * hidden if is_bert else hidden  # ModernBERT's norms and dense layers have no bias
    if is_bert:
        layer = 4 * (hidden * hidden + hidden) + (hidden * inner + inner) + (inner * hidden + hidden) + 2 * norm
        layers = shape.num_hidden_layers * layer
    else:
        layer = 4 * hidden * hidden + 3 * hidden * inner + 2 * norm  # GeGLU has two matrices in, one out
        layers = shape.num_hidden_layers * layer - norm  # the first layer's attention has no norm before it
    dense = hidden * hidden + (hidden if is_bert else 0)
    return {
        "word_embeddings": vocab * hidden,
        "position_embeddings": shape.max_position_embeddings * hidden if is_bert else 0,
        "token_type_embeddings": 2 * hidden if is_bert else 0,
        "embeddings_norm": norm,
        "encoder_layers": layers,
        "final_norm": 0 if is_bert else norm,
        "head_transform": dense + norm if shape.head_transform else 0,
        "decoder_weight": 0 if shape.tie_word_embeddings else vocab * hidden,
        "decoder_bias": vocab,
    }


def saved_formula(vocab_size: int, hidden_size: int) -> str:
    """`10,003 × 128 = 1,280,384`."""
    return f"{vocab_size:,} × {hidden_size:,} = {vocab_size * hidden_size:,}"


@dataclass(frozen=True)
class ParameterCount:
    """The answer of `tiedlm count-params` for one model."""

    name: str
    vocab_size: int
    hidden_size: int
    tie_word_embeddings: bool
    groups: dict[str, int]

    @property
    def total(self) -> int:
        """Stored parameters."""
        return sum(self.groups.values())

    @property
    def saved(self) -> int:
        """What tying saves, or would save: vocab_size × hidden_size."""
        return self.vocab_size * self.hidden_size

    @property
    def total_tied(self) -> int:
        """The total if it were tied."""
        return self.total - self.groups["decoder_weight"]

    @property
    def total_untied(self) -> int:
        """The total if it were not tied."""
        return self.total_tied + self.saved

    def document(self) -> dict[str, object]:
        """The JSON of `count-params --json`."""
        return {
            "name": self.name,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "tie_word_embeddings": self.tie_word_embeddings,
            "groups": self.groups,
            "total": self.total,
            "total_tied": self.total_tied,
            "total_untied": self.total_untied,
            "saved": self.saved,
            "saved_fraction": self.saved / self.total_untied,
        }


def count_parameters(name: str, shape: ModelShape) -> ParameterCount:
    """Count a model by closed form."""
    return ParameterCount(name, shape.vocab_size, shape.hidden_size, shape.tie_word_embeddings, count_groups(shape))

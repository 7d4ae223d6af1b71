"""The keys of `[model]`: the sizes and parts of the masked LM."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tiedlm.config.strict import NeutralUnwritten, Probability, Size


class ModelConfig(NeutralUnwritten):
    """The masked LM, but for `vocab_size`, which the tokenizer decides."""

    encoder: Literal["modernbert", "bert"]
    """Which layers. `modernbert`: LayerNorm before each part, rotary positions, GeGLU, no biases but the output's; it
    learns fast on a small budget. `bert`: LayerNorm after each part, learned positions and segments, GELU, biases
    everywhere; with `head_transform` it is BERT as published."""
    hidden_size: Size
    """Width H of every hidden vector."""
    num_hidden_layers: Annotated[int, Field(gt=0, le=1_000)]
    """Layers of the encoder."""
    num_attention_heads: Size
    """Heads of each layer; they divide `hidden_size`, in `modernbert` into even sizes."""
    intermediate_size: Size
    """Width of the feed-forward; `modernbert` adds a gate of the same width."""
    max_position_embeddings: Size
    """`bert` has a learned vector for each position; for `modernbert` (rotary) it is only a limit."""
    hidden_dropout_prob: Probability
    """Dropout after the embeddings and after each attention and feed-forward."""
    attention_probs_dropout_prob: Probability
    """Dropout of the attention weights."""
    initializer_range: Annotated[float, Field(gt=0.0)]
    """Standard deviation of every matrix at the start, the embeddings among them; norms start at one, biases at
    zero."""
    rope_theta: Annotated[float, Field(gt=0.0)]
    """Base of the rotary angles of `modernbert`; `bert`, whose positions are learned, does not read it."""
    tie_word_embeddings: bool
    """Whether the output matrix is the word-embedding table; the arms set it."""
    head_transform: bool
    """BERT's dense → GELU → LayerNorm between the encoder and the output matrix."""
    head_dense_identity: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """That dense layer starts as this times the identity, plus its normal values; BERT's starts with these alone. At
    0.2 the guess points where the encoder's vector does from the first step on, and GELU is still nearly linear."""

    def config_json(self, vocab_size: int) -> dict[str, Any]:
        """The same model in the words of a `config.json`, once the tokenizer is known."""
        of_training = {"hidden_dropout_prob", "attention_probs_dropout_prob"}
        left_out = {"encoder", "rope_theta", "initializer_range", "head_dense_identity", *of_training}
        return {"model_type": self.encoder, "vocab_size": vocab_size} | self.model_dump(exclude=left_out)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by "
                f"num_attention_heads={self.num_attention_heads}; change one of them"
            )
        if self.encoder == "modernbert" and (self.hidden_size // self.num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size} over num_attention_heads={self.num_attention_heads} gives an "
                "odd head size, which rotary positions cannot split; change one of them"
            )
        return self

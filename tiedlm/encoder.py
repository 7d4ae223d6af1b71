"""The two encoders: token ids (B, T) → hidden vectors (B, T, H).

`bert` is post-LayerNorm with learned positions (Devlin et al. 2019; google-research/bert, `modeling.py`);
`modernbert` is pre-LayerNorm with rotary positions and GeGLU (Warner et al. 2024), every layer global.
Both are held to `transformers` by weight copy in the tests. What comes after them is `head.py`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config import ModelConfig

TYPE_VOCAB_SIZE = 2  # BERT's two segments; a block is one segment, so row 0 is read
ROPE_THETA = 160_000.0  # ModernBERT's global layers
LAYER_NORM_EPS = {"bert": 1e-12, "modernbert": 1e-5}


def layer_norm(config: ModelConfig) -> nn.LayerNorm:
    """LayerNorm over H with the family's ε, and with a bias in `bert` only."""
    return nn.LayerNorm(config.hidden_size, eps=LAYER_NORM_EPS[config.encoder], bias=config.encoder == "bert")


def linear(config: ModelConfig, in_features: int, out_features: int) -> nn.Linear:
    """A dense layer, with a bias in `bert` only."""
    return nn.Linear(in_features, out_features, bias=config.encoder == "bert")


class Embeddings(nn.Module):
    """The word-embedding table and, in `bert`, learned positions and segments: (B, T) → (B, T, H)."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, config.hidden_size)
        if config.encoder == "bert":
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
            self.token_type_embeddings = nn.Embedding(TYPE_VOCAB_SIZE, config.hidden_size)
        self.norm = layer_norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.has_learned_positions = config.encoder == "bert"

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) → (B, T, H)."""
        hidden_states = self.word_embeddings(input_ids)
        if self.has_learned_positions:
            hidden_states = hidden_states + self.token_type_embeddings.weight[0]
            hidden_states = hidden_states + self.position_embeddings.weight[: input_ids.shape[1]]
        hidden_states = self.norm(hidden_states)
        return self.dropout(hidden_states)  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Multi-head attention in both directions, queries, keys and values by one matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.is_rotary = config.encoder == "modernbert"
        self.dropout_prob = config.attention_probs_dropout_prob
        self.query_key_value = linear(config, config.hidden_size, 3 * config.hidden_size)
        self.output = linear(config, config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, T, H); no position attends to one where `is_padding` (B, T)."""
        batch_size, seq_length, hidden_size = hidden_states.shape
        heads = self.query_key_value(hidden_states).view(batch_size, seq_length, 3, self.num_heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, A, T, H / A)
        if self.is_rotary:
            query, key = rotate(query), rotate(key)
        context = attend(query, key, value, is_padding, self.dropout_prob if self.training else 0.0)
        context = context.transpose(1, 2).reshape(batch_size, seq_length, hidden_size)
        return self.output(context)  # type: ignore[no-any-return]


def attend(query: Tensor, key: Tensor, value: Tensor, is_padding: Tensor | None, dropout_prob: float) -> Tensor:
    """softmax(Q Kᵀ / √d) V, each (B, A, T, d).

    On the CPU the plain formula is several times faster than the fused kernel for short blocks.
    """
    if query.is_cuda:
        mask = None if is_padding is None else ~is_padding[:, None, None, :]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_prob)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, A, T, T)
    if is_padding is not None:
        scores = scores.masked_fill(is_padding[:, None, None, :], -torch.inf)
    return F.dropout(scores.softmax(-1), dropout_prob) @ value


def rotate(heads: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, §3.4): turn each pair (i, i + d/2) of (B, A, T, d) by its position's angle."""
    seq_length, head_size = heads.shape[-2:]
    half = head_size // 2
    frequencies = ROPE_THETA ** (-torch.arange(half, device=heads.device) / half)
    angles = torch.arange(seq_length, device=heads.device).unsqueeze(1) * frequencies  # (T, d / 2)
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads[..., :half], heads[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class BertLayer(nn.Module):
    """Attention and feed-forward, each followed by dropout, the residual sum and LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = layer_norm(config)
        self.intermediate = linear(config, config.hidden_size, config.intermediate_size)
        self.output = linear(config, config.intermediate_size, config.hidden_size)
        self.output_norm = layer_norm(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, T, H)."""
        attended = self.dropout(self.attention(hidden_states, is_padding))
        hidden_states = self.attention_norm(hidden_states + attended)
        fed_forward = self.dropout(self.output(F.gelu(self.intermediate(hidden_states))))
        return self.output_norm(hidden_states + fed_forward)  # type: ignore[no-any-return]


class ModernBertLayer(nn.Module):
    """LayerNorm before attention and before a gated feed-forward; the residual stream is never normalised.

    The first layer has no LayerNorm before its attention, since the embeddings end with one.
    """

    def __init__(self, config: ModelConfig, is_first: bool) -> None:
        super().__init__()
        self.attention_norm = nn.Identity() if is_first else layer_norm(config)
        self.attention = SelfAttention(config)
        self.mlp_norm = layer_norm(config)
        self.intermediate = linear(config, config.hidden_size, 2 * config.intermediate_size)
        self.output = linear(config, config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, T, H)."""
        attended = self.attention(self.attention_norm(hidden_states), is_padding)
        hidden_states = hidden_states + self.dropout(attended)
        activation, gate = self.intermediate(self.mlp_norm(hidden_states)).chunk(2, dim=-1)
        return hidden_states + self.dropout(self.output(F.gelu(activation) * gate))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """The layers and, in `modernbert`, a last LayerNorm: (B, T, H) → (B, T, H)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        depth = range(config.num_hidden_layers)
        if config.encoder == "bert":
            self.layers = nn.ModuleList(BertLayer(config) for _ in depth)
            self.final_norm: nn.Module = nn.Identity()
        else:
            self.layers = nn.ModuleList(ModernBertLayer(config, is_first=index == 0) for index in depth)
            self.final_norm = layer_norm(config)

    def forward(self, hidden_states: Tensor, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, T, H)."""
        for layer in self.layers:
            hidden_states = layer(hidden_states, is_padding)
        return self.final_norm(hidden_states)  # type: ignore[no-any-return]

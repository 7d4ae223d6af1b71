"""The two encoders: token ids (B, T) and positions (B, P) → hidden vectors at these positions (B, P, H).

`bert` is post-LayerNorm with learned positions (Devlin et al. 2019; google-research/bert, `modeling.py`);
`modernbert` is pre-LayerNorm with rotary positions and GeGLU (Warner et al. 2024), every layer global.
Both are held to `transformers` by weight copy in the tests. What comes after them is `head.py`.

BERT gathers the positions to predict before its head (google-research/bert, `run_pretraining.py`,
`gather_indexes`). Here they are gathered one layer earlier: of the last layer nothing but the keys and
values is read at other positions, so its queries and its feed-forward are computed at these alone.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config import ModelConfig

TYPE_VOCAB_SIZE = 2  # BERT's two segments; a block is one segment, so row 0 is read
LAYER_NORM_EPS = {"bert": 1e-12, "modernbert": 1e-5}


def layer_norm(config: ModelConfig) -> nn.LayerNorm:
    """LayerNorm over H with the family's ε, and with a bias in `bert` only."""
    return nn.LayerNorm(config.hidden_size, eps=LAYER_NORM_EPS[config.encoder], bias=config.encoder == "bert")


def linear(config: ModelConfig, in_features: int, out_features: int) -> nn.Linear:
    """A dense layer, with a bias in `bert` only."""
    return nn.Linear(in_features, out_features, bias=config.encoder == "bert")


def product_precision(hidden_states: Tensor) -> torch.dtype:
    """Of a matrix product of these: what autocast asks, if it is on."""
    kind = hidden_states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_states.dtype


class WordEmbeddings(nn.Embedding):
    """Rows of a (V, H) table, by id. `backward` adds their gradients to those rows of `weight.grad`, in place.

    `nn.Embedding` makes a gradient of (V, H) that is zero but for the rows read, beside the one that a tied
    output matrix has already. The price: `torch.autograd.grad` does not see this use of the table.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, T) → (B, T, H)."""
        if input.is_cuda:  # adding by row is not done in one order there, and would not repeat
            return super().forward(input)
        rows = F.embedding(input, self.weight.detach())
        if torch.is_grad_enabled() and self.weight.requires_grad:
            add = functools.partial(self._add_gradients, input)
            rows.requires_grad_().register_hook(add)  # type: ignore[no-untyped-call]
        return rows

    def _add_gradients(self, ids: Tensor, gradients: Tensor) -> None:
        if self.weight.grad is None:
            self.weight.grad = torch.zeros_like(self.weight)
        self.weight.grad.index_add_(0, ids.flatten(), gradients.flatten(0, 1))


class Embeddings(nn.Module):
    """The word-embedding table and, in `bert`, learned positions and segments: (B, T) → (B, T, H).

    On a CPU they come in the precision of the layers' products, and so stays what the layers add to: a sum of two
    precisions is a pass over memory more, and every product would round it again. (A GPU's autocast has LayerNorm
    in fp32.)
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.word_embeddings = WordEmbeddings(vocab_size, config.hidden_size)
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
        if not hidden_states.is_cuda:
            hidden_states = hidden_states.to(product_precision(hidden_states))
        return self.dropout(hidden_states)  # type: ignore[no-any-return]


def gather_positions(hidden_states: Tensor, positions: Tensor | None) -> Tensor:
    """Select rows: (B, T, H) and (B, P) → (B, P, H); None selects all."""
    if positions is None:
        return hidden_states
    num_rows, seq_length = hidden_states.shape[:2]
    starts = seq_length * torch.arange(num_rows, device=positions.device).unsqueeze(1)
    return F.embedding(positions + starts, hidden_states.flatten(0, 1))  # a third of the time of take_along_dim


class SelfAttention(nn.Module):
    """Multi-head attention in both directions, queries, keys and values by one matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hidden_size, self.num_heads = config.hidden_size, config.num_attention_heads
        self.rope_theta = config.rope_theta if config.encoder == "modernbert" else None
        self.dropout_prob = config.attention_probs_dropout_prob
        self.query_key_value = linear(config, config.hidden_size, 3 * config.hidden_size)
        self.output = linear(config, config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, positions: Tensor | None, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, P, H) at `positions`; no position attends to one where `is_padding` (B, T)."""
        if positions is None:
            query, key, value = self._heads(self.query_key_value(hidden_states))
        else:
            asked = gather_positions(hidden_states, positions)
            (query,) = self._heads(self._project(asked, slice(0, self.hidden_size)))
            key, value = self._heads(self._project(hidden_states, slice(self.hidden_size, None)))
        seq_length = hidden_states.shape[1]
        query, key = self._turn(query, seq_length, positions), self._turn(key, seq_length, None)
        context = attend(query, key, value, is_padding, self.dropout_prob if self.training else 0.0)
        return self.output(context.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _turn(self, heads: Tensor, seq_length: int, positions: Tensor | None) -> Tensor:
        """Rotary positions, where the family has them: (B, A, P, d) at `positions` (B, P), or at all."""
        if self.rope_theta is None:
            return heads
        cos, sin = rotations(self.rope_theta, seq_length, heads.shape[-1], heads.dtype, heads.device)
        if positions is not None:
            cos, sin = cos[positions].unsqueeze(1), sin[positions].unsqueeze(1)
        return Rotation.apply(heads, cos, sin)  # type: ignore[no-any-return, no-untyped-call]

    def _project(self, hidden_states: Tensor, rows: slice) -> Tensor:
        """By some rows of the matrix that makes queries, keys and values, in this order."""
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        return F.linear(hidden_states, weight[rows], None if bias is None else bias[rows])

    def _heads(self, projected: Tensor) -> list[Tensor]:
        """(B, T, parts × H) → a (B, A, T, d) for each part."""
        head_size = self.hidden_size // self.num_heads
        parts = projected.view(*projected.shape[:2], -1, self.num_heads, head_size).unbind(2)
        return [part.transpose(1, 2).contiguous() for part in parts]  # the products would copy them, and more often


def attend(query: Tensor, key: Tensor, value: Tensor, is_padding: Tensor | None, dropout_prob: float) -> Tensor:
    """softmax(Q Kᵀ / √d) V: (B, A, P, d), (B, A, T, d) and (B, A, T, d) → (B, A, P, d).

    On the CPU the plain formula is several times faster than the fused kernel for short blocks.
    """
    if query.is_cuda:
        mask = None if is_padding is None else ~is_padding[:, None, None, :]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_prob)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, A, P, T)
    if is_padding is not None:
        scores = scores.masked_fill(is_padding[:, None, None, :], -torch.inf)
    return F.dropout(scores.softmax(-1), dropout_prob) @ value


@functools.cache
def rotations(
    rope_theta: float, seq_length: int, head_size: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles as `rotate` takes them, (T, d) each."""
    half = head_size // 2
    frequencies = rope_theta ** (-torch.arange(half, device=device) / half)
    angles = torch.arange(seq_length, device=device).unsqueeze(1) * frequencies
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


class Rotation(torch.autograd.Function):
    """Rotary positions (Su et al. 2021, §3.4): turn each pair (i, i + d/2) of (…, T, d) by its position's angle.

    The gradient is turned back by the same angle, in as few passes.
    """

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(…, T, d) and two of (T, d), as `rotations` gives them → (…, T, d)."""
        ctx.save_for_backward(cos, sin)
        return rotate(heads, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """(…, T, d) → that of the heads."""
        cos, sin = ctx.saved_tensors
        return rotate(gradient.contiguous(), cos, -sin), None, None


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`Rotation` as a formula."""
    first, second = heads.chunk(2, dim=-1)
    return torch.addcmul(heads * cos, torch.cat([second, first], dim=-1), sin)


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

    def forward(self, hidden_states: Tensor, positions: Tensor | None, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, P, H)."""
        attended = self.dropout(self.attention(hidden_states, positions, is_padding))
        hidden_states = self.attention_norm(gather_positions(hidden_states, positions) + attended)
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

    def forward(self, hidden_states: Tensor, positions: Tensor | None, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) → (B, P, H)."""
        attended = self.attention(self.attention_norm(hidden_states), positions, is_padding)
        hidden_states = gather_positions(hidden_states, positions) + self.dropout(attended)
        activation, gate = self.intermediate(self.mlp_norm(hidden_states)).chunk(2, dim=-1)
        return hidden_states + self.dropout(self.output(F.gelu(activation) * gate))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """The layers and, in `modernbert`, a last LayerNorm: (B, T, H) → (B, P, H)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        depth = range(config.num_hidden_layers)
        if config.encoder == "bert":
            self.layers = nn.ModuleList(BertLayer(config) for _ in depth)
            self.final_norm: nn.Module = nn.Identity()
        else:
            self.layers = nn.ModuleList(ModernBertLayer(config, is_first=index == 0) for index in depth)
            self.final_norm = layer_norm(config)

    def forward(self, hidden_states: Tensor, positions: Tensor, is_padding: Tensor | None) -> Tensor:
        """(B, T, H) and (B, P) → (B, P, H)."""
        for layer in self.layers[:-1]:
            hidden_states = layer(hidden_states, None, is_padding)
        hidden_states = self.layers[-1](hidden_states, positions, is_padding)
        return self.final_norm(hidden_states)  # type: ignore[no-any-return]

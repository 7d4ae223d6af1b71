"""Self-attention in both directions, at all positions or at a few, with rotary positions where the encoder has them."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config.model_config import ModelConfig
from tiedlm.model.dropout import dropout, is_divided
from tiedlm.model.linear_and_norm import linear


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
    if query.is_cuda and not (dropout_prob and is_divided()):  # the kernel's zeros depend on the shape
        mask = None if is_padding is None else ~is_padding[:, None, None, :]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_prob)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, A, P, T)
    if is_padding is not None:
        scores = scores.masked_fill(is_padding[:, None, None, :], -torch.inf)
    return dropout(scores.softmax(-1), dropout_prob) @ value


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

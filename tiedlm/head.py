"""The masked-LM head, the subject of this project: hidden vectors (B, P, H) → logits (B, P, V) → loss.

    logits = g(h) · Wᵀ + b        g = dense → GELU → LayerNorm

W (V×H) is the word-embedding table itself (tied) or a matrix of its own (untied); `model.py` decides.
Piece by piece as in google-research/bert, `run_pretraining.py`, `get_masked_lm_output`. Nothing here
knows whether W is shared.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config import ModelConfig
from tiedlm.encoder import layer_norm, linear

ELEMENTS_AT_ONCE = 1 << 18  # what a core's cache holds in fp32


class Transform(nn.Module):
    """dense H→H, GELU, LayerNorm. It belongs to pre-training alone and is dropped for fine-tuning."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = linear(config, config.hidden_size, config.hidden_size)
        self.norm = layer_norm(config)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, P, H) → (B, P, H)."""
        return self.norm(F.gelu(self.dense(hidden_states)))  # type: ignore[no-any-return]


class MaskedLMHead(nn.Module):
    """Transform, then one score for each token of the vocabulary.

    `decoder` is BERT's word for the output matrix W with its output-only bias b; it decodes no sequence.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.transform = Transform(config) if config.head_transform else nn.Identity()
        self.decoder = nn.Linear(config.hidden_size, vocab_size)  # weight (V, H), bias (V,)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, P, H) → (B, P, V)."""
        return self.decoder(self.transform(hidden_states))  # type: ignore[no-any-return]


def token_nll(logits: Tensor, masked_lm_ids: Tensor) -> Tensor:
    """−log softmax(logits)[true id] in nats, in fp32 whatever the logits are: (B, P, V) and (B, P) → (B, P).

    Where a gradient is wanted, the logits are used up: their memory becomes that of their gradient.
    """
    nll: Tensor = _TokenNLL.apply(logits.flatten(0, 1), masked_lm_ids.flatten())  # type: ignore[no-untyped-call]
    return nll.view_as(masked_lm_ids)


class _TokenNLL(torch.autograd.Function):
    """Cross-entropy that makes its gradient on the way, softmax − one-hot, in the place of the logits.

    So of all that is V wide, one tensor is kept, and fp32 copies are a few rows high; the library's
    cross-entropy keeps an fp32 copy and fills another, which is half of a step on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ids: Tensor) -> Tensor:
        """(N, V) and (N,) → (N,)."""
        exact = torch.promote_types(logits.dtype, torch.float32)
        nll = torch.empty(len(logits), dtype=exact, device=logits.device)
        num_rows = max(1, ELEMENTS_AT_ONCE // logits.shape[1])
        for start in range(0, len(logits), num_rows):
            rows = slice(start, start + num_rows)
            columns = ids[rows].unsqueeze(1)
            scores = logits[rows].to(exact)
            target_scores = scores.gather(1, columns)
            largest = scores.amax(1, keepdim=True)
            probabilities = scores.softmax(1)
            # log Σ exp, from the entry whose probability cannot vanish
            nll[rows] = (largest - probabilities.amax(1, keepdim=True).log() - target_scores).squeeze(1)
            if ctx.needs_input_grad[0]:
                logits[rows] = probabilities.scatter_add_(1, columns, -torch.ones_like(target_scores))
        ctx.gradient = logits.detach() if ctx.needs_input_grad[0] else None
        return nll

    @staticmethod
    def backward(ctx: Any, nll_gradient: Tensor) -> tuple[Tensor, None]:
        """Scale the kept (N, V) by the incoming (N,), in place, and keep it no longer."""
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(nll_gradient.unsqueeze(1).to(gradient.dtype)), None


def masked_lm_loss(nll: Tensor, masked_lm_weights: Tensor) -> Tensor:
    """Σ(w·nll) / (Σw + 1e-5): the mean over real predictions, in nats, of (B, P) and (B, P).

    The 1e-5 is the source's guard against a batch without predictions.
    """
    return (nll * masked_lm_weights).sum() / (masked_lm_weights.sum() + 1e-5)

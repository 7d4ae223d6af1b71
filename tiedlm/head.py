"""The masked-LM head, the subject of this project: hidden vectors (B, P, H) → logits (B, P, V) → loss.

    logits = g(h) · Wᵀ + b        g = dense → GELU → LayerNorm

W (V×H) is the word-embedding table itself (tied) or a matrix of its own (untied); `model.py` decides.
Piece by piece as in google-research/bert, `run_pretraining.py`, `get_masked_lm_output`. Nothing here
knows whether W is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config import ModelConfig
from tiedlm.encoder import layer_norm, linear

CACHED_LOGITS = 1 << 18  # what a core's cache holds in fp32
KEPT_LOGITS = 20 << 20  # 40 MiB in bf16
ROUNDED_ROWS = 1 << 13  # of the matrix, copied at lower precision at a time


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
        """Logits: (B, P, H) → (B, P, V)."""
        return self.decoder(self.transform(hidden_states))  # type: ignore[no-any-return]

    def loss(self, hidden_states: Tensor, masked_lm_ids: Tensor, masked_lm_weights: Tensor) -> Tensor:
        """Σ(w·nll) / (Σw + 1e-5): the mean over real predictions, in nats, of (B, P, H), (B, P) and (B, P).

        The 1e-5 is the source's guard against a batch without predictions.
        """
        hidden_states = self.transform(hidden_states).flatten(0, 1)
        scales = masked_lm_weights / (masked_lm_weights.sum() + 1e-5)
        kind = hidden_states.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden_states.dtype
        with torch.autocast(kind, enabled=False):  # it would round the sums too
            return _DecoderLoss.apply(  # type: ignore[no-any-return, no-untyped-call]
                hidden_states,
                self.decoder.weight,
                self.decoder.bias,
                masked_lm_ids.flatten(),
                scales.flatten(),
                precision,
            )

    @torch.no_grad()
    def score(self, hidden_states: Tensor, masked_lm_ids: Tensor) -> tuple[Tensor, Tensor]:
        """`score` of the logits, of which there are `KEPT_LOGITS` at a time: (B, P, H) and (B, P) → two of (B, P)."""
        hidden_states, ids = self.transform(hidden_states).flatten(0, 1), masked_lm_ids.flatten()
        slices = _slices(len(ids), KEPT_LOGITS // self.decoder.out_features)
        pieces = [score(self.decoder(hidden_states[rows]), ids[rows]) for rows in slices]
        nll, is_correct = (torch.cat(column).view_as(masked_lm_ids) for column in zip(*pieces, strict=True))
        return nll, is_correct


def score(logits: Tensor, masked_lm_ids: Tensor) -> tuple[Tensor, Tensor]:
    """How good a prediction is, for evaluation: (…, V) and (…) → two of (…).

    −log softmax(logits)[true id] in nats, in fp32 whatever the logits are, and whether the true id scores
    highest (of equal scores, the first). Neither takes part in a gradient.
    """
    logits, ids = logits.detach().flatten(0, -2), masked_lm_ids.flatten()
    pieces = [(piece.nll, _is_first_choice(piece.scores, ids[piece.rows])) for piece in _pieces(logits, ids)]
    nll, is_correct = (torch.cat(column).view_as(masked_lm_ids) for column in zip(*pieces, strict=True))
    return nll, is_correct


def _is_first_choice(scores: Tensor, ids: Tensor) -> Tensor:
    """`argmax(scores) == ids`, (N,), with the slow argmax only for rows where the id has the highest score."""
    is_highest = scores.gather(1, ids.unsqueeze(1)).squeeze(1) == scores.amax(1)
    is_first = is_highest.clone()
    is_first[is_highest] = scores[is_highest].argmax(1) == ids[is_highest]
    return is_first


class _Piece(NamedTuple):
    """A few rows of (N, V) logits, as many as fit a core's cache in fp32."""

    rows: slice
    scores: Tensor
    probabilities: Tensor
    nll: Tensor


def _pieces(logits: Tensor, ids: Tensor, bias: Tensor | None = None) -> Iterator[_Piece]:
    """(N, V), (N,) and (V,), piece by piece; with a bias, fp32 logits are written over by their sums with it."""
    for rows in _slices(len(logits), CACHED_LOGITS // logits.shape[1]):
        scores = logits[rows].to(torch.promote_types(logits.dtype, torch.float32))
        if bias is not None:
            scores.add_(bias)
        probabilities = scores.softmax(1)
        # log Σ exp, from the entry whose probability cannot vanish
        log_partition = scores.amax(1) - probabilities.amax(1).log()
        yield _Piece(rows, scores, probabilities, log_partition - scores.gather(1, ids[rows].unsqueeze(1)).squeeze(1))


class _DecoderLoss(torch.autograd.Function):
    """The product with the output matrix and its weighted cross-entropy, in one, for the sake of memory and time.

    The gradients are made with the loss, by rows: what is V wide exists for `KEPT_LOGITS` at a time and is
    written over by its own gradient. The library's cross-entropy keeps logits, an fp32 copy and a gradient.
    Matrix products are of `precision`; every sum over rows or over V is fp32, or wider if the logits are.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_states: Tensor,
        weight: Tensor,
        bias: Tensor,
        ids: Tensor,
        scales: Tensor,
        precision: torch.dtype,
    ) -> Tensor:
        """(N, H), (V, H), (V,), (N,) and each row's factor (N,) → the sum, ()."""
        vocab_size = len(weight)
        gradients = [torch.zeros_like(tensor) for tensor in (hidden_states, weight, bias)]
        of_hidden_states, of_weight, of_bias = gradients
        loss = scales.new_zeros((), dtype=torch.promote_types(precision, torch.float32))
        for rows in _slices(len(hidden_states), KEPT_LOGITS // vocab_size):
            hidden = hidden_states[rows].to(precision)
            logits = hidden.new_empty(len(hidden), vocab_size)
            for columns in _slices(vocab_size, ROUNDED_ROWS):
                torch.mm(hidden, weight[columns].to(precision).t(), out=logits[:, columns])
            for part, _, probabilities, nll in _pieces(logits, ids[rows], bias):
                factors = scales[rows][part].to(nll.dtype)
                loss += nll @ factors
                # the gradient: softmax − one-hot
                probabilities[torch.arange(len(nll), device=ids.device), ids[rows][part]] -= 1.0
                of_bias += factors @ probabilities
                logits[part] = probabilities.mul_(factors.unsqueeze(1))
            for columns in _slices(vocab_size, ROUNDED_ROWS):
                of_hidden_states[rows] += logits[:, columns] @ weight[columns].to(precision)
                of_weight[columns] += logits[:, columns].t() @ hidden
        ctx.gradients = gradients
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """() → the gradients of (N, H), (V, H) and (V,)."""
        gradients, ctx.gradients = ctx.gradients, None  # kept no longer than needed
        return *(gradient.mul_(factor) for gradient in gradients), None, None, None


def _slices(size: int, limit: int) -> list[slice]:
    """As few as keep to the limit, and as equal as can be."""
    num_slices = -(-size // max(1, limit))
    return [slice(size * index // num_slices, size * (index + 1) // num_slices) for index in range(num_slices)]

"""The masked-LM head, the subject of this project: hidden vectors (B, P, H) → logits (B, P, V) → loss.

    logits = g(h) · Wᵀ + b        g = dense → GELU → LayerNorm
    loss   = Σ(w · nll) / (Σw + 1e-5),  nll = −log softmax(logits)[true id]

W (V×H) is the word-embedding table itself (tied) or a matrix of its own (untied); `masked_lm.py` decides.
Piece by piece as in google-research/bert, `run_pretraining.py`, `get_masked_lm_output`. Nothing here
knows whether W is shared.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config.interventions import PLAIN, Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.model.fused_loss import fused_loss
from tiedlm.model.gradient_scale import GradientScale
from tiedlm.model.linear_and_norm import layer_norm, linear
from tiedlm.model.output_rows import ROTATED
from tiedlm.model.prediction_scores import score_by_rows


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

    def __init__(self, config: ModelConfig, vocab_size: int, intervention: Intervention = PLAIN) -> None:
        super().__init__()
        self.transform = Transform(config) if config.head_transform else nn.Identity()
        size = config.hidden_size
        width = size // 2 if intervention.halved else size
        self.projection = nn.Linear(size, width, bias=False) if intervention.halved else None
        self.decoder = nn.Linear(width, vocab_size)  # weight (V, H), bias (V,)
        if not intervention.decoder_bias:
            del self.decoder.bias
            self.decoder.register_buffer("bias", torch.zeros(vocab_size), persistent=False)
        self.gradient_scale = GradientScale(intervention.output_gradient_scale, vocab_size)
        is_rotated = intervention.output_rows.startswith(ROTATED)
        is_own = intervention.output_rows == "own" or is_rotated
        self.register_buffer("output_rows", None if is_own else torch.arange(vocab_size))
        self.output_rows: Tensor | None
        """(V,): the row of W and b that scores each token, where it is not its own (`output_rows.py`)."""
        self.register_buffer("rotation", torch.eye(size) if is_rotated else None)
        self.rotation: Tensor | None
        """(H, H): by which the rows of W are turned before they score."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Logits: (B, P, H) → (B, P, V)."""
        scores = self.decoder(self.guess(hidden_states))  # of each row
        return scores if self.output_rows is None else scores[..., self.output_rows]  # type: ignore[no-any-return]

    def loss(
        self,
        hidden_states: Tensor,
        masked_lm_ids: Tensor,
        masked_lm_weights: Tensor,
        sum_of_weights: float | None = None,
    ) -> Tensor:
        """`masked_lm_loss` of the logits, which are never all there: (B, P, H), (B, P) and (B, P) → (), in nats.

        Of a part of a batch, `sum_of_weights` is that of the whole, and the parts' losses add up to the whole's.
        """
        guesses = self.guess(hidden_states).flatten(0, 1)
        scales = loss_scales(masked_lm_weights, sum_of_weights).flatten()
        rows = self._rows(masked_lm_ids).flatten()
        weight = self.decoder.weight
        if self.training and self.gradient_scale.acts:
            weight = self.gradient_scale(weight)
        return fused_loss(guesses, weight, self.decoder.bias, rows, scales)

    def score(self, hidden_states: Tensor, masked_lm_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Each prediction's loss in nats, and whether it is right: (B, P, H) and (B, P) → two of (B, P)."""
        guesses = self.guess(hidden_states).flatten(0, 1)
        rows = self._rows(masked_lm_ids).flatten()
        nll, is_correct = score_by_rows(guesses, self.decoder.weight, self.decoder.bias, rows)
        return nll.view_as(masked_lm_ids), is_correct.view_as(masked_lm_ids)

    def guess(self, hidden_states: Tensor) -> Tensor:
        """What the rows of W are multiplied by: (…, H) → (…, H).

        E · R times g is E times R · g, so that a rotation of all rows is one of the guess.
        """
        guess = self.transform(hidden_states)
        if self.rotation is not None:
            with torch.autocast(guess.device.type, enabled=False):
                guess = guess @ self.rotation.t().to(guess.dtype)
        return guess if self.projection is None else self.projection(guess)  # type: ignore[no-any-return]

    def rows_by_token(self) -> tuple[Tensor, Tensor]:
        """W (V, H) and b (V,) as they score what the transform gives, in the order of the tokens: the parameters
        themselves where each token has its own row, else a copy."""
        weight, bias = self.decoder.weight, self.decoder.bias
        if self.projection is not None:
            weight = weight @ self.projection.weight
        if self.rotation is not None:
            weight = weight @ self.rotation
        return (weight, bias) if self.output_rows is None else (weight[self.output_rows], bias[self.output_rows])

    def _rows(self, token_ids: Tensor) -> Tensor:
        return token_ids if self.output_rows is None else self.output_rows[token_ids]


def masked_lm_loss(logits: Tensor, masked_lm_ids: Tensor, masked_lm_weights: Tensor) -> Tensor:
    """The mean over real predictions, as a formula: (B, P, V), (B, P) and (B, P) → (), in nats.

    Training computes the same number by `MaskedLMHead.loss`; this is what it is held to.
    """
    log_probabilities = F.log_softmax(logits, dim=-1)
    nll = -log_probabilities.gather(-1, masked_lm_ids.unsqueeze(-1)).squeeze(-1)  # (B, P)
    return (nll * loss_scales(masked_lm_weights)).sum()


def loss_scales(masked_lm_weights: Tensor, sum_of_weights: float | None = None) -> Tensor:
    """What each prediction counts, (B, P): its weight over their sum, with the source's guard against a sum of 0."""
    return masked_lm_weights / ((masked_lm_weights.sum() if sum_of_weights is None else sum_of_weights) + 1e-5)

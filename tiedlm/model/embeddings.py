"""Token ids (B, T) → vectors (B, T, H): the word-embedding table, which a tied head multiplies by a second time."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config.interventions import PLAIN, Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.model.dropout import Dropout
from tiedlm.model.gradient_scale import GradientScale
from tiedlm.model.linear_and_norm import layer_norm, product_precision

TYPE_VOCAB_SIZE = 2  # BERT's two segments; a block is one segment, so row 0 is read


class WordEmbeddings(nn.Embedding):
    """Rows of a (V, H) table, by id. `backward` adds their gradients to those rows of `weight.grad`, in place.

    `nn.Embedding` makes a gradient of (V, H) that is zero but for the rows read, beside the one that a tied
    output matrix has already. The price: `torch.autograd.grad` does not see this use of the table.
    """

    def __init__(self, vocab_size: int, hidden_size: int, scale: GradientScale | None = None) -> None:
        super().__init__(vocab_size, hidden_size)
        self.gradient_scale = scale or GradientScale(1.0, vocab_size)

    def forward(self, input: Tensor) -> Tensor:
        """(B, T) → (B, T, H)."""
        if input.is_cuda:  # adding by row is not done in one order there, and would not repeat
            rows = super().forward(input)
            if self.training and self.gradient_scale.acts and rows.requires_grad:
                scale = functools.partial(self.gradient_scale.of_rows, ids=input)
                rows.register_hook(scale)  # type: ignore[no-untyped-call]
            return rows
        rows = F.embedding(input, self.weight.detach())
        if torch.is_grad_enabled() and self.weight.requires_grad:
            add = functools.partial(self._add_gradients, input)
            rows.requires_grad_().register_hook(add)  # type: ignore[no-untyped-call]
        return rows

    def _add_gradients(self, ids: Tensor, gradients: Tensor) -> None:
        if self.weight.grad is None:
            self.weight.grad = torch.zeros_like(self.weight)
        if self.training and self.gradient_scale.acts:
            gradients = self.gradient_scale.of_rows(gradients, ids)
        self.weight.grad.index_add_(0, ids.flatten(), gradients.flatten(0, 1))


class Embeddings(nn.Module):
    """The word-embedding table and, in `bert`, learned positions and segments: (B, T) → (B, T, H).

    On a CPU they come in the precision of the layers' products, and so stays what the layers add to: a sum of two
    precisions is a pass over memory more, and every product would round it again. (A GPU's autocast has LayerNorm
    in fp32.)
    """

    def __init__(self, config: ModelConfig, vocab_size: int, intervention: Intervention = PLAIN) -> None:
        super().__init__()
        scale = GradientScale(intervention.input_gradient_scale, vocab_size)
        width = config.hidden_size // 2 if intervention.halved else config.hidden_size
        self.word_embeddings = WordEmbeddings(vocab_size, width, scale)
        self.projection = nn.Linear(width, config.hidden_size, bias=False) if intervention.halved else None
        if config.encoder == "bert":
            self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
            self.token_type_embeddings = nn.Embedding(TYPE_VOCAB_SIZE, config.hidden_size)
        self.norm = layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.has_learned_positions = config.encoder == "bert"

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) → (B, T, H)."""
        hidden_states = self.word_embeddings(input_ids)
        if self.projection is not None:
            hidden_states = self.projection(hidden_states)
        if self.has_learned_positions:
            hidden_states = hidden_states + self.token_type_embeddings.weight[0]
            hidden_states = hidden_states + self.position_embeddings.weight[: input_ids.shape[1]]
        hidden_states = self.norm(hidden_states)
        if not hidden_states.is_cuda:
            hidden_states = hidden_states.to(product_precision(hidden_states))
        return self.dropout(hidden_states)  # type: ignore[no-any-return]

    def rows_by_token(self) -> Tensor:
        """(V, H): by which each token enters; the table itself where its rows are not mapped to H first."""
        table = self.word_embeddings.weight
        return table if self.projection is None else table @ self.projection.weight.t()

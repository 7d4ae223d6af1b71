"""The two encoders: embedded tokens (B, T, H) and positions (B, P) → hidden vectors at these positions (B, P, H).

`bert` is post-LayerNorm with learned positions (Devlin et al. 2019; google-research/bert, `modeling.py`);
`modernbert` is pre-LayerNorm with rotary positions and GeGLU (Warner et al. 2024), every layer global.
Both are held to `transformers` by weight copy in the tests.

BERT gathers the positions to predict before its head (google-research/bert, `run_pretraining.py`,
`gather_indexes`). Here they are gathered one layer earlier: of the last layer nothing but the keys and
values is read at other positions, so its queries and its feed-forward are computed at these alone.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config.model_config import ModelConfig
from tiedlm.model.attention import SelfAttention, gather_positions
from tiedlm.model.dropout import Dropout
from tiedlm.model.linear_and_norm import layer_norm, linear


class BertLayer(nn.Module):
    """Attention and feed-forward, each followed by dropout, the residual sum and LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = layer_norm(config)
        self.intermediate = linear(config, config.hidden_size, config.intermediate_size)
        self.output = linear(config, config.intermediate_size, config.hidden_size)
        self.output_norm = layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

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
        self.dropout = Dropout(config.hidden_dropout_prob)

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

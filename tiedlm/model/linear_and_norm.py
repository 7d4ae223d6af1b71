"""The dense layer and LayerNorm of each encoder, and the precision of their products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiedlm.config.model_config import ModelConfig

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

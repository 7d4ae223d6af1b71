"""The parameters of a loaded model, counted as `count-params` counts the file that holds it."""

from __future__ import annotations

import torch
from torch import nn


def count_parameters(model: nn.Module) -> int:
    """Each once, however many names it has; and a bias that the class splits in two, while both parts are alike.

    BERT's head in `transformers` 5 (`BertLMPredictionHead`) has its bias under two names. Tied, they are one parameter.
    Untied they are two, of which one is never read. `_tied_weights_keys` of the class names such pairs.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    pairs = getattr(model, "_tied_weights_keys", None) or {}
    again = [
        named[name]
        for name, first in pairs.items()
        if name in named and first in named and _is_copied_bias(named[name], named[first])
    ]
    return sum(parameter.numel() for parameter in model.parameters()) - sum(copy.numel() for copy in again)


def _is_copied_bias(bias: nn.Parameter, first: nn.Parameter) -> bool:
    return bias is not first and bias.ndim == 1 and torch.equal(bias, first)

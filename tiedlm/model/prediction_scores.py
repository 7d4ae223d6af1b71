"""How good predictions are, for evaluation: the loss of each in nats, and whether the true id scores highest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tiedlm.model.linear_and_norm import product_precision
from tiedlm.model.logit_slices import cached_slices, make_logits, row_slices, to_scores


@torch.no_grad()
def score_by_rows(hidden_states: Tensor, weight: Tensor, bias: Tensor, masked_lm_ids: Tensor) -> tuple[Tensor, Tensor]:
    """`score` of the logits, of which some rows are made at a time: (N, H), (V, H), (V,) and (N,) → two of (N,)."""
    hidden_states = hidden_states.to(product_precision(hidden_states))
    pieces = [
        score(make_logits(hidden_states[rows], weight), masked_lm_ids[rows], bias)
        for rows in row_slices(len(masked_lm_ids), len(weight))
    ]
    nll, is_correct = (torch.cat(column) for column in zip(*pieces, strict=True))
    return nll, is_correct


def score(logits: Tensor, masked_lm_ids: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How good a prediction is, for evaluation: (…, V), (…) and, if the logits are still without it, (V,) → two of (…).

    −log softmax(logits)[true id] in nats, in fp32 whatever the logits are, and whether the true id scores
    highest (of equal scores, the first). Neither takes part in a gradient.
    """
    logits, ids = logits.detach().flatten(0, -2), masked_lm_ids.flatten()
    columns: tuple[list[Tensor], list[Tensor]] = [], []
    for rows in cached_slices(logits):
        scores = to_scores(logits[rows], bias)
        columns[0].append(F.cross_entropy(scores, ids[rows], reduction="none"))
        columns[1].append(_is_first_choice(scores, ids[rows]))
    nll, is_correct = (torch.cat(column).view_as(masked_lm_ids) for column in columns)
    return nll, is_correct


def _is_first_choice(scores: Tensor, ids: Tensor) -> Tensor:
    """`argmax(scores) == ids`, (N,), with the slow argmax only for rows where the id has the highest score."""
    is_highest = scores.gather(1, ids.unsqueeze(1)).squeeze(1) == scores.amax(1)
    is_first = is_highest.clone()
    is_first[is_highest] = scores[is_highest].argmax(1) == ids[is_highest]
    return is_first

"""The loss of the head in one with its gradients: the sums of `head.masked_lm_loss`, without its copies of V columns.

Logits exist for some rows or columns at a time and are written over by their own gradient. The library's cross-entropy
keeps logits, an fp32 copy and a gradient. The tests hold this file to the plain formula, in fp64 and in bf16.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tiedlm.model.linear_and_norm import product_precision
from tiedlm.model.logit_slices import (
    cached_slices,
    column_slices,
    columns_are_faster,
    make_logits,
    matrix_slices,
    row_slices,
    sum_dtype,
    to_scores,
)


def fused_loss(hidden_states: Tensor, weight: Tensor, bias: Tensor, masked_lm_ids: Tensor, scales: Tensor) -> Tensor:
    """Σ scale · −log softmax(h · Wᵀ + b)[true id]: (N, H), (V, H), (V,), (N,) and (N,) → (), in nats."""
    precision = product_precision(hidden_states)
    with torch.autocast(hidden_states.device.type, enabled=False):  # it would round the sums too
        return _FusedLoss.apply(  # type: ignore[no-any-return, no-untyped-call]
            hidden_states, weight, bias, masked_lm_ids, scales, precision
        )


class _FusedLoss(torch.autograd.Function):
    """The product with the output matrix and its weighted cross-entropy, in one, for the sake of memory and time.

    The gradients are made with the loss. Matrix products are of `precision`; losses, softmax and sums over products
    are fp32, or wider if the logits are.
    The logits' gradient is the softmax p, but p − 1 at the true id. That entry is left out of the products and its part
    added by rows: in bf16, p − 1 is −1 for every p below 1/512.
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
        scales = scales.to(sum_dtype(precision))
        by_slices = _by_columns if columns_are_faster(len(hidden_states), len(weight)) else _by_rows
        nll, id_probabilities, (hidden_gradient, weight_gradient, bias_gradient) = by_slices(
            hidden_states, weight, bias, ids, scales, precision
        )
        truth_gradient = id_probabilities - 1.0
        hidden_gradient += truth_gradient.unsqueeze(1) * weight[ids]
        hidden_gradient *= scales.unsqueeze(1)
        truth_gradient *= scales
        _add_rows(weight_gradient, ids, truth_gradient.unsqueeze(1) * hidden_states)
        _add_rows(bias_gradient, ids, truth_gradient)
        ctx.gradients = hidden_gradient.to(hidden_states.dtype), weight_gradient, bias_gradient
        return nll @ scales

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """() → the gradients of (N, H), (V, H) and (V,), once.

        Raises:
            RuntimeError: they were taken before.
        """
        if ctx.gradients is None:
            raise RuntimeError("the gradients of this loss were taken before and are not kept; compute the loss again")
        gradients, ctx.gradients = ctx.gradients, None
        if factor.is_cuda or factor != 1.0:  # in training it is 1, which a GPU would have to be waited for to tell
            for gradient in gradients:
                gradient.mul_(factor)
        return *gradients, None, None, None


Answer = tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]
"""−log p(id) and p(id), (N,) each, and what all other ids give: (N, H), not yet times the scales; (V, H) and (V,)."""


def _by_rows(
    hidden_states: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, scales: Tensor, precision: torch.dtype
) -> Answer:
    """As many rows at a time as have their logits kept; each time a pass over the matrix for them, and one after."""
    nll, id_probabilities = torch.empty_like(scales), torch.empty_like(scales)
    gradients = _zeros(hidden_states, weight, bias, scales)
    hidden_gradient, weight_gradient, bias_gradient = gradients
    for rows in row_slices(len(hidden_states), len(weight)):
        logits = make_logits(hidden_states[rows].to(precision), weight)
        for part in cached_slices(logits):
            found = _cross_entropy(logits[part], bias, ids[rows][part])
            nll[rows][part], id_probabilities[rows][part], other_probabilities = found
            bias_gradient += scales[rows][part] @ other_probabilities
            logits[part] = other_probabilities
        hidden = (hidden_states[rows] * scales[rows].unsqueeze(1)).to(precision)
        for columns in matrix_slices(len(weight)):
            hidden_gradient[rows] += logits[:, columns] @ weight[columns].to(precision)
            put = Tensor.add_ if rows.start else Tensor.copy_  # the first need not be added to zeros
            put(weight_gradient[columns], logits[:, columns].t() @ hidden)
    return nll, id_probabilities, gradients


def _by_columns(
    hidden_states: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, scales: Tensor, precision: torch.dtype
) -> Answer:
    """All rows, and so few columns at a time that no logits are kept: they are made twice, the matrix is read thrice.

    First for what softmax divides by, highest and sum at once (Milakov & Gimelshein 2018, "Online normalizer
    calculation for softmax", alg. 3); then for the gradients.
    """
    gradients = _zeros(hidden_states, weight, bias, scales)
    hidden_gradient, weight_gradient, bias_gradient = gradients
    rounded = hidden_states.to(precision)
    highest, sums, truths = torch.full_like(scales, -torch.inf), torch.zeros_like(scales), torch.zeros_like(scales)
    for columns in column_slices(len(hidden_states), len(weight)):
        logits = make_logits(rounded, weight[columns])
        for part in cached_slices(logits):
            scores = to_scores(logits[part], bias[columns])
            is_here, index = _within(ids[part], columns)
            truths[part] += scores.gather(1, index).squeeze(1) * is_here
            before, highest[part] = highest[part].clone(), torch.maximum(scores.amax(1), highest[part])
            sums[part] *= (before - highest[part]).exp_()
            sums[part] += scores.sub_(highest[part].unsqueeze(1)).exp_().sum(1)
    factors = scales / sums  # not of V numbers a row, but of its H
    hidden = (hidden_states * factors.unsqueeze(1)).to(precision)
    for columns in column_slices(len(hidden_states), len(weight)):
        logits = make_logits(rounded, weight[columns])
        for part in cached_slices(logits):
            powers = to_scores(logits[part], bias[columns]).sub_(highest[part].unsqueeze(1)).exp_()
            is_here, index = _within(ids[part], columns)
            powers.scatter_(1, index, powers.gather(1, index).masked_fill(is_here.unsqueeze(1), 0.0))
            bias_gradient[columns] += factors[part] @ powers
            logits[part] = powers
        hidden_gradient += logits @ weight[columns].to(precision)
        weight_gradient[columns] = logits.t() @ hidden
    hidden_gradient /= sums.unsqueeze(1)
    nll = sums.log() + (highest - truths)
    return nll, (truths - highest).exp() / sums, gradients


def _zeros(hidden_states: Tensor, weight: Tensor, bias: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """To add gradients to; those of the matrix are not zeros, since they are written first."""
    return torch.zeros_like(hidden_states, dtype=scales.dtype), torch.empty_like(weight), torch.zeros_like(bias)


def _within(ids: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Which ids are among these columns, and where, or 0: (N,) → (N,) and (N, 1)."""
    index = ids - columns.start
    is_here = (index >= 0) & (index < columns.stop - columns.start)
    return is_here, torch.where(is_here, index, 0).unsqueeze(1)


def _cross_entropy(logits: Tensor, bias: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, V), (V,) and (N,) → −log p(id) in nats, (N,); p(id), (N,); p of all others, with 0 for the id, (N, V)."""
    scores = to_scores(logits, bias)
    probabilities = torch.softmax(scores, 1, out=scores)
    index = ids.unsqueeze(1)
    id_probabilities = probabilities.gather(1, index).squeeze(1)
    nll = -id_probabilities.log()
    vanished = id_probabilities < torch.finfo(id_probabilities.dtype).tiny
    if vanished.any():  # their logarithm is a number nevertheless
        nll[vanished] = F.cross_entropy(to_scores(logits[vanished], bias), ids[vanished], reduction="none")
    return nll, id_probabilities, probabilities.scatter_(1, index, 0.0)


def _add_rows(matrix: Tensor, ids: Tensor, rows: Tensor) -> None:
    """`matrix[ids] += rows`, in which each repetition of an id counts: (V, …), (N,) and (N, …)."""
    rows = rows.to(matrix.dtype)
    if matrix.is_cuda:  # of the two, each repeats its sums to the last digit on one kind of device alone
        matrix.index_put_((ids,), rows, accumulate=True)
    else:
        matrix.index_add_(0, ids, rows)

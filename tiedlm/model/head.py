"""The masked-LM head, the subject of this project: hidden vectors (B, P, H) → logits (B, P, V) → loss.

    logits = g(h) · Wᵀ + b        g = dense → GELU → LayerNorm

W (V×H) is the word-embedding table itself (tied) or a matrix of its own (untied); `masked_lm.py` decides.
Piece by piece as in google-research/bert, `run_pretraining.py`, `get_masked_lm_output`. Nothing here
knows whether W is shared.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config import ModelConfig
from tiedlm.model.encoder import layer_norm, linear, product_precision

CACHED_LOGITS = 1 << 19  # 2 MiB in fp32, which a core has near when it comes back to them
KEPT_LOGITS = 20 << 20  # 40 MiB in bf16; fewer mean more passes over the matrix
FEW_ROWS = 256  # of kept logits: with fewer, the passes over the matrix cost more than making the logits twice
ROUNDED_ROWS = 1 << 13  # of the matrix, copied at lower precision at a time
LINE = 32  # logits of bf16, 64 bytes: a processor reads memory by such lines, and a product by lines of its operands


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
        precision = product_precision(hidden_states)
        with torch.autocast(hidden_states.device.type, enabled=False):  # it would round the sums too
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
        hidden_states = hidden_states.to(product_precision(hidden_states))
        weight, bias = self.decoder.weight, self.decoder.bias
        slices = _slices(len(ids), KEPT_LOGITS // _row_width(len(weight)))
        pieces = [score(_products(hidden_states[rows], weight), ids[rows], bias) for rows in slices]
        nll, is_correct = (torch.cat(column).view_as(masked_lm_ids) for column in zip(*pieces, strict=True))
        return nll, is_correct


def score(logits: Tensor, masked_lm_ids: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How good a prediction is, for evaluation: (…, V), (…) and, if the logits are still without it, (V,) → two of (…).

    −log softmax(logits)[true id] in nats, in fp32 whatever the logits are, and whether the true id scores
    highest (of equal scores, the first). Neither takes part in a gradient.
    """
    logits, ids = logits.detach().flatten(0, -2), masked_lm_ids.flatten()
    columns: tuple[list[Tensor], list[Tensor]] = [], []
    for rows in _pieces(logits):
        scores = _widened(logits[rows], bias)
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


class _DecoderLoss(torch.autograd.Function):
    """The product with the output matrix and its weighted cross-entropy, in one, for the sake of memory and time.

    The gradients are made with the loss: what is V wide exists for `KEPT_LOGITS` at a time and is written over by its
    own gradient. The library's cross-entropy keeps logits, an fp32 copy and a gradient.
    Matrix products are of `precision`; losses, softmax and sums over products are fp32, or wider if the logits are.
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
        scales = scales.to(_wide(precision))
        num_rows = KEPT_LOGITS // _row_width(len(weight))  # where it is all of them, one pass by rows is enough
        of_all = _by_columns if num_rows < min(FEW_ROWS, len(hidden_states)) else _by_rows
        nll, of_ids, (of_hidden_states, of_weight, of_bias) = of_all(
            hidden_states, weight, bias, ids, scales, precision
        )
        of_truth = of_ids - 1.0
        of_hidden_states += of_truth.unsqueeze(1) * weight[ids]
        of_hidden_states *= scales.unsqueeze(1)
        of_truth *= scales
        _add_rows(of_weight, ids, of_truth.unsqueeze(1) * hidden_states)
        _add_rows(of_bias, ids, of_truth)
        ctx.gradients = of_hidden_states.to(hidden_states.dtype), of_weight, of_bias
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
    nll, of_ids = torch.empty_like(scales), torch.empty_like(scales)
    gradients = _zeros(hidden_states, weight, bias, scales)
    of_hidden_states, of_weight, of_bias = gradients
    for rows in _slices(len(hidden_states), KEPT_LOGITS // _row_width(len(weight))):
        logits = _products(hidden_states[rows].to(precision), weight)
        for part in _pieces(logits):
            nll[rows][part], of_ids[rows][part], of_others = _cross_entropy(logits[part], bias, ids[rows][part])
            of_bias += scales[rows][part] @ of_others
            logits[part] = of_others
        hidden = (hidden_states[rows] * scales[rows].unsqueeze(1)).to(precision)
        for columns in _slices(len(weight), ROUNDED_ROWS, LINE):
            of_hidden_states[rows] += logits[:, columns] @ weight[columns].to(precision)
            put = Tensor.add_ if rows.start else Tensor.copy_  # the first need not be added to zeros
            put(of_weight[columns], logits[:, columns].t() @ hidden)
    return nll, of_ids, gradients


def _by_columns(
    hidden_states: Tensor, weight: Tensor, bias: Tensor, ids: Tensor, scales: Tensor, precision: torch.dtype
) -> Answer:
    """All rows, and so few columns at a time that no logits are kept: they are made twice, the matrix is read thrice.

    First for what softmax divides by, highest and sum at once (Milakov & Gimelshein 2018, "Online normalizer
    calculation for softmax", alg. 3); then for the gradients.
    """
    gradients = _zeros(hidden_states, weight, bias, scales)
    of_hidden_states, of_weight, of_bias = gradients
    rounded = hidden_states.to(precision)
    # so that a slice, its rows a line longer at most, lies in the kept memory
    limit = min(ROUNDED_ROWS, max(LINE, KEPT_LOGITS // len(hidden_states) // LINE * LINE - LINE))
    highest, sums, truths = torch.full_like(scales, -torch.inf), torch.zeros_like(scales), torch.zeros_like(scales)
    for columns in _slices(len(weight), limit, LINE):
        logits = _products(rounded, weight[columns])
        for part in _pieces(logits):
            scores = _widened(logits[part], bias[columns])
            is_here, index = _within(ids[part], columns)
            truths[part] += scores.gather(1, index).squeeze(1) * is_here
            before, highest[part] = highest[part].clone(), torch.maximum(scores.amax(1), highest[part])
            sums[part] *= (before - highest[part]).exp_()
            sums[part] += scores.sub_(highest[part].unsqueeze(1)).exp_().sum(1)
    factors = scales / sums  # not of V numbers a row, but of its H
    hidden = (hidden_states * factors.unsqueeze(1)).to(precision)
    for columns in _slices(len(weight), limit, LINE):
        logits = _products(rounded, weight[columns])
        for part in _pieces(logits):
            powers = _widened(logits[part], bias[columns]).sub_(highest[part].unsqueeze(1)).exp_()
            is_here, index = _within(ids[part], columns)
            powers.scatter_(1, index, powers.gather(1, index).masked_fill(is_here.unsqueeze(1), 0.0))
            of_bias[columns] += factors[part] @ powers
            logits[part] = powers
        of_hidden_states += logits @ weight[columns].to(precision)
        of_weight[columns] = logits.t() @ hidden
    of_hidden_states /= sums.unsqueeze(1)
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


def _products(hidden_states: Tensor, weight: Tensor) -> Tensor:
    """Logits without their bias, (N, H) and (V, H) → (N, V), in the precision of the first.

    `KEPT_LOGITS` of them are in the same memory every time, so what they were is gone with the next call.
    """
    num_rows, vocab_size = len(hidden_states), len(weight)
    width = _row_width(vocab_size)
    memory = _kept_memory(max(KEPT_LOGITS, num_rows * width), hidden_states.dtype, hidden_states.device)
    logits = memory[: num_rows * width].view(num_rows, width)[:, :vocab_size]
    for columns in _slices(vocab_size, ROUNDED_ROWS, LINE):
        torch.mm(hidden_states, weight[columns].to(hidden_states.dtype).t(), out=logits[:, columns])
    return logits


def _row_width(vocab_size: int) -> int:
    """How far apart two rows of V logits lie: lines in full, and an odd number of them.

    With an even one, of a power of two above all, the lines of a column would drive each other out of the cache.
    """
    return (-(-vocab_size // LINE) | 1) * LINE


@functools.lru_cache(maxsize=1)
def _kept_memory(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Else a CPU would be given it anew, page by page, at every step: it is more than the C library keeps."""
    return torch.empty(size, dtype=dtype, device=device)


def _cross_entropy(logits: Tensor, bias: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, V), (V,) and (N,) → −log p(id) in nats, (N,); p(id), (N,); p of all others, with 0 for the id, (N, V)."""
    scores = _widened(logits, bias)
    probabilities = torch.softmax(scores, 1, out=scores)
    index = ids.unsqueeze(1)
    of_ids = probabilities.gather(1, index).squeeze(1)
    nll = -of_ids.log()
    vanished = of_ids < torch.finfo(of_ids.dtype).tiny
    if vanished.any():  # their logarithm is a number nevertheless
        nll[vanished] = F.cross_entropy(_widened(logits[vanished], bias), ids[vanished], reduction="none")
    return nll, of_ids, probabilities.scatter_(1, index, 0.0)


def _add_rows(matrix: Tensor, ids: Tensor, rows: Tensor) -> None:
    """`matrix[ids] += rows`, in which each repetition of an id counts: (V, …), (N,) and (N, …)."""
    rows = rows.to(matrix.dtype)
    if matrix.is_cuda:  # of the two, each repeats its sums to the last digit on one kind of device alone
        matrix.index_put_((ids,), rows, accumulate=True)
    else:
        matrix.index_add_(0, ids, rows)


def _widened(logits: Tensor, bias: Tensor | None) -> Tensor:
    """A copy to calculate with, in fp32 or what is wider, with the bias added."""
    scores = logits.to(_wide(logits.dtype), copy=True)
    return scores if bias is None else scores.add_(bias)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Of sums: fp32, or wider if the summands are."""
    return torch.promote_types(dtype, torch.float32)


def _pieces(logits: Tensor) -> list[slice]:
    """Rows of (N, V) to calculate with at a time; only a CPU gains by few."""
    return _slices(len(logits), (KEPT_LOGITS if logits.is_cuda else CACHED_LOGITS) // logits.shape[1])


def _slices(size: int, limit: int, multiple: int = 1) -> list[slice]:
    """As few as keep to the limit, one at least, as equal as can be, each starting at a multiple."""
    num_slices, num_multiples = max(1, -(-size // max(1, limit))), -(-size // multiple)
    bounds = [num_multiples * index // num_slices * multiple for index in range(num_slices)] + [size]
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]

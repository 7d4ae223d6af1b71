"""The two gradients that meet in a tied matrix: of its use as word embeddings, and of its use as output matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.model.partial_tie import UNTIED_ROWS
from tiedlm.record.curve_point import GradientSides


def gradient_sides(model: MaskedLM, batch: MaskedBatch, autocast: torch.amp.autocast_mode.autocast) -> GradientSides:
    """Norms of both, and their cosine, for the loss of one batch without dropout; the model stays as it is.

    Of an untied model they lie in two matrices of one shape and are compared all the same.

    Raises:
        FloatingPointError: a norm is not finite.
    """
    rows: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        rows.append(output)

    embeddings, was_training = model.embeddings.word_embeddings, model.training
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    hook = embeddings.register_forward_hook(keep)
    model.eval()
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        with autocast:
            loss = model.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        of_rows = rows[0].grad
        assert of_rows is not None
        ids = batch.input_ids.flatten()
        of_input = torch.zeros_like(embeddings.weight).index_add_(0, ids, of_rows.flatten(0, 1))
        of_output = _of_output(model, of_input)
        norms = of_input.double().norm().item(), of_output.double().norm().item()
        product = (of_input.double() * of_output.double()).sum().item()
    finally:
        hook.remove()
        for parameter in frozen:
            parameter.requires_grad_(False)
        model.train(was_training)
        model.zero_grad()
    if not all(map(math.isfinite, (*norms, product))):
        raise FloatingPointError(f"gradient norms {norms[0]} and {norms[1]}")
    cosine = product / (norms[0] * norms[1]) if all(norms) else 0.0
    return GradientSides(input_norm=norms[0], output_norm=norms[1], cosine=max(-1.0, min(1.0, cosine)))


def _of_output(model: MaskedLM, of_input: Tensor) -> Tensor:
    """(V, H): what a backward pass left of the output matrix's use, where the table has the sum of both."""
    table = model.embeddings.word_embeddings.weight.grad
    assert table is not None
    if model.is_tied:
        return table - of_input
    if model.untied_rows is None:
        own = model.head.decoder.weight.grad
        assert own is not None
        return own
    own = dict(model.named_parameters())[UNTIED_ROWS].grad
    assert own is not None
    return (table - of_input).index_copy(0, model.untied_rows, own)

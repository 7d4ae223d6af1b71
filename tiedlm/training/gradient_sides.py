"""The two gradients that meet in a tied matrix: of its use as word embeddings, and of its use as output matrix."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.masked_lm import MaskedLM
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
    hook = embeddings.register_forward_hook(keep)
    model.eval()
    try:
        with autocast:
            loss = model.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        of_rows = rows[0].grad
        assert of_rows is not None
        ids = batch.input_ids.flatten()
        of_input = torch.zeros_like(embeddings.weight).index_add_(0, ids, of_rows.flatten(0, 1))
        of_output = model.head.decoder.weight.grad
        assert of_output is not None
        if model.is_tied:  # where the two are added up
            of_output = of_output - embeddings.gradient_scale * of_input
        norms = of_input.double().norm().item(), of_output.double().norm().item()
        product = (of_input.double() * of_output.double()).sum().item()
    finally:
        hook.remove()
        model.train(was_training)
        model.zero_grad()
    if not all(map(math.isfinite, (*norms, product))):
        raise FloatingPointError(f"gradient norms {norms[0]} and {norms[1]}")
    cosine = product / (norms[0] * norms[1]) if all(norms) else 0.0
    return GradientSides(input_norm=norms[0], output_norm=norms[1], cosine=max(-1.0, min(1.0, cosine)))

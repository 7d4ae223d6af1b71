"""The training loop: one model, one recipe. It knows no arm and writes no file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tiedlm.config.train_config import TrainConfig
from tiedlm.data.masking import mask_blocks
from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.dropout import generator_states, rows_of_batch, set_generator_states
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.training.optim import set_learning_rate
from tiedlm.training.parts import WHOLE, Division
from tiedlm.training.state import TrainingState


class RunFailed(RuntimeError):
    """A run cannot go on; the message says at which step and why."""


class Diverged(RunFailed):
    """Its loss or a gradient is not finite, or beyond all bounds: the recipe's fault, so it would happen again."""


@dataclass(frozen=True)
class Step:
    """What the loop tells about each finished step."""

    step: int
    loss_nats: float
    learning_rate: float
    """Of the embeddings."""
    train_seconds: float
    """Since the start, evaluations not counted."""


def train(
    state: TrainingState,
    blocks: Tensor,
    config: TrainConfig,
    vocab_size: int,
    autocast: torch.amp.autocast_mode.autocast,
    on_step: Callable[[Step], None],
    division: Division = WHOLE,
) -> None:
    """Train in place on (N, T) blocks from the state's step to `num_steps`.

    `on_step` is called after every step; what it does is not counted as training time. All ranks of a `division` make
    the same batches, and the same step from the sum of their gradients.

    Raises:
        Diverged: the loss or a gradient is not finite.
    """
    model, optimizers = state.model, state.optimizers
    model.train()
    while state.step < config.num_steps:
        started = time.perf_counter()
        rows = next(state.order)
        batch = mask_blocks(blocks[rows], config.mlm_probability, vocab_size, state.mask_generator)
        state.batches.add(rows, batch)
        set_learning_rate(optimizers, state.step, config)
        loss = _gradients(model, batch, autocast, division)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        loss_nats = loss.item()
        if not math.isfinite(loss_nats) or not math.isfinite(norm.item()):
            raise Diverged(
                f"step {state.step + 1}: loss {loss_nats}, gradient norm {norm.item()}; lower the learning rates"
            )
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        state.go_to(state.step + 1)
        state.train_seconds += time.perf_counter() - started
        on_step(Step(state.step, loss_nats, optimizers[0].param_groups[0]["lr"], state.train_seconds))


def _gradients(
    model: MaskedLM, batch: MaskedBatch, autocast: torch.amp.autocast_mode.autocast, division: Division
) -> Tensor:
    """Take the gradients of a batch, part by part, and let each be the sum over all ranks: → the loss, ().

    The embeddings write their gradient in a hook, outside what `DistributedDataParallel` sees; here the sum is taken of
    what stands in `grad` once all parts are through, so a tied matrix is summed up once, with both of its uses.
    """
    device = next(model.parameters()).device
    states = generator_states(device)
    losses: list[Tensor] = []
    for part, share in division.parts(batch):
        if losses:
            set_generator_states(states, device)
        sum_of_weights = None if share is None else batch.masked_lm_weights.sum().item()
        with autocast, rows_of_batch(share):
            loss = model.loss(part.to(device), sum_of_weights)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    division.ranks.add_up([*gradients, total])
    return total

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
from tiedlm.training.optim import set_learning_rate
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
) -> None:
    """Train in place on (N, T) blocks from the state's step to `num_steps`.

    `on_step` is called after every step; what it does is not counted as training time.

    Raises:
        Diverged: the loss or a gradient is not finite.
    """
    model, optimizers = state.model, state.optimizers
    device = next(model.parameters()).device
    model.train()
    while state.step < config.num_steps:
        started = time.perf_counter()
        rows = next(state.order)
        batch = mask_blocks(blocks[rows], config.mlm_probability, vocab_size, state.mask_generator)
        state.batches.add(rows, batch)
        set_learning_rate(optimizers, state.step, config)
        with autocast:
            loss = model.loss(batch.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
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

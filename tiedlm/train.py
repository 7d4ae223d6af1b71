"""The training loop: one model, one recipe, one learning curve. It knows no arm and writes no file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tiedlm.config import TrainConfig
from tiedlm.generators import derive_seed, make_generator
from tiedlm.masking import batch_order, mask_blocks
from tiedlm.model import MaskedLM
from tiedlm.optim import build_optimizers, set_learning_rate


class RunFailed(RuntimeError):
    """A run cannot go on; the message says at which step and why."""


@dataclass(frozen=True)
class Step:
    """What the loop tells about each finished step."""

    step: int
    loss_nats: float
    train_seconds: float
    """Since the start, evaluations not counted."""


def train(
    model: MaskedLM,
    blocks: Tensor,
    config: TrainConfig,
    vocab_size: int,
    seed: int,
    autocast: torch.amp.autocast_mode.autocast,
    on_step: Callable[[Step], None],
) -> None:
    """Train in place on (N, T) blocks for `num_steps` steps.

    `on_step` is called after every step; what it does is not counted as training time.

    Raises:
        RunFailed: the loss or a gradient is not finite.
    """
    device = next(model.parameters()).device
    torch.manual_seed(derive_seed(seed, "dropout"))  # dropout draws from the global generator
    order = batch_order(len(blocks), config.batch_size, config.num_steps, make_generator(seed, "order"))
    mask_generator = make_generator(seed, "mask")
    optimizers = build_optimizers(model, config)
    model.train()
    train_seconds = 0.0
    for step, rows in enumerate(order, start=1):
        started = time.perf_counter()
        batch = mask_blocks(blocks[rows], config.mlm_probability, vocab_size, mask_generator).to(device)
        set_learning_rate(optimizers, step - 1, config)
        with autocast:
            loss = model.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        loss_nats = loss.item()
        if not math.isfinite(loss_nats) or not math.isfinite(norm.item()):
            raise RunFailed(f"step {step}: loss {loss_nats}, gradient norm {norm.item()}; lower the learning rates")
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        train_seconds += time.perf_counter() - started
        on_step(Step(step, loss_nats, train_seconds))

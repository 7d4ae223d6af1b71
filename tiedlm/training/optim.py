"""Which optimizer takes which parameters, AdamW or Muon, and the schedule; the same rules in every arm.

Muon (Jordan et al. 2024) takes the hidden matrices, those of the encoder's layers, of the head's transform and of the
maps to and from halves; AdamW all else: the embeddings, the output matrix, norms and biases. A tied matrix is one
parameter and is updated once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tiedlm.config.interventions import PLAIN, Intervention
from tiedlm.config.train_config import TrainConfig
from tiedlm.training.muon import Muon

HIDDEN_MATRICES = ("encoder.layers.", "head.transform.", "embeddings.projection.", "head.projection.")
"""The starts of their names."""


class AdamW(torch.optim.AdamW):
    """PyTorch's, which says by which names and shapes it keeps its states."""

    @staticmethod
    def state_shapes(parameter: Tensor) -> dict[str, tuple[int, ...]]:
        """What it keeps of a parameter."""
        return {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}


Optimizer = AdamW | Muon


def build_optimizers(
    model: nn.Module, config: TrainConfig, precision: torch.dtype, intervention: Intervention = PLAIN
) -> list[Optimizer]:
    """AdamW and, if `muon_learning_rate` > 0, Muon with products of a precision.

    Weight decay touches matrices, never norms or biases.
    """
    muon, table, decayed, plain, output_matrix = [], [], [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dim() < 2:
            plain.append(parameter)
        elif config.muon_learning_rate > 0 and name.startswith(HIDDEN_MATRICES):
            muon.append(parameter)
        elif name.startswith("head.decoder."):
            output_matrix.append(parameter)
        elif name.startswith("embeddings.word_embeddings."):
            table.append(parameter)
        else:
            decayed.append(parameter)
    input_scale = intervention.input_matrix_rate_scale if output_matrix else 1.0  # tied, the table has both uses
    groups = [
        {"params": table, "weight_decay": config.weight_decay, "lr": input_scale * config.learning_rate},
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0, "lr": config.norm_and_bias_learning_rate},
        {
            "params": output_matrix,  # none where it is tied or frozen
            "weight_decay": config.weight_decay,
            "lr": intervention.output_matrix_rate_scale * config.learning_rate,
        },
    ]
    betas = (config.adam_beta1, config.adam_beta2)
    optimizers: list[Optimizer] = [
        AdamW(groups, lr=config.learning_rate, betas=betas, eps=config.adam_epsilon, fused=True)
    ]
    if muon:
        optimizers.append(Muon(muon, config.muon_learning_rate, config.weight_decay, precision))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def add_copy(optimizers: list[Optimizer], table: Tensor, output_matrix: Tensor) -> None:
    """Go on with the output matrix, a copy of the table, from a copy of the table's state."""
    adam = optimizers[0]
    adam.param_groups[-1]["params"].append(output_matrix)
    adam.state[output_matrix] = {key: value.clone() for key, value in adam.state[table].items()}


def set_learning_rate(optimizers: list[Optimizer], step: int, config: TrainConfig) -> None:
    """Scale every group's rate for step 0 … num_steps − 1: linear warm-up, then linear decay towards zero."""
    factor = schedule(step, config.num_steps, config.warmup_fraction)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def schedule(step: int, num_steps: int, warmup_fraction: float) -> float:
    """The factor in (0, 1] for a step; no step is spent at a rate of zero."""
    num_warmup_steps = int(num_steps * warmup_fraction)
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    return (num_steps - step) / max(1, num_steps - num_warmup_steps)

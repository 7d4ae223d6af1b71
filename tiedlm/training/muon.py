"""Muon: momentum, made orthogonal by Newton–Schulz iterations (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

`torch.optim.Muon` iterates in bf16 whatever the processor, one matrix after another. Here the precision is that of the
run, and matrices of one shape go through one batched product. In bf16 the tests hold it to the library's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steepest at zero; singular values end between about 0.7 and 1.2
NUM_ITERATIONS = 5
MOMENTUM = 0.95
SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Steps each matrix by its orthogonalised Nesterov momentum, and decays it as AdamW does.

    The step of an (A, B) matrix is `lr` × √max(1, A / B), as in the source.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, weight_decay: float, precision: torch.dtype) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.precision = precision

    @staticmethod
    def state_shapes(parameter: Tensor) -> dict[str, tuple[int, ...]]:
        """What it keeps of a parameter, by name."""
        return {"momentum_buffer": tuple(parameter.shape)}

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient; (A, B) each."""
        for group in self.param_groups:
            with_gradients = [parameter for parameter in group["params"] if parameter.grad is not None]
            for _, of_shape in itertools.groupby(sorted(with_gradients, key=_shape), key=_shape):
                self._step(list(of_shape), group)

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self._momentum(parameter) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        updates = torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM))
        updates = orthogonalise(updates, self.precision)
        num_rows, num_columns = parameters[0].shape
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        step_size = group["lr"] * max(1.0, num_rows / num_columns) ** 0.5
        torch._foreach_add_(parameters, list(updates.to(parameters[0].dtype).unbind()), alpha=-step_size)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        return state["momentum_buffer"]  # type: ignore[no-any-return]


def orthogonalise(matrices: Tensor, precision: torch.dtype) -> Tensor:
    """Bring the singular values of (K, A, B) near one, by products of a precision: (K, A, B).

    Each X of norm 1 goes through X ← (a + b·XXᵀ + c·(XXᵀ)²) X; of a tall one, the transpose.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    flat = (matrices.mT if is_tall else matrices).to(precision)
    flat = flat / flat.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(NUM_ITERATIONS):
        gram = flat @ flat.mT  # (K, A, A), A the shorter side
        flat = torch.baddbmm(flat, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), flat, beta=a)
    return flat.mT if is_tall else flat


def _shape(parameter: Tensor) -> tuple[int, ...]:
    return tuple(parameter.shape)

"""Muon against a NumPy transcription in fp32, and against the library's in bf16."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tiedlm.training.muon import Muon, orthogonalise

SHAPES = [(48, 16), (16, 48), (24, 24), (48, 16), (16, 48), (5, 3)]  # some of them twice, so that a batch holds two
LEARNING_RATE, WEIGHT_DECAY = 0.02, 0.1


def matrices_and_gradients(num_steps: int) -> tuple[list[nn.Parameter], list[list[torch.Tensor]]]:
    """Fresh parameters, and a gradient for each at each step."""
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    return parameters, [[torch.randn(shape, generator=generator) for shape in SHAPES] for _ in range(num_steps)]


def transcription(matrix: npt.NDArray[np.float64], gradients: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Jordan et al. 2024, step by step: Nesterov momentum, five iterations, √max(1, A / B), decoupled decay."""
    momentum = np.zeros_like(matrix)
    for gradient in gradients:
        momentum = 0.95 * momentum + 0.05 * gradient
        update = 0.05 * gradient + 0.95 * momentum
        x = update.T if update.shape[0] > update.shape[1] else update
        x = x / max(np.linalg.norm(x), 1e-7)
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        x = x.T if update.shape[0] > update.shape[1] else x
        matrix = matrix * (1 - LEARNING_RATE * WEIGHT_DECAY)
        matrix = matrix - LEARNING_RATE * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5 * x
    return matrix


def take_steps(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], gradients: list[list[torch.Tensor]]
) -> None:
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()


def test_in_fp32_it_is_the_transcription() -> None:
    parameters, gradients = matrices_and_gradients(4)
    expected = [
        transcription(parameter.detach().double().numpy(), [of_step[index].double().numpy() for of_step in gradients])
        for index, parameter in enumerate(parameters)
    ]
    take_steps(Muon(parameters, LEARNING_RATE, WEIGHT_DECAY, torch.float32), parameters, gradients)
    for parameter, matrix in zip(parameters, expected, strict=True):
        assert_close(parameter.detach().double(), torch.from_numpy(matrix), rtol=0, atol=1e-5)


def test_in_bf16_it_is_the_library_s() -> None:
    """Up to the rounding of bf16, which is 1/256 of an update whose singular values are near one."""
    parameters, gradients = matrices_and_gradients(4)
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in parameters]
    take_steps(Muon(parameters, LEARNING_RATE, WEIGHT_DECAY, torch.bfloat16), parameters, gradients)
    take_steps(torch.optim.Muon(theirs, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY), theirs, gradients)
    for shape, parameter, other in zip(SHAPES, parameters, theirs, strict=True):
        step_size = LEARNING_RATE * max(1.0, shape[0] / shape[1]) ** 0.5
        assert (parameter - other).norm() < 4 * step_size * min(shape) ** 0.5 / 64


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_one(precision: torch.dtype) -> None:
    matrices = torch.randn(3, 40, 10, generator=torch.Generator().manual_seed(1))
    result = orthogonalise(matrices, precision)
    assert result.dtype == precision
    values = torch.linalg.svdvals(result.float())
    assert 0.6 < values.min() < values.max() < 1.3


def test_a_matrix_without_a_gradient_stays() -> None:
    parameters, (gradients,) = matrices_and_gradients(1)
    before = parameters[0].detach().clone()
    optimizer = Muon(parameters, LEARNING_RATE, WEIGHT_DECAY, torch.float32)
    for parameter, gradient in zip(parameters[1:], gradients[1:], strict=True):
        parameter.grad = gradient
    optimizer.step()
    assert torch.equal(parameters[0], before)
    assert parameters[0] not in optimizer.state

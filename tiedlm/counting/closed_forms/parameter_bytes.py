"""What a parameter costs in bytes: stored, and in training."""

from __future__ import annotations

from dataclasses import dataclass

CHECKPOINT_BYTES = {"float32": 4, "bfloat16": 2}
"""Of one stored parameter."""


@dataclass(frozen=True)
class TrainingRecipe:
    """Bytes a parameter while training with AdamW; activations come on top."""

    title: str
    weights: int
    gradients: int
    optimizer: int
    """Two moments, and a float32 master copy where the weights are bfloat16 and the recipe keeps one."""

    @property
    def total(self) -> int:
        """Bytes a parameter."""
        return self.weights + self.gradients + self.optimizer


TRAINING_RECIPES = {
    "float32": TrainingRecipe("fp32", 4, 4, 8),
    "bfloat16_master": TrainingRecipe("bf16 with fp32 master", 2, 2, 12),
    "bfloat16": TrainingRecipe("bf16 throughout", 2, 2, 4),
}

"""A planned contrast: a weighted sum of the losses of some arms, and what is predicted of it before the runs.

Written as `[contrasts.NAME]`. Where an experiment has contrasts, they alone are tested and get verdicts.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tiedlm.config.cell_values import KEY_PATTERN
from tiedlm.config.strict import Name, NeutralUnwritten

SUM_TOLERANCE = 1e-9
Key = Annotated[str, Field(pattern=KEY_PATTERN)]


class Contrast(NeutralUnwritten):
    """One question to the losses; its value is Σ weight × loss, in nats a token."""

    weights: dict[Name, float]
    """By arm. They sum to zero."""
    predicted: Literal["positive", "negative"] | None = None
    """The sign of the value; either this or `equal_within_nats` is stated."""
    equal_within_nats: Annotated[float, Field(gt=0.0)] | None = None
    """The value is predicted to lie between minus this and this (a test of equality)."""
    where: dict[Key, Annotated[list[Any], Field(min_length=1)]] = Field(default={})
    """Of a scan, only the cells that have one of these values of a key; by default all cells."""
    slope_per_doubling_of: Key | None = None
    """Of a scan, the slope against log2 of this key's value, instead of the mean over cells."""

    @model_validator(mode="after")
    def _is_a_contrast(self) -> Self:
        total = math.fsum(self.weights.values())
        if abs(total) > SUM_TOLERANCE or len(self.used_weights) < 2:
            shown = ", ".join(f"{arm} = {weight:g}" for arm, weight in self.weights.items())
            raise ValueError(
                f"weights={{ {shown} }} sum to {total:g}, and {len(self.used_weights)} of them are not zero; give two "
                "or more arms weights that sum to zero"
            )
        if (self.predicted is None) == (self.equal_within_nats is None):
            given = "neither" if self.predicted is None else "both"
            raise ValueError(f"predicted and equal_within_nats are {given} stated; state one of them")
        steps = self.where.get(self.slope_per_doubling_of or "", [])
        if steps and all(step == steps[0] for step in steps):
            raise ValueError(
                f"where={self.slope_per_doubling_of}={steps} has one value, and a slope needs two; give more values"
            )
        return self

    @property
    def used_weights(self) -> dict[str, float]:
        """Without those that are zero."""
        return {arm: weight for arm, weight in self.weights.items() if weight != 0.0}

    @property
    def is_of_scan(self) -> bool:
        """Whether it says something of cells, so that it has no value without a scan."""
        return bool(self.where) or self.slope_per_doubling_of is not None

    @property
    def formula(self) -> str:
        """`untied − tied`, `mean(a, b) − untied`; of a scan with its cells or its slope."""
        weights = self.used_weights.items()
        above = [(arm, weight) for arm, weight in weights if weight > 0]
        below = [(arm, -weight) for arm, weight in weights if weight < 0]
        told = f"{_side(above)} − {_side(below)}"
        cells = ", ".join(
            f"{key.rpartition('.')[2]} = {' or '.join(map(str, values))}" for key, values in self.where.items()
        )
        if self.slope_per_doubling_of is not None:
            told = f"slope of {told} per doubling of {self.slope_per_doubling_of.rpartition('.')[2]}"
        return f"{told} at {cells}" if cells else told

    @property
    def prediction(self) -> str:
        """`above 0`, `below 0` or `within ± 0.03`."""
        if self.equal_within_nats is not None:
            return f"within ± {self.equal_within_nats:g}"
        return "above 0" if self.predicted == "positive" else "below 0"


class Contrasts(NeutralUnwritten):
    """What is tested in a folder, decided on before its runs."""

    contrasts: dict[Name, Contrast]
    num_seeds: int | None = None
    """Over how many seeds; None in files that are older than this."""


def _side(terms: list[tuple[str, float]]) -> str:
    """Arms with the sizes of their weights: `tied`, `2 tied`, `mean(a, b)`, `0.5 a + 0.25 b`."""
    if len(terms) > 1 and all(math.isclose(weight, 1 / len(terms), rel_tol=1e-3) for _, weight in terms):
        return f"mean({', '.join(arm for arm, _ in terms)})"
    told = " + ".join(arm if weight == 1 else f"{weight:g} {arm}" for arm, weight in terms)
    return told if len(terms) == 1 else f"({told})"

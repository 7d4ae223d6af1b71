"""What a key may be in a random search, where that ends, and which values lie at an end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from tiedlm.config.cell_values import MAX_CELLS
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import NeutralUnwritten

Edge = Literal["lowest", "highest"]
NEAR = 0.05
"""The share of a range's width, in its scale, within which a value lies at the range's end."""
SIGNIFICANT_DIGITS = 4
EXAMPLE = '{ low = 1e-3, high = 2e-2, scale = "log" } or { choices = [0.3, 1.0, 3.0] }'


class Range(NeutralUnwritten):
    """From `low` to `high`, evenly in its scale; or one of some choices, each as often."""

    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] | None = None
    choices: Annotated[list[Any], Field(min_length=1, max_length=MAX_CELLS)] | None = None

    @property
    def why_unfit(self) -> str | None:
        """What is wrong with it, and what to do; None if nothing is."""
        ends = (self.low, self.high, self.scale)
        if (self.choices is None) == (ends == (None, None, None)):
            return f"has either low, high and scale or choices; write {EXAMPLE}"
        if self.choices is not None:
            return None
        if self.low is None or self.high is None or self.scale is None:
            return f"lacks one of low, high and scale; write {EXAMPLE}"
        if self.low >= self.high:
            return f"has low={self.low:g}, which is not below high={self.high:g}; exchange or change them"
        if self.scale == "log" and self.low <= 0:
            return f'has low={self.low:g}, which no logarithm has; raise it above 0, or write scale = "linear"'
        return None

    @property
    def words(self) -> str:
        """`from 0.001 to 0.02 (log)`, or `one of 0.3, 1.0`."""
        if self.choices is not None:
            return f"one of {', '.join(map(str, self.choices))}"
        return f"from {self.low:g} to {self.high:g} ({self.scale})"

    def value(self, share: float) -> Any:
        """The value at a share in [0, 1) of its width, or of its choices; numbers have four significant digits."""
        if self.choices is not None:
            return self.choices[int(share * len(self.choices))]
        low, high = self._ends()
        at = low + share * (high - low)
        value = float(f"{math.exp(at) if self.scale == 'log' else at:.{SIGNIFICANT_DIGITS}g}")
        assert self.low is not None
        assert self.high is not None
        return min(max(value, self.low), self.high)

    def edge(self, key: str, value: Any) -> Edge | None:
        """Which end of it a value of a key lies at; None where it lies at none, or nothing is beyond that end."""
        if self.choices is not None:
            return edge_of_values(key, self.choices, value)
        low, high = self._ends()
        share = ((math.log(value) if self.scale == "log" else value) - low) / (high - low)
        if share <= NEAR and not _is_bound(key, self.low):
            return "lowest"
        return "highest" if share >= 1 - NEAR and not _is_bound(key, self.high) else None

    def _ends(self) -> tuple[float, float]:
        """Of its width, in its scale."""
        assert self.low is not None
        assert self.high is not None
        return (math.log(self.low), math.log(self.high)) if self.scale == "log" else (self.low, self.high)


def edge_of_values(key: str, values: Sequence[Any], value: Any) -> Edge | None:
    """Which end of some values of a key a value lies at; None where they are no numbers, or are one."""
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values) or len(set(values)) < 2:
        return None
    ends: tuple[tuple[Edge, Any], ...] = (("lowest", min(values)), ("highest", max(values)))
    return next((edge for edge, end in ends if value == end and not _is_bound(key, end)), None)


def _is_bound(key: str, end: Any) -> bool:
    """Whether a key can have no value beyond this one: no dropout is below 0."""
    section, _, name = key.partition(".")
    field = RunConfig.model_fields[section].annotation
    metadata = field.model_fields[name].metadata if field is not None and name in field.model_fields else []
    return any(getattr(limit, kind, None) == end for limit in metadata for kind in ("ge", "le"))

"""The `[tune]` of an experiment: what each arm is tuned over before a comparison."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.cell_values import CellValues
from tiedlm.config.strict import Strict


class Tune(Strict):
    """Every combination of some values of some keys."""

    seeds: Annotated[int, Field(gt=0, le=100)]
    """How many seeds of each arm in each cell; none of them is compared."""
    values: CellValues
    """Key → the values that it takes, e.g. `train.learning_rate` → `[1e-3, 2e-3]`."""

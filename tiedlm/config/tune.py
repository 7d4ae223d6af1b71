"""The `[tune]` of an experiment: what each arm is tuned over before a comparison."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from tiedlm.config.cell_values import KEY_PATTERN, MAX_CELLS, CellValues
from tiedlm.config.ranges import EXAMPLE, Edge, Range, edge_of_values
from tiedlm.config.strict import NeutralUnwritten
from tiedlm.errors import InputError

Ranges = Annotated[dict[Annotated[str, Field(pattern=KEY_PATTERN)], Range], Field(min_length=1, max_length=100)]


class Tune(NeutralUnwritten):
    """A grid, every combination of some values of some keys; or a search, some trials drawn from ranges; or both."""

    seeds: Annotated[int, Field(gt=0, le=100)]
    """How many seeds of each arm in each cell or trial; none of them is compared."""
    values: CellValues | None = None
    """Of a grid: key → the values that it takes, e.g. `train.learning_rate` → `[1e-3, 2e-3]`."""
    ranges: Ranges | None = None
    """Of a search: key → its range, e.g. `train.learning_rate` → `{ low = 1e-3, high = 2e-2, scale = "log" }`."""
    trials: Annotated[int, Field(gt=0, le=MAX_CELLS)] | None = None
    """How many trials are drawn from the ranges, unless `--trials` says otherwise; without either `--tune` tries the
    values."""

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if self.values is None and self.ranges is None:
            raise ValueError("tune has neither values nor ranges, so there is nothing to try; add one")
        if self.trials is not None and self.ranges is None:
            raise ValueError(f"tune.trials={self.trials} has no ranges to draw from; add [tune.ranges]")
        for key, of_key in (self.ranges or {}).items():
            if why := of_key.why_unfit:
                raise ValueError(f"tune.ranges.{key} {why}")
        return self

    @property
    def words(self) -> str:
        """`2 seeds; train.learning_rate one of 0.001, 0.002`; of a search, how many trials too."""
        places = [f"{key} one of {', '.join(map(str, values))}" for key, values in (self.values or {}).items()]
        places += [f"{key} {of_key.words}" for key, of_key in (self.ranges or {}).items()]
        trials = [] if self.trials is None else [f"{self.trials} trial{'s' if self.trials > 1 else ''}"]
        return "; ".join([f"{self.seeds} seed{'s' if self.seeds > 1 else ''}", *trials, *places])

    def design(self, trials: int | None, experiment: str) -> Tune:
        """The grid alone, or the search alone with a number of trials, which is what is written down.

        Raises:
            InputError: it has no ranges for trials, or no values for a grid, or the number is out of bounds.
        """
        trials = self.trials if trials is None else trials
        if trials is not None and self.ranges is None:
            raise InputError(
                f"--trials {trials}: experiment {experiment!r} has no [tune.ranges] to draw from; add it, with e.g. "
                f'"train.learning_rate" = {EXAMPLE.partition(" or ")[0]}'
            )
        if trials is None and self.values is None:
            raise InputError(
                f"--tune: experiment {experiment!r} has [tune.ranges] and no [tune.values], so the number of trials is "
                "missing; give --trials N"
            )
        if trials is None:
            return Tune(seeds=self.seeds, values=self.values)
        if not 0 < trials <= MAX_CELLS:
            raise InputError(f"--trials {trials} is not a number from 1 to {MAX_CELLS:,}; give another")
        return Tune(seeds=self.seeds, ranges=self.ranges, trials=trials)

    def prolongs(self, earlier: Tune) -> bool:
        """Whether it has all trials of an earlier search, by the same ranges and seeds."""
        if self.trials is None or earlier.trials is None or self.trials < earlier.trials:
            return False
        return (self.seeds, self.ranges) == (earlier.seeds, earlier.ranges)

    def edge(self, key: str, value: object) -> Edge | None:
        """Which end of what is tried of a key a value lies at."""
        if self.trials is not None:
            return (self.ranges or {})[key].edge(key, value)
        return edge_of_values(key, (self.values or {})[key], value)

"""As many seeds as an interval of a wanted width takes, computed before they are trained (Stein 1945).

A first stage gives the variance; from it alone follows how many seeds there must be. So the interval keeps its 95 %,
which it does not when seeds are added until p is small. Stein, "A two-sample test for a linear hypothesis whose power
is independent of the variance", Annals of Mathematical Statistics 16.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from tiedlm.comparison.paired_statistics import CONFIDENCE, Delta
from tiedlm.config.strict import Strict

MIN_FIRST_STAGE = 3
"""Seeds; the quantile of t with one degree of freedom would ask for hundreds."""
MAX_SEEDS = 1_000
MAX_SPREAD = 1e9  # in half-widths; it asks for more seeds than anybody has, and its square is a number


class TwoStage(Strict):
    """What was decided before the second stage."""

    half_width_nats: Annotated[float, Field(gt=0.0)]
    """The interval shall be no wider than ± this, in nats a token."""
    first_stage_seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=MIN_FIRST_STAGE)]
    max_seeds: Annotated[int, Field(ge=MIN_FIRST_STAGE, le=MAX_SEEDS)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        seeds = self.first_stage_seeds
        if seeds != sorted(set(seeds)) or len(seeds) > self.max_seeds:
            raise ValueError(
                f"first_stage_seeds={seeds[:20]} are not different seeds in their order, {self.max_seeds} at most"
            )
        return self

    def follows(self, earlier: TwoStage) -> bool:
        """Whether it may take the place of an earlier design, of whose second stage nothing was trained: the same first
        stage, for another width or at most another number of seeds."""
        return self.first_stage_seeds == earlier.first_stage_seeds

    def seeds(self, first_stages: Iterable[Sequence[float]]) -> list[int]:
        """All seeds that the design takes, by the paired differences of the first stage: one list for each difference.

        After those of the first stage they are the lowest that it does not have.
        """
        needed = max(seeds_needed(differences, self.half_width_nats) for differences in first_stages)
        unused = (seed for seed in itertools.count() if seed not in self.first_stage_seeds)
        later = itertools.islice(unused, min(needed, self.max_seeds) - len(self.first_stage_seeds))
        return sorted([*self.first_stage_seeds, *later])


def seeds_needed(first_stage: Sequence[float], half_width_nats: float) -> int:
    """max(n₀, ⌊t²s²/d²⌋ + 1) for the first stage's n₀ paired differences with variance s², and d the half-width."""
    spread = _quantile(len(first_stage)) * statistics.stdev(first_stage) / half_width_nats
    return max(len(first_stage), math.floor(min(spread, MAX_SPREAD) ** 2) + 1)


def two_stage_t(first_stage: Sequence[float], values: list[float]) -> Delta:
    """The interval of the mean of all values, with the variance of the first stage alone: mean ± t·s/√n."""
    from scipy import stats  # here because it takes a second to import

    mean, num_first = statistics.fmean(values), len(first_stage)
    method = f"Stein's two-stage t over {len(values)} seeds, variance of the first {num_first}"
    error = statistics.stdev(first_stage) / math.sqrt(len(values))
    if error == 0:  # arms that compute the same thing
        return Delta(mean=mean, ci95=(mean, mean), p_value=float(mean == 0), values=values, method=method)
    reach = _quantile(num_first) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, num_first - 1))
    return Delta(mean=mean, ci95=(mean - reach, mean + reach), p_value=p_value, values=values, method=method)


def _quantile(num_values: int) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, num_values - 1))

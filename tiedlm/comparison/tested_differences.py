"""Differences and planned contrasts with what their tests found, as data, and the words of a verdict."""

from __future__ import annotations

from pydantic import computed_field

from tiedlm.comparison.paired_statistics import Delta
from tiedlm.comparison.tabular import Row
from tiedlm.config.contrasts import Contrast
from tiedlm.config.strict import Name, Strict

INCONCLUSIVE, NO_VERDICT = "inconclusive", "no verdict"
EXPLORATORY = "exploratory"
"""Of a difference beside planned contrasts: it has an interval, and is not tested."""
AS_PREDICTED, CONTRARY = "as predicted", "contrary to the prediction"


def verdict_of(ahead: str | None, p_holm: float | None) -> str:
    """`ARM better`, `inconclusive`, or `no verdict` where nothing was tested."""
    return NO_VERDICT if p_holm is None else INCONCLUSIVE if ahead is None else f"{ahead} better"


class BandDifference(Strict):
    """Two arms on the tokens of one frequency band of a split."""

    least_count: int
    """How often they occur in train at least."""
    num_tokens: int
    mean: float
    """In nats a token."""
    ci95: tuple[float, float] | None
    """Of each band alone; None for one seed."""


class Difference(Strict):
    """Two arms on one split."""

    arms: tuple[str, str]
    split: str
    delta_nats: Delta
    perplexity_ratio: float
    """exp(mean delta): perplexity of the second arm over that of the first."""
    is_exploratory: bool
    """Whether there are planned contrasts, which alone are tested."""
    p_holm: float | None
    """The p-value that decides: Holm's over all differences of the split, where there are several; None where the
    difference is exploratory."""
    detectable_nats: float | None
    """The true difference that this many seeds would find significant 80 % of the time, unadjusted; None for one seed,
    or by a two-stage design, which has the width of its interval instead."""
    bands: list[BandDifference] | None
    """None where records are older than bands."""
    ahead: str | None
    """The arm that is found ahead: of lower loss."""
    reason: str | None
    """Why there is no verdict, and what to do."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str:
        """In words."""
        return EXPLORATORY if self.is_exploratory else verdict_of(self.ahead, self.p_holm)

    @property
    def label(self) -> str:
        """What it is called where one arm is the first in all differences."""
        return self.arms[1]

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        return self.delta_nats.ci95

    @property
    def num_seeds(self) -> int:
        """Over which it is."""
        return len(self.delta_nats.values)


class ContrastResult(Strict):
    """A planned contrast on one split."""

    name: Name
    split: str
    contrast: Contrast
    seeds: list[int]
    """Those that all its arms have, in all its cells."""
    num_planned_seeds: int | None
    """How many were planned; None by a two-stage design, which decides it, and where no number was written down."""
    values: list[float]
    """Its value for each of them, in nats a token."""
    mean: float | None
    """None where it has no value yet."""
    ci95: tuple[float, float] | None
    """None for one seed."""
    p_value: float | None
    """Of the two-sided t-test for a predicted sign, of two one-sided tests for a margin of equality; None where there
    is no verdict."""
    p_holm: float | None
    """The same, adjusted for the number of contrasts on the split; it decides."""
    detectable_nats: float | None
    """As of a difference."""
    method: str | None
    """Of the interval."""
    verdict: str
    """`as predicted`, `contrary to the prediction`, `equal within ± 0.03`, `inconclusive` or `no verdict`."""
    reason: str | None
    """Why there is no verdict, or why a margin is not decided on."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def formula(self) -> str:
        """What is subtracted from what, in words."""
        return self.contrast.formula

    @property
    def is_decided(self) -> bool:
        """Whether the test found what was predicted, or the contrary."""
        return self.verdict not in (INCONCLUSIVE, NO_VERDICT)

    @property
    def is_as_predicted(self) -> bool:
        """Whether the test found what was predicted: the sign, or equality within the margin."""
        return self.is_decided and self.verdict != CONTRARY

    @property
    def lies_outside_margin(self) -> bool:
        """Whether its whole interval is outside the margin of equality, so that more seeds would hardly find it."""
        margin = self.contrast.equal_within_nats
        return margin is not None and self.ci95 is not None and (self.ci95[0] > margin or self.ci95[1] < -margin)

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        return self.ci95

    @property
    def num_seeds(self) -> int:
        """Over which it is."""
        return len(self.seeds)

    def row(self) -> Row:
        """Its figures."""
        low, high = self.ci95 or (None, None)
        return {
            "contrast": self.name,
            "formula": self.formula,
            "split": self.split,
            "seeds": self.num_seeds,
            "nats": self.mean,
            "ci95_low": low,
            "ci95_high": high,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        """In a line."""
        figures = "" if self.mean is None else f" {self.mean:+.3f}"
        figures += "" if self.ci95 is None else f" [{self.ci95[0]:+.3f}, {self.ci95[1]:+.3f}]"
        return f"{self.name} ({self.formula}){figures} nats a token: {self.verdict}"

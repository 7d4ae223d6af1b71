"""Several arms over the same seeds, tested by one variance that they share: a second opinion that decides no verdict.

A pair of arms has one difference a seed, and so few degrees of freedom for their variance. If all arms have the same
variance and are independent, all of them estimate it. A test of equal variances (Bartlett 1937) may speak against that,
but with few seeds it is weak. Where an arm shares training steps with the first, as tied-then-untied does with tied,
its own differences tell more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from tiedlm.comparison.paired_statistics import SIGNIFICANCE, equal_variances_p, holm, t_test
from tiedlm.comparison.two_way import two_way
from tiedlm.config.strict import Strict


class PooledArms(Strict):
    """Every other arm against the first, on one split."""

    split: str
    std_nats: float
    """The residual: of an arm's loss over seeds, once what a seed adds to all arms is taken off."""
    degrees_of_freedom: int
    arm_stds_nats: tuple[float, float]
    """The least and the largest of an arm's loss over seeds."""
    equal_variances_p: float
    """Bartlett's, of the residuals: small where variances differ between arms, and then the test does not hold."""
    half_width_nats: float
    """Of the 95 % interval of each difference alone."""
    p_holm: dict[str, float]
    """By arm."""

    @property
    def holds(self) -> bool:
        """Whether Bartlett's test finds no difference between the variances."""
        return self.equal_variances_p >= SIGNIFICANCE


def pooled_arms(split: str, losses: Mapping[str, Sequence[float]]) -> PooledArms | None:
    """Test each arm's losses, in nats a token and in the order of the same seeds, against those of the first arm.

    None where there are fewer than three arms or two seeds, or where an arm has the same loss for every seed.
    """
    arms = list(losses)
    table = two_way(list(losses.values())) if len(arms) > 2 else None
    if table is None:
        return None
    num_seeds = len(losses[arms[0]])
    error = math.sqrt(2 * table.residual_variance / num_seeds)
    tests = [t_test(mean - table.row_means[0], error, table.residual_freedom) for mean in table.row_means[1:]]
    stds = [statistics.stdev(values) for values in losses.values()]
    return PooledArms(
        split=split,
        std_nats=math.sqrt(table.residual_variance),
        degrees_of_freedom=table.residual_freedom,
        arm_stds_nats=(min(stds), max(stds)),
        equal_variances_p=equal_variances_p(table.residuals),
        half_width_nats=tests[0].half_width,
        p_holm=dict(zip(arms[1:], holm([test.p_value for test in tests]), strict=True)),
    )

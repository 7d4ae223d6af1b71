"""Several arms over the same seeds, tested by one scatter for all: a second opinion, which decides no verdict.

A pair of arms has one difference a seed to tell how much they scatter. If all arms scatter alike and independently, all
of them tell. A test of equal scatter (Bartlett 1937) may speak against that, but with few seeds it is weak. Where an
arm shares training steps with the first, as tied-then-untied does with tied, its own differences tell more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from tiedlm.comparison.paired_statistics import SIGNIFICANCE, equal_scatter_p, holm, t_test
from tiedlm.comparison.two_way import two_way
from tiedlm.config.strict import Strict


class BlockTest(Strict):
    """Every other arm against the first, on one split."""

    split: str
    std_nats: float
    """The residual: of an arm's loss over seeds, once what a seed adds to all arms is taken off."""
    degrees_of_freedom: int
    arm_stds_nats: tuple[float, float]
    """The least and the largest of an arm's loss over seeds."""
    equal_scatter_p: float
    """Bartlett's, of the residuals: small where arms scatter differently, and then the test does not hold."""
    half_width_nats: float
    """Of the 95 % interval of each difference alone."""
    p_holm: dict[str, float]
    """By arm."""

    @property
    def holds(self) -> bool:
        """Whether arms are not found to scatter differently."""
        return self.equal_scatter_p >= SIGNIFICANCE


def block_test(split: str, losses: Mapping[str, Sequence[float]]) -> BlockTest | None:
    """Test each arm's losses, in nats a token and in the order of the same seeds, against those of the first arm.

    None where there are fewer than three arms or fewer than two seeds, or where an arm does not scatter.
    """
    arms = list(losses)
    table = two_way(list(losses.values())) if len(arms) > 2 else None
    if table is None:
        return None
    num_seeds = len(losses[arms[0]])
    error = math.sqrt(2 * table.residual_variance / num_seeds)
    tests = [t_test(mean - table.row_means[0], error, table.residual_freedom) for mean in table.row_means[1:]]
    stds = [statistics.stdev(values) for values in losses.values()]
    return BlockTest(
        split=split,
        std_nats=math.sqrt(table.residual_variance),
        degrees_of_freedom=table.residual_freedom,
        arm_stds_nats=(min(stds), max(stds)),
        equal_scatter_p=equal_scatter_p(table.residuals),
        half_width_nats=tests[0].half_width,
        p_holm=dict(zip(arms[1:], holm([test.p_value for test in tests]), strict=True)),
    )

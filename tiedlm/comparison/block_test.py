"""Several arms over the same seeds, tested by the scatter that they share.

A pair of arms has one difference a seed to tell how much they scatter. If all arms scatter alike, all of them tell: by
the residual of a randomized block design with seeds as blocks (Fisher 1935, chapter 4). This test stands beside those
of each pair and decides no verdict: where two arms share their steps, as tied and tied-then-untied do, a pair's own
differences tell more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from tiedlm.comparison.paired_statistics import CONFIDENCE, holm
from tiedlm.config import Strict


class BlockTest(Strict):
    """Every other arm against the first, on one split."""

    split: str
    std_nats: float
    """The residual: of an arm's loss over seeds, once what a seed adds to all arms is taken off."""
    degrees_of_freedom: int
    equal_scatter_p: float
    """Bartlett's, of the arms' losses: small where arms scatter differently, and then the test does not hold."""
    half_width_nats: float
    """Of the 95 % interval of each difference alone."""
    p_holm: dict[str, float]
    """By arm."""

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against one scatter for all arms."""
        return self.equal_scatter_p >= 1 - CONFIDENCE


def block_test(split: str, losses: Mapping[str, Sequence[float]]) -> BlockTest | None:
    """Test each arm's losses, in nats a token and in the order of the seeds, against those of the first arm.

    None where there are fewer than three arms or two seeds, where arms have not the same number of seeds, or where arms
    do not scatter at all.
    """
    from scipy import stats  # here because it takes a second to import

    arms = list(losses)
    num_seeds = len(losses[arms[0]])
    if len(arms) < 3 or any(len(values) != num_seeds or len(set(values)) < 2 for values in losses.values()):
        return None
    of_arm = {arm: statistics.fmean(losses[arm]) for arm in arms}
    of_seed = [statistics.fmean(values) for values in zip(*losses.values(), strict=True)]
    mean = statistics.fmean(of_seed)
    residuals = [
        loss - of_arm[arm] - seed_mean + mean
        for arm in arms
        for loss, seed_mean in zip(losses[arm], of_seed, strict=True)
    ]
    freedom = (len(arms) - 1) * (num_seeds - 1)
    std = math.sqrt(math.fsum(residual**2 for residual in residuals) / freedom)
    if std == 0:
        return None
    error = std * math.sqrt(2 / num_seeds)
    p_values = [float(2 * stats.t.sf(abs(of_arm[arm] - of_arm[arms[0]]) / error, freedom)) for arm in arms[1:]]
    bartlett = stats.bartlett(*losses.values())  # of equal variances, rounding can leave it without a p-value
    return BlockTest(
        split=split,
        std_nats=std,
        degrees_of_freedom=freedom,
        equal_scatter_p=float(bartlett.pvalue) if bartlett.statistic > 0 else 1.0,
        half_width_nats=float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error,
        p_holm=dict(zip(arms[1:], holm(p_values), strict=True)),
    )

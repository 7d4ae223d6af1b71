"""The statistics of paired differences, in nats a token: what a difference between two arms is worth."""

from __future__ import annotations

import statistics

from tiedlm.config import Strict
from tiedlm.record import SplitMetrics

CONFIDENCE = 0.95
NUM_RESAMPLES = 9_999
MIN_BLOCKS = 20  # fewer, and resampling them says more of the method than of the text


class Delta(Strict):
    """Loss of the second arm minus loss of the first, in nats a token: positive favours the first."""

    mean: float
    ci95: tuple[float, float]
    p_value: float
    values: list[float]
    method: str


def paired_t(values: list[float]) -> Delta:
    """The t-interval and two-sided p of paired differences over seeds."""
    from scipy import stats  # here because it takes a second to import

    mean, method = statistics.fmean(values), f"paired t over {len(values)} seeds"
    if statistics.stdev(values) == 0:  # arms that compute the same thing
        return Delta(mean=mean, ci95=(mean, mean), p_value=float(mean == 0), values=values, method=method)
    test = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(CONFIDENCE)
    return Delta(mean=mean, ci95=(float(low), float(high)), p_value=float(test.pvalue), values=values, method=method)


def paired_bootstrap(first: SplitMetrics, second: SplitMetrics) -> Delta:
    """The percentile interval of the loss difference when the split's blocks are drawn anew.

    For a single seed: it covers the choice of text, not the choice of seed.
    """
    import numpy as np

    nll = np.subtract(second.block_nll_nats, first.block_nll_nats)
    num_tokens = np.asarray(first.block_num_tokens)
    mean = float(nll.sum() / num_tokens.sum())
    generator = np.random.default_rng(0)
    resampled = np.empty(NUM_RESAMPLES)
    for index in range(NUM_RESAMPLES):
        drawn = generator.integers(len(nll), size=len(nll))
        resampled[index] = nll[drawn].sum() / num_tokens[drawn].sum()
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    one_sided = (1 + min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))) / (NUM_RESAMPLES + 1)
    return Delta(
        mean=mean,
        ci95=(float(low), float(high)),
        p_value=min(1.0, 2 * one_sided),
        values=[mean],
        method=f"paired bootstrap over {len(nll):,} blocks of one seed; seeds are not covered",
    )

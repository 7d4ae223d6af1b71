"""The statistics of paired differences, in nats a token: what a difference between two arms is worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from tiedlm.config.strict import Strict
from tiedlm.record.metrics import SplitMetrics

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = Sequence[float] | npt.NDArray[np.float64]

SIGNIFICANCE = 0.05
CONFIDENCE = 1 - SIGNIFICANCE
NUM_RESAMPLES = 9_999
MIN_BLOCKS = 20  # fewer, and resampling them says more of the method than of the text
BLOCKS_PER_RUN = 40  # beyond which blocks of real text no longer resemble each other
POWER = 0.8
MIN_RUNS = 10  # of a split, or there is little to draw from


class Delta(Strict):
    """Loss of the second arm minus loss of the first, in nats a token: positive favours the first."""

    mean: float
    ci95: tuple[float, float]
    p_value: float | None
    """None for one seed, which tells nothing of other seeds."""
    values: list[float]
    method: str
    is_of_few_blocks: bool = Field(default=False, exclude=True)
    """Whether the interval is over the choice of text, with too few blocks for it to be trusted; a file says so by
    `method`."""


def paired_t(values: list[float]) -> Delta:
    """The t-interval and two-sided p of paired differences over seeds."""
    mean, method = statistics.fmean(values), f"paired t over {len(values)} seeds"
    std = statistics.stdev(values)
    if std == 0:  # arms that compute the same thing
        return Delta(mean=mean, ci95=(mean, mean), p_value=float(mean == 0), values=values, method=method)
    test = t_test(mean, std / math.sqrt(len(values)), len(values) - 1)
    ends = (mean - test.half_width, mean + test.half_width)
    return Delta(mean=mean, ci95=ends, p_value=test.p_value, values=values, method=method)


class TTest(NamedTuple):
    """Of a mean whose standard error is known by its degrees of freedom."""

    half_width: float
    """Of its 95 % interval."""
    p_value: float
    """Two-sided."""


def t_test(mean: float, standard_error: float, freedom: float) -> TTest:
    """The t-interval and p of a mean whose standard error was estimated elsewhere."""
    from scipy import special  # here because it takes long to import, and scipy.stats four times as long

    half_width = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * standard_error
    return TTest(half_width, float(2 * special.stdtr(freedom, -abs(mean) / standard_error)))


def equality_p(mean: float, standard_error: float, freedom: float, margin: float) -> float:
    """The p-value of two one-sided tests that a mean lies between −margin and margin: the larger one's.

    Schuirmann 1987. Small where the mean is found to be within.
    """
    from scipy import special  # as above

    if standard_error == 0:
        return float(abs(mean) >= margin)
    nearer = abs(mean) - margin  # to the end of the margin that is harder to exclude
    return float(special.stdtr(freedom, nearer / standard_error))


def detectable_nats(values: list[float]) -> float:
    """The true difference that this many seeds, with this variance, would find significant 80 % of the time.

    Of the two-sided paired t-test (Cohen 1988, section 2.2), by the noncentral t distribution; that the wrong arm is
    found better is rarer than anything here is exact.
    """
    from scipy import special  # as above

    number, std = len(values), statistics.stdev(values)
    critical = special.stdtrit(number - 1, (1 + CONFIDENCE) / 2)
    return float(special.nctdtrinc(number - 1, 1 - POWER, critical)) * std / math.sqrt(number)


def holm(p_values: list[float]) -> list[float]:
    """p-values of one family, adjusted so that any false rejection is as rare as 0.05 says (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def paired_bootstrap(first: SplitMetrics, second: SplitMetrics) -> Delta:
    """How much the choice of text moves the difference of one pair of runs: its interval, no p-value."""
    import numpy as np

    nll = np.subtract(second.block_nll_nats, first.block_nll_nats)
    found = text_bootstrap(nll, first.block_num_tokens)
    is_of_few_blocks = len(nll) < MIN_BLOCKS
    few = ", of which there are too few" if is_of_few_blocks else ""
    return Delta(
        mean=found.mean,
        ci95=found.ci95,
        p_value=None,
        values=[found.mean],
        method=f"bootstrap over runs of {found.length} blocks of one seed{few}: the choice of text, not the choice of "
        "seed",
        is_of_few_blocks=is_of_few_blocks,
    )


class TextInterval(NamedTuple):
    """Of the mean over a text, if other text like it had been chosen."""

    mean: float
    ci95: tuple[float, float]
    length: int
    """Neighbouring parts of the text that are drawn together."""


def text_bootstrap(values: Numbers, sizes: Numbers) -> TextInterval:
    """Σ values / Σ sizes over the parts of a text in their order, (num_parts,) each, with its percentile interval.

    Runs of neighbouring parts are drawn anew, since neighbours resemble each other (circular block bootstrap,
    Politis & Romano 1992). It says nothing of the choice of seed.
    """
    import numpy as np

    num_parts = len(values)
    length = min(BLOCKS_PER_RUN, max(1, num_parts // MIN_RUNS))
    sums = [np.cumsum([0.0, *of_parts, *of_parts[: length - 1]]) for of_parts in (values, sizes)]
    of_runs = [sum_[length:] - sum_[:-length] for sum_ in sums]  # (num_parts,): from each part on, in a circle
    starts = np.random.default_rng(0).integers(num_parts, size=(NUM_RESAMPLES, -(-num_parts // length)))
    resampled = of_runs[0][starts].sum(1) / of_runs[1][starts].sum(1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return TextInterval(float(np.sum(values) / np.sum(sizes)), (float(low), float(high)), length)

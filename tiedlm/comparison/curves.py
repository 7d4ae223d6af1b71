"""Learning curves of several seeds → the mean of each arm and the paired difference, point by point."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from typing import NamedTuple

from tiedlm.comparison.paired_statistics import paired_t
from tiedlm.config.strict import Strict
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.run_record import RunRecord


class DifferenceCurve(Strict):
    """How the second arm's valid loss differs from the first's over training, in nats a token."""

    arms: tuple[str, str]
    num_tokens: list[int]
    """Read in training so far; the untrained models are left out."""
    mean: list[float]
    ci95: list[tuple[float, float]] | None
    """Of each point alone; None for one seed."""


class MeanPoint(NamedTuple):
    """One point of an arm's learning curve, over its seeds."""

    num_tokens: int
    train_loss_nats: float
    valid_loss_nats: float
    valid_std_nats: float | None
    """None for one seed."""


def mean_curve(seeds: Collection[Sequence[CurvePoint]]) -> list[MeanPoint]:
    """The means over the curves of several seeds; the untrained models are left out, as above."""
    found = []
    for points in list(zip(*seeds, strict=True))[1:]:
        valid = [point.valid_loss_nats for point in points]
        found.append(
            MeanPoint(
                num_tokens=points[0].num_tokens,
                train_loss_nats=statistics.fmean(point.train_loss_nats for point in points),
                valid_loss_nats=statistics.fmean(valid),
                valid_std_nats=statistics.stdev(valid) if len(valid) > 1 else None,
            )
        )
    return found


def difference_curve(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> DifferenceCurve:
    """Pair the curves of two arms by seed; both have their points at the same steps."""
    points = range(1, len(first[0].curve))  # point 0 is before training, where arms differ by their start alone
    values = [
        [b.curve[point].valid_loss_nats - a.curve[point].valid_loss_nats for a, b in zip(first, second, strict=True)]
        for point in points
    ]
    return DifferenceCurve(
        arms=(first[0].arm, second[0].arm),
        num_tokens=[first[0].curve[point].num_tokens for point in points],
        mean=[statistics.fmean(of_point) for of_point in values],
        ci95=None if len(first) == 1 else [paired_t(of_point).ci95 for of_point in values],
    )

"""Outcomes of items → how often a model is right, beside how often word frequencies alone are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tiedlm.comparison.crossed_interval import crossed_interval
from tiedlm.data.frequency_bands import BAND_NAMES, frequency_bands
from tiedlm.errors import InputError
from tiedlm.probing.pair_items import Cloze, Item, PairSet

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """What one model has answered."""

    model: str
    kind: str
    is_tied: bool
    num_parameters: int
    notes: list[str]
    """What its files leave open."""
    points: Floats
    """(num_items,): 1 right, 0 wrong, 1/2 a tie, and not a number where an item was not scored."""
    not_scored: dict[str, int]
    """Items that cannot be asked, by what is in the way."""

    @property
    def is_scored(self) -> npt.NDArray[np.bool_]:
        """(num_items,)."""
        return ~np.isnan(self.points)


@dataclass(frozen=True)
class TrainWords:
    """How often each word, between blanks, occurs in the train split of a corpus."""

    corpus: str
    text_sha256: dict[str, str]
    counts: Counter[str]


@dataclass(frozen=True)
class PartScore:
    """Of some of the items."""

    name: str
    num_items: int
    accuracy: float | None
    """None where there is no item."""
    frequency_accuracy: float | None
    """What word frequencies alone reach on the same items; None where no text is known."""


@dataclass(frozen=True)
class PairScores:
    """A model on minimal pairs."""

    schema_version: Literal[1] = field(default=1, init=False)
    model: str
    kind: str
    is_tied: bool
    num_parameters: int
    pairs: str
    """`agreement`, or the file."""
    corpus: str | None
    """Whose train split the word frequencies are of."""
    text_sha256: dict[str, str] | None
    num_items: int
    num_scored: int
    not_scored: dict[str, int]
    """Items that cannot be asked, by what is in the way."""
    accuracy: float
    """Of the scored ones, a tie counting one half."""
    ci95: tuple[float, float] | None
    """Over items, those that ask for the same two forms as one; None where these are fewer than ten."""
    num_groups: int
    """Of items that do not ask for the same two forms."""
    num_ties: int
    frequency_accuracy: float | None
    """The floor: who always takes what is more frequent in train, and half of a tie."""
    by_right_form: list[PartScore]
    """By how often the right form occurs in train."""
    by_rarer_form: list[PartScore]
    """By how often the rarer one of the two does."""
    paradigms: list[PartScore]
    notes: list[str]


def summarise(outcomes: Outcomes, pairs: PairSet, train: TrainWords | None) -> PairScores:
    """Count what a model has answered.

    Raises:
        InputError: no item was scored.
    """
    check_scored(outcomes, pairs)
    kept = np.flatnonzero(outcomes.is_scored)
    items, points = [pairs.items[number] for number in kept], outcomes.points[kept]
    floor = None if train is None else frequency_points(items, train.counts)
    whole = crossed_interval(points[None], group_numbers(items))

    def parts(labels: Sequence[str | None], names: Sequence[str]) -> list[PartScore]:
        rows = [np.array([label == name for label in labels]) for name in names]
        return [
            PartScore(name, int(is_of.sum()), mean(points[is_of]), None if floor is None else mean(floor[is_of]))
            for name, is_of in zip(names, rows, strict=True)
        ]

    paradigms = [item.paradigm for item in items]
    names = sorted({name for name in paradigms if name is not None})
    right, rarer = (None, None) if train is None else (right_bands(items, train), rarer_bands(items, train))
    return PairScores(
        model=outcomes.model,
        kind=outcomes.kind,
        is_tied=outcomes.is_tied,
        num_parameters=outcomes.num_parameters,
        pairs=pairs.name,
        corpus=None if train is None else train.corpus,
        text_sha256=None if train is None else train.text_sha256,
        num_items=len(pairs.items),
        num_scored=len(items),
        not_scored=outcomes.not_scored,
        accuracy=whole.mean,
        ci95=None if whole.ci95 is None else (max(0.0, whole.ci95[0]), min(1.0, whole.ci95[1])),
        num_groups=whole.num_groups,
        num_ties=int((points == 0.5).sum()),
        frequency_accuracy=None if floor is None else mean(floor),
        by_right_form=[] if right is None else parts(right, BAND_NAMES),
        by_rarer_form=[] if rarer is None else parts(rarer, BAND_NAMES),
        paradigms=parts(paradigms, names),
        notes=outcomes.notes,
    )


def check_scored(outcomes: Outcomes, pairs: PairSet) -> None:
    """Refuse a model that none of the items can be asked of.

    Raises:
        InputError: it is one.
    """
    if not outcomes.is_scored.any():
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in outcomes.not_scored.items())
        raise InputError(
            f"{outcomes.model}: none of the {len(pairs.items):,} items of --pairs {pairs.name} can be scored "
            f"({reasons}); give items in words that the model has"
        )


def group_numbers(items: Sequence[Item]) -> npt.NDArray[np.int64]:
    """(N,): the same number for items that ask for the same two forms."""
    numbers: dict[tuple[str, ...], int] = {}
    return np.array([numbers.setdefault(item.group, len(numbers)) for item in items], dtype=np.int64)


def frequency_points(items: Sequence[Item], counts: Counter[str]) -> Floats:
    """(N,): the outcome of taking the form that is more frequent in train, or the sentence with the likelier words.

    A sentence's words are counted with one more each; `fsum` has no order, so that the same words are as likely.
    """
    total = math.log(counts.total() + len(counts) + 1)

    def weight(text: str) -> float:
        return math.fsum(math.log(counts[word] + 1) - total for word in text.split())

    points = []
    for item in items:
        if isinstance(item, Cloze):
            right, wrong = float(counts[item.right]), float(counts[item.wrong])
        else:
            right, wrong = weight(item.good), weight(item.bad)
        points.append(0.5 if right == wrong else float(right > wrong))
    return np.array(points)


def right_bands(items: Sequence[Item], train: TrainWords) -> list[str | None]:
    """The band of the right form of each item, by name; None for sentences."""
    return _bands(items, lambda item: train.counts[item.right])


def rarer_bands(items: Sequence[Item], train: TrainWords) -> list[str | None]:
    """The band of the rarer form of each item, by name; None for sentences."""
    return _bands(items, lambda item: min(train.counts[item.right], train.counts[item.wrong]))


def _bands(items: Sequence[Item], count: Callable[[Cloze], int]) -> list[str | None]:
    counts = np.array([count(item) if isinstance(item, Cloze) else 0 for item in items], dtype=np.int64)
    bands = frequency_bands(counts)
    return [BAND_NAMES[band] if isinstance(item, Cloze) else None for item, band in zip(items, bands, strict=True)]


def mean(points: Floats) -> float | None:
    """None of none."""
    return float(points.mean()) if len(points) else None

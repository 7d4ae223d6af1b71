"""Numbers of a random search, in which every arm has the same trials, as a page shows them."""

from __future__ import annotations

import math

from loaded import by_short_name, chosen, comparison

from tiedlm.comparison.tuning_table import LowestCell, Tuning
from tiedlm.errors import InputError
from tiedlm.reporting.tuning_report import shown_numbers


def num_trials(folder: str) -> int:
    """How many trials each arm has."""
    return len(_search(folder).cells)


def searched_keys(folder: str) -> list[str]:
    """The keys of the ranges, by the last part of their names."""
    return list(by_short_name(_search(folder).design.ranges or {}))


def searched_range(folder: str, key: str) -> str:
    """`from 0.001 to 0.03 (log)`."""
    return chosen(by_short_name(_search(folder).design.ranges or {}), key, folder).words


def lowest_value(folder: str, arm: str, key: str) -> str:
    """What a key has in the trial where an arm's loss is lowest: `0.0062`, with the end of the range at which it lies.

    A dash where it does nothing in this arm.
    """
    cell = _lowest(folder, arm)
    value, edge = (by_short_name(of_key).get(key) for of_key in (cell.values, cell.edges))
    if value is None:
        return "–"
    return f"{value:.2g}" + ("" if edge is None else f" ({edge} end)")


def lowest_ppl(folder: str, arm: str) -> str:
    """The perplexity of that trial on valid: `103.2`."""
    return f"{math.exp(_lowest(folder, arm).loss_nats):,.1f}"


def trial_numbers(folder: str) -> list[int]:
    """1, 2, 4, … and all trials."""
    return shown_numbers(num_trials(folder))


def expected_loss(folder: str, arm: str, number: int) -> str:
    """The expected lowest loss of so many trials, in nats a token: `4.63`."""
    return f"{_expected(folder, arm)[number - 1]:.2f}"


def expected_lead(folder: str, number: int) -> str:
    """untied − tied of it: `+0.09`."""
    return f"{_expected(folder, 'untied')[number - 1] - _expected(folder, 'tied')[number - 1]:+.2f}"


def _search(folder: str) -> Tuning:
    tuning = comparison(folder).tuning
    if tuning is None or tuning.design.trials is None:
        raise InputError(f"results/{folder}: has no random search; name a folder of compare --tune with [tune.ranges]")
    return tuning


def _lowest(folder: str, arm: str) -> LowestCell:
    return chosen(_search(folder).lowest, arm, folder)


def _expected(folder: str, arm: str) -> list[float]:
    return chosen(_search(folder).expected_lowest_nats or {}, arm, folder)

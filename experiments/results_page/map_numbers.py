"""Numbers of maps and of tunings, whose cells are combinations of values, as a page shows them.

A difference is untied − tied on valid, in nats a token. A map's cells have too few seeds for an interval of each, so
what is said of a row is a weighted sum over its cells. Its interval takes the variance over seeds to be the same in
them, and the cells to be independent.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from loaded import all_records, by_short_name, chosen, comparison, document, scan

from tiedlm.comparison.paired_statistics import t_test
from tiedlm.comparison.scan_result import ScanCell
from tiedlm.errors import InputError
from tiedlm.reporting.wording import with_interval

Values = tuple[tuple[str, float], ...]
"""Of a cell of a tuning, by the last part of their keys."""


def cells(folder: str, split: str = "valid", **values: float | str) -> str:
    """The means of a map's cells that have these values, as cells of a table: `+0.118 | +0.107 | +0.122`.

    In parentheses: token frequencies beat one of the arms.
    """
    return " | ".join(_mean(cell, split) for cell in _cells(folder, values))


def over_cells(folder: str, split: str = "valid", **values: float | str) -> str:
    """The mean over the cells that have these values: `+0.116 [+0.082, +0.150]`. Exploratory."""
    found = _cells(folder, values)
    return _weighted(found, [1 / len(found)] * len(found), split)


def slope(folder: str, key: str, **values: float | str) -> str:
    """The change with each doubling of a key, by least squares over the cells that have these values. Exploratory."""
    found = _cells(folder, values)
    steps = [math.log2(by_short_name(cell.values)[key]) for cell in found]
    middle = statistics.fmean(steps)
    spread = sum((step - middle) ** 2 for step in steps)
    return _weighted(found, [(step - middle) / spread for step in steps])


def scanned(folder: str, key: str) -> str:
    """The values that a map has of a key, as cells of a table: `64 | 128 | 256`."""
    return " | ".join(f"{value:,}" for value in by_short_name(scan(folder).design.values)[key])


def cell_epochs(folder: str, **values: float | str) -> str:
    """How many times a run reads its text in the one cell of these values: `26`."""
    return f"{comparison(cell_folder(folder, **values)).trained_on.epochs:.2g}"


def num_ahead(folder: str, arm: str, split: str = "valid") -> int:
    """In how many cells the mean finds an arm ahead, of those in which both have learned something."""
    found = [_delta(cell, split) for cell in scan(folder).cells if _has_learned(cell)]
    return sum((value > 0) == (arm == "tied") for value in found)


def cell_std(folder: str) -> str:
    """The standard deviation over seeds in a map's cells, the lowest and the highest: `0.04 to 0.09`."""
    return _range([statistics.stdev(_values(cell, "valid")) for cell in scan(folder).cells], ".2f")


def cell_folder(folder: str, **values: float | str) -> str:
    """The folder of the one cell of these values, for the functions that take a folder."""
    (found,) = cell_folders(folder, **values)
    return found


def cell_folders(folder: str, **values: float | str) -> list[str]:
    """The folders of all cells of these values."""
    return [f"{folder}/{cell.folder}" for cell in _cells(folder, values)]


def tuned(folder: str, arm: str, **values: float | str) -> str:
    """Perplexities of an arm in the cells of its tuning that have these values: `55.8 to 57.7`."""
    return _range([math.exp(losses[arm]) for losses in _tuning(folder, values).values()], ".1f")


def tuned_lead(folder: str, **values: float | str) -> str:
    """untied − tied in the cells of a tuning that have these values, the lowest and the highest: `0.07 to 0.10`."""
    return _range([losses["untied"] - losses["tied"] for losses in _tuning(folder, values).values()], ".2f")


def tuned_gain(folder: str, arm: str, key: str, before: float, after: float) -> str:
    """By how much an arm's loss falls in a tuning from one value of a key to another, all else equal."""
    found = [_tuning(folder, {key: value}).values() for value in (before, after)]
    return _range([one[arm] - other[arm] for one, other in zip(*found, strict=True)], ".2f")


def best(folder: str, arm: str) -> str:
    """An arm's best values in its tuning, with those on an edge of what was tried: `learning_rate 0.01 (edge)`."""
    table = _tuning(folder, {})
    shown = []
    for key, value in min(table, key=lambda cell: table[cell][arm]):
        tried = [dict(cell)[key] for cell in table]
        shown.append(f"{key} {value:g}" + (" (edge)" if value in (min(tried), max(tried)) else ""))
    return ", ".join(shown)


def _weighted(found: Sequence[ScanCell], weights: Sequence[float], split: str = "valid") -> str:
    values = [_values(cell, split) for cell in found]
    estimate = sum(weight * statistics.fmean(of_cell) for weight, of_cell in zip(weights, values, strict=True))
    freedom = sum(len(of_cell) - 1 for of_cell in values)
    variance = sum((len(of_cell) - 1) * statistics.variance(of_cell) for of_cell in values) / freedom
    error = math.sqrt(variance * sum(w * w / len(of_cell) for w, of_cell in zip(weights, values, strict=True)))
    half_width = t_test(estimate, error, freedom).half_width
    return with_interval(estimate, (estimate - half_width, estimate + half_width))


def _mean(cell: ScanCell, split: str) -> str:
    shown = f"{_delta(cell, split):+.3f}"
    return shown if _has_learned(cell) else f"({shown})"


def _delta(cell: ScanCell, split: str) -> float:
    return statistics.fmean(_values(cell, split))


def _values(cell: ScanCell, split: str) -> list[float]:
    """Of each seed."""
    (found,) = (item for item in cell.differences if (item.split, item.arms) == (split, ("tied", "untied")))
    return found.delta_nats.values


def _has_learned(cell: ScanCell) -> bool:
    return max(cell.perplexities.values()) < cell.unigram_perplexity


def _cells(folder: str, values: Mapping[str, float | str]) -> list[ScanCell]:
    found = [cell for cell in scan(folder).cells if _has(cell.values, values)]
    if not found:
        raise InputError(f"results/{folder}: has no cell of {values}; give values that it scanned")
    return found


def _tuning(folder: str, values: Mapping[str, float | str]) -> dict[Values, dict[str, float]]:
    """The mean loss on valid of each arm, in each cell of a folder's tuning that has these values."""
    losses: dict[Values, dict[str, list[float]]] = {}
    keys = document(f"{folder}/tune/tune.json")["values"]
    for record in all_records(f"{folder}/tune"):
        config = record.config.every_key()
        cell = {key: config[key] for key in keys}
        if _has(cell, values):
            of_cell = losses.setdefault(tuple(by_short_name(cell).items()), {})
            of_cell.setdefault(record.arm, []).append(record.metrics["valid"].masked_lm_loss_nats)
    if not losses:
        raise InputError(f"results/{folder}: its tuning has no cell of {values}; give values that it tried")
    return {cell: {arm: statistics.fmean(found) for arm, found in arms.items()} for cell, arms in losses.items()}


def _has(of_cell: Mapping[str, float], wanted: Mapping[str, float | str]) -> bool:
    return all(chosen(by_short_name(of_cell), key, "a cell") == value for key, value in wanted.items())


def _range(values: Sequence[float], form: str) -> str:
    """The lowest and the highest as they are shown; one number where these are the same."""
    ends = dict.fromkeys(f"{value:z{form}}" for value in (min(values), max(values)))
    return " to ".join(ends)

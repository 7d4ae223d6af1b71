"""Numbers of minimal pairs, from what `tiedlm evaluate FOLDER --pairs agreement --json` wrote to results/pairs/.

A difference of two arms is in percentage points of items: below 0 where tied is right more often. Bands are by how
often the right form occurs in train, and are named by the least count that they hold.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loaded import REPOSITORY, chosen, document

from tiedlm.data.frequency_bands import BAND_NAMES, LEAST_COUNTS
from tiedlm.errors import InputError
from tiedlm.record.run_id import RunId
from tiedlm.reporting.wording import p_value, with_interval

PREDICTION = "experiments/pairs/prediction.md"


def pair_predicted(words: str) -> str:
    """Words of the prediction that was made before any model was scored, so that it is quoted as it was made.

    Raises:
        InputError: it does not say them.
    """
    if words not in re.sub(r"\s+", " ", (REPOSITORY / PREDICTION).read_text()):
        raise InputError(f"{PREDICTION}: does not say {words!r}; quote it word by word")
    return words


def num_pair_items(name: str) -> str:
    """How many items every run was asked: `36,383`."""
    return f"{_first_difference(name)['num_items']:,}"


def num_pair_groups(name: str) -> str:
    """How many pairs of forms these ask for: `1,322`."""
    return f"{_first_difference(name)['num_groups']:,}"


def num_pair_seeds(name: str, arm: str = "untied") -> int:
    """How many seeds a difference from the first arm is over."""
    return len(_difference(name, arm)["seeds"])


def pair_rate(name: str, arm: str) -> str:
    """How often an arm is right, the mean over seeds and their standard deviation: `84.2 ± 0.3 %`."""
    return f"{_mean_and_std([run['accuracy'] for run in _runs(name, arm)])} %"


def pair_rates(name: str, arm: str) -> str:
    """The same by how often train has the right form, as cells of a table, from `pair_bands`."""
    by_run = [_by_band(run["by_right_form"]) for run in _runs(name, arm)]
    shares = [[bands[least]["accuracy"] for bands in by_run] for least in _bands_of(name)]
    return " | ".join(_mean_and_std(band) for band in shares)


def pair_floor(name: str) -> str:
    """How often it is right to take the form that train has more often, on the same items: `77.0 %`."""
    return f"{100 * _floor(name):.1f} %"


def pair_floors(name: str) -> str:
    """The same by how often train has the right form, as cells of a table."""
    bands = _by_band(_all_runs(name)[0]["by_right_form"])
    return " | ".join(f"{100 * bands[least]['frequency_accuracy']:.1f}" for least in _bands_of(name))


def pair_over_floor(name: str, arm: str) -> str:
    """By how many points an arm is above that, the mean over seeds: `+7.2`."""
    return f"{100 * (statistics.fmean(run['accuracy'] for run in _runs(name, arm)) - _floor(name)):+.1f}"


def pair_bands(name: str) -> str:
    """How often train has the right form, as cells of a table: `0 to 9 | 10 to 99`."""
    return " | ".join(BAND_NAMES[LEAST_COUNTS.index(least)] for least in _bands_of(name))


def pair_band_items(name: str) -> str:
    """The items of each band, as cells of a table."""
    return " | ".join(f"{band['num_items']:,}" for band in _bands_of(name).values())


def pair_difference(name: str, arm: str = "untied") -> str:
    """By how many points an arm is right more often than the first: `-0.84 [-1.21, -0.47]`."""
    return _points(_difference(name, arm))


def pair_differences(name: str, arm: str = "untied") -> str:
    """The same in each band, as cells of a table; these are not tested."""
    return " | ".join(map(_points, _bands_of(name, arm).values()))


def pair_difference_of(name: str, least: int, below: int | None = None, arm: str = "untied") -> str:
    """Its mean over the items of several bands, from a least count on and below another: `-1.36`."""
    kept = [band for count, band in _bands_of(name, arm).items() if count >= least and (below is None or count < below)]
    if not kept:
        raise InputError(f"results/pairs/{name}.json: has no band from {least} on, below {below}; give counts of bands")
    return f"{100 * _sum(kept) / sum(band['num_items'] for band in kept):+z.2f}"


def pair_p(name: str, arm: str = "untied") -> str:
    """The p-value that decides, Holm's over the arms of the folder: `p = 0.013`."""
    value = _difference(name, arm)["p_holm"]
    return "no p" if value is None else p_value(value)


def pair_verdict(name: str, arm: str = "untied") -> str:
    """`tied better`, `untied better`, `inconclusive` or `no verdict`."""
    return str(_difference(name, arm)["verdict"])


def _differences(name: str) -> dict[str, dict[str, Any]]:
    return {item["arms"][1]: item for item in document(f"pairs/{name}.json")["differences"]}


def _difference(name: str, arm: str) -> dict[str, Any]:
    return chosen(_differences(name), arm, f"results/pairs/{name}.json, differences")


def _first_difference(name: str) -> dict[str, Any]:
    return next(iter(_differences(name).values()))


def _all_runs(name: str) -> list[dict[str, Any]]:
    return list(document(f"pairs/{name}.json")["runs"])


def _runs(name: str, arm: str) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for run in _all_runs(name):
        named = RunId.of_file(Path(run["model"]))
        found.setdefault(run["model"] if named is None else named.arm, []).append(run)
    return chosen(found, arm, f"results/pairs/{name}.json, runs")


def _floor(name: str) -> float:
    found = {run["frequency_accuracy"] for run in _all_runs(name)}
    if len(found) > 1:
        raise InputError(f"results/pairs/{name}.json: its runs were not asked the same items, so there is no one floor")
    return float(found.pop())


def _bands_of(name: str, arm: str | None = None) -> dict[int, dict[str, Any]]:
    """Those of a difference that have items, by the least count of each."""
    found = _first_difference(name) if arm is None else _difference(name, arm)
    return {least: band for least, band in _by_band(found["by_right_form"]).items() if band["num_items"]}


def _by_band(parts: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    return {LEAST_COUNTS[BAND_NAMES.index(part["name"])]: part for part in parts}


def _sum(bands: Sequence[Mapping[str, Any]]) -> float:
    return float(sum(band["mean"] * band["num_items"] for band in bands))


def _mean_and_std(shares: Sequence[float]) -> str:
    mean = f"{100 * statistics.fmean(shares):.1f}"
    return mean if len(shares) == 1 else f"{mean} ± {100 * statistics.stdev(shares):.1f}"


def _points(found: Mapping[str, Any]) -> str:
    ends = None if found["ci95"] is None else [100 * end for end in found["ci95"]]
    return with_interval(100 * found["mean"], ends, 2)

"""Numbers of minimal pairs, from what `tiedlm evaluate FOLDER --pairs … --json` printed into results/pairs/."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from loaded import document

from tiedlm.errors import InputError
from tiedlm.record.run_id import RunId


def pair_rate(name: str, arm: str) -> str:
    """How often an arm is right: the mean and the standard deviation over its seeds, `79.3 ± 0.4 %`.

    Raises:
        InputError: the arm was not asked.
    """
    runs = [(RunId.of_file(Path(run["model"])), run["accuracy"]) for run in _asked(name)["runs"]]
    found = [100 * accuracy for run, accuracy in runs if run is not None and run.arm == arm]
    if not found:
        raise InputError(f"results/pairs/{name}.json: has no run of {arm}")
    return f"{statistics.fmean(found):.1f} ± {statistics.stdev(found):.1f} %"


def pair_floor(name: str) -> str:
    """How often word frequencies alone are right there: `77.0 %`."""
    return f"{100 * _asked(name)['runs'][0]['frequency_accuracy']:.1f} %"


def num_pair_items(name: str) -> str:
    """How many items every run was asked: `36,383`."""
    return f"{_asked(name)['differences'][0]['num_items']:,}"


def num_pair_groups(name: str) -> str:
    """How many pairs of forms they ask for: `1,322`."""
    return f"{_asked(name)['differences'][0]['num_groups']:,}"


def pair_difference(name: str, arm: str = "untied", band: str | None = None) -> str:
    """An arm minus the first, in percentage points, of all items or those whose right form is of a band of train.

    Raises:
        InputError: there is no such arm or band.
    """
    found = _difference(name, arm)
    if band is not None:
        of_band = [part for part in found["by_right_form"] if part["name"] == band]
        if not of_band:
            names = ", ".join(part["name"] for part in found["by_right_form"])
            raise InputError(f"results/pairs/{name}.json: has no band {band!r}, but {names}")
        found = of_band[0]
    low, high = found["ci95"]
    return f"{100 * found['mean']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def pair_p(name: str, arm: str = "untied") -> str:
    """The p of that difference, as it was adjusted: `0.012`."""
    p_holm = _difference(name, arm)["p_holm"]
    return "< 0.001" if p_holm < 0.001 else f"{p_holm:.3f}"


def pair_verdict(name: str, arm: str = "untied") -> str:
    """`tied better`, `inconclusive`, …"""
    return str(_difference(name, arm)["verdict"])


def _asked(name: str) -> dict[str, Any]:
    return document(f"pairs/{name}.json")


def _difference(name: str, arm: str) -> dict[str, Any]:
    found = [item for item in _asked(name)["differences"] if item["arms"][1] == arm]
    if not found:
        raise InputError(f"results/pairs/{name}.json: has no difference of {arm}")
    return found[0]

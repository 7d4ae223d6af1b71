"""Numbers of planned contrasts, which alone have verdicts where an experiment plans any."""

from __future__ import annotations

import statistics
from typing import Any

from loaded import RESULTS, chosen, comparison, scan

from tiedlm.comparison.paired_statistics import SIGNIFICANCE, holm
from tiedlm.errors import InputError
from tiedlm.reporting.wording import p_value, with_interval


def contrast_rows(folder: str, split: str = "valid") -> str:
    """A line of a table for each contrast: its name, formula, prediction, value, Holm's p, verdict and seeds."""
    return "\n".join(f"| {' | '.join(_cells(result))} |" for result in _planned(folder, split).values())


def contrast(folder: str, name: str, split: str = "valid") -> str:
    """The value of one contrast in nats a token, with its 95 % interval over seeds: `+0.050 [+0.037, +0.062]`."""
    return _value(_one(folder, name, split))


def contrast_p(folder: str, name: str, split: str = "valid") -> str:
    """The p-value that decides, Holm's over the contrasts of the split: `p = 0.013`."""
    return _p(_one(folder, name, split))


def contrast_verdict(folder: str, name: str, split: str = "valid") -> str:
    """`as predicted`, `contrary to the prediction`, `equal within ± 0.03`, `inconclusive` or `no verdict`."""
    return str(_one(folder, name, split)["verdict"])


def contrast_seeds(folder: str, name: str, split: str = "valid") -> int:
    """Over how many seeds it is."""
    return len(_one(folder, name, split)["seeds"])


def contrast_std(folder: str, split: str = "valid") -> str:
    """The standard deviation over seeds, the lowest and the highest of the contrasts: `0.08 to 0.15`."""
    found = [statistics.stdev(result["values"]) for result in _planned(folder, split).values()]
    return f"{min(found):.2f} to {max(found):.2f}"


def num_tested() -> int:
    """How many planned contrasts of all experiments have been tested on valid."""
    return len(_all_tested())


def standing_over_all() -> str:
    """Those of them with p < 0.05 by Holm's correction over all: `` `lead` of `ptb-own-best` ``."""
    found = _all_tested()
    adjusted = holm([result["p_value"] for _, result in found])
    standing = [
        f"`{result['name']}` of `{folder}`"
        for (folder, result), value in zip(found, adjusted, strict=True)
        if value < SIGNIFICANCE
    ]
    return ", ".join(standing)


def results_of(folder: str) -> list[dict[str, Any]]:
    """Every contrast of a folder on each split, whether it is over arms or over the cells of a map."""
    is_map = (RESULTS / folder / "scan-design.json").exists()
    found = (scan(folder) if is_map else comparison(folder)).model_dump(mode="json")
    return list(found.get("contrasts", []))


def _planned(folder: str, split: str) -> dict[str, dict[str, Any]]:
    found = {result["name"]: result for result in results_of(folder) if result["split"] == split}
    if not found:
        raise InputError(f"results/{folder}: plans no contrasts on {split}; name a folder that does")
    return found


def _all_tested() -> list[tuple[str, dict[str, Any]]]:
    """Of every folder that plans any, on valid; without those whose seeds are not all there."""
    folders = sorted(path.parent.name for path in RESULTS.glob("*/contrasts.json"))
    found = [(folder, result) for folder in folders for result in _planned(folder, "valid").values()]
    return [(folder, result) for folder, result in found if result["p_value"] is not None]


def _one(folder: str, name: str, split: str) -> dict[str, Any]:
    return chosen(_planned(folder, split), name, f"contrasts of {folder}")


def _cells(result: dict[str, Any]) -> list[str]:
    margin, sign = (result["contrast"].get(key) for key in ("equal_within_nats", "predicted"))
    prediction = f"within ± {margin:g}" if margin else "above 0" if sign == "positive" else "below 0"
    shown = [_value(result), _p(result), result["verdict"], str(len(result["seeds"]))]
    return [result["name"], result["formula"], prediction, *shown]


def _value(result: dict[str, Any]) -> str:
    return "–" if result["mean"] is None else with_interval(result["mean"], result["ci95"])


def _p(result: dict[str, Any]) -> str:
    return "–" if result["p_holm"] is None else p_value(result["p_holm"])

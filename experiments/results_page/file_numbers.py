"""Numbers of what is no record: predictions, known models, the calibration and the benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from loaded import REPOSITORY, document

from tiedlm import count_params
from tiedlm.errors import InputError

TIEDLM = "tiedlm"
PRODUCTS = "matrix products alone"
MAX_WITHOUT_RIVALS = 2  # variants of a size at which tiedlm alone was measured, compiled and not


def predicted(experiment: str, words: str) -> str:
    """Words that the opening comment of an experiment's file says, so that a prediction is quoted as it was made.

    Raises:
        InputError: it does not say them.
    """
    comment = (REPOSITORY / f"experiments/{experiment}.toml").read_text().partition("\n\n")[0]
    if words not in re.sub(r"\s+", " ", comment.replace("#", " ")):
        raise InputError(f"experiments/{experiment}.toml: its comment does not say {words!r}; quote it word by word")
    return words


def model_params(model: str) -> str:
    """All parameters of a known model as it is: `109,514,298`."""
    return f"{count_params(model).count.total:,}"


def model_saved(model: str) -> str:
    """What tying saves or would save there: `23,440,896`."""
    return f"{count_params(model).count.saved:,}"


def false_alarms(test: str) -> str:
    """How often a test found a difference between runs that differ in their seed alone: `4.9 %`."""
    found = document("calibration/null_pairs.json")
    return f"{100 * (found['bootstrap'] if test == 'bootstrap' else found['t_test'][test]):.1f} %"


def num_null_pairs() -> int:
    """How many pairs of runs that is over."""
    return len(document("calibration/null_pairs.json")["seeds"])


def speed_ratio(folder: str, over: str) -> str:
    """Tokens a second of `tiedlm` over those of a variant, the lowest and highest median over sizes: `2.04 to 3.40`.

    `over` is `best` (the fastest that `transformers` ships), or the end of a variant's name.
    """
    return _range([_ratio(size, over)["median"] for size in _sizes(folder)], ".2f")


def speed_ratios(folder: str, over: str) -> str:
    """The same size by size, as cells of a table."""
    return " | ".join(f"{_ratio(size, over)['median']:.2f}" for size in _sizes(folder))


def round_spread(folder: str, over: str) -> str:
    """How far a single round's ratio lies from its median at most: `12 % below and 21 % above`."""
    ratios = [_ratio(size, over) for size in _sizes(folder)]
    low = max(1 - ratio["lowest"] / ratio["median"] for ratio in ratios)
    high = max(ratio["highest"] / ratio["median"] - 1 for ratio in ratios)
    return f"{100 * low:.0f} % below and {100 * high:.0f} % above"


def speed_bound(folder: str) -> str:
    """Of `tiedlm`'s matrix products alone over the fastest that `transformers` ships: `2.89 to 4.54`."""
    return _range([_bound(size) for size in _sizes(folder)], ".2f")


def speed_bounds(folder: str) -> str:
    """The same size by size, as cells of a table."""
    return " | ".join(f"{_bound(size):.2f}" for size in _sizes(folder))


def of_peak(folder: str) -> str:
    """Which share of the processor's measured peak `tiedlm` reaches: `37 to 67 %`."""
    return _range([100 * size["variants"][TIEDLM]["share_of_peak"] for size in _sizes(folder)], ".0f") + " %"


def largest_vocab(folder: str) -> str:
    """The vocabulary of the size at which `tiedlm` had no rivals: `250,000`."""
    return f"{_without_rivals(folder)['vocab_size']:,}"


def largest(folder: str) -> str:
    """What was measured there; needed are weights, gradients, AdamW's states in fp32, and 300 MB."""
    found = _without_rivals(folder)["variants"][TIEDLM]
    pace, memory = found["tokens_per_second"], found["peak_memory_over_needed"]
    return f"{pace:,.0f} tokens a second in {memory:.2f} × the memory needed"


def of_products(folder: str) -> str:
    """Which share of the speed of its matrix products alone `tiedlm` reaches: `60 to 77 %`."""
    return _range([100 * _ratio(size, PRODUCTS)["median"] for size in _sizes(folder)], ".0f") + " %"


def sizes(folder: str) -> str:
    """The names of the sizes at which `tiedlm` has rivals, as cells of a table."""
    return " | ".join(size["name"] for size in _sizes(folder))


def benchmark_commit(folder: str) -> str:
    """Of the code that was measured, in seven digits."""
    return str(document(f"{folder}/cpu.json")["provenance"]["git_commit"])[:7]


def _sizes(folder: str) -> list[dict[str, Any]]:
    return [size for size in document(f"{folder}/cpu.json")["sizes"] if len(size["variants"]) > MAX_WITHOUT_RIVALS]


def _without_rivals(folder: str) -> dict[str, Any]:
    (size,) = (size for size in document(f"{folder}/cpu.json")["sizes"] if len(size["variants"]) <= MAX_WITHOUT_RIVALS)
    return dict(size)


def _bound(size: dict[str, Any]) -> float:
    """Both ratios are over the same turns of `tiedlm`, so it cancels."""
    return _ratio(size, "best")["median"] / _ratio(size, PRODUCTS)["median"]


def _ratio(size: dict[str, Any], over: str) -> dict[str, float]:
    if over == "best":
        (key,) = (key for key in size if key.startswith("tiedlm_ratio_to_best"))
        return dict(size[key])
    (found,) = (of for name, of in size["variants"].items() if name.endswith(over))
    return dict(found["tiedlm_ratio"])


def _range(values: Sequence[float], form: str) -> str:
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (min(values), max(values))))

"""A tuning → its cells: the combinations of a grid, or the trials of a search, which are drawn here."""

from __future__ import annotations

import random
from typing import Any

from tiedlm.comparison.cells import cell_folders
from tiedlm.config.tune import Tune


def tuned_folders(tune: Tune) -> dict[str, dict[str, Any]]:
    """`learning_rate=0.01` or `trial=0007` → its values by key, for every cell of a grid or trial of a search."""
    if tune.trials is None:
        return cell_folders(tune.values or {})
    return {f"trial={number:04}": trial_values(tune, number) for number in range(1, tune.trials + 1)}


def trial_values(tune: Tune, number: int) -> dict[str, Any]:
    """The values of one trial, independent of all others (random search: Bergstra & Bengio 2012).

    Each key has a generator for each trial, seeded by both in words. So the first trials of a longer search are those
    of a shorter one, and a key more changes no other key's values. Python promises the same numbers in every version.
    """
    shares = {key: random.Random(f"{key}, trial {number}").random() for key in tune.ranges or {}}
    return {key: (tune.ranges or {})[key].value(share) for key, share in shares.items()}

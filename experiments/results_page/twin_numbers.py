"""Numbers of frequent words renamed to rarer twins, from what `experiments/texts/lead_by_twin.py` wrote.

A group is twins of so many occurrences, the words that they are twins of, or ordinary words about as frequent. A
difference is untied − tied in nats a token of valid and test, positive where tied is ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from loaded import chosen, document

from tiedlm.reporting.wording import with_interval

FILE = "lead-by-twin.json"


def twin_groups(name: str) -> list[str]:
    """The groups, as the file calls them."""
    return list(_groups(name))


def twin_lead(name: str, group: str) -> str:
    """untied − tied of a group with its 95 % t-interval over seeds: `+0.301 [+0.2, +0.4]`."""
    delta = chosen(_groups(name), group, f"{name}/{FILE}")["delta_nats"]
    return with_interval(delta["mean"], delta["ci95"])


def twin_loss(name: str, group: str, arm: str) -> str:
    """Nats a token of an arm, the mean over seeds: `6.123`."""
    return f"{np.mean(chosen(_groups(name), group, f'{name}/{FILE}')['loss_nats'][arm]):.3f}"


def num_twin_predictions(name: str, group: str) -> str:
    """Predictions of a group, of each seed: `1,234`."""
    return f"{chosen(_groups(name), group, f'{name}/{FILE}')['num_tokens']:,}"


def _groups(name: str) -> Mapping[str, Any]:
    return {row["group"]: row for row in document(f"{name}/{FILE}")["groups"]}

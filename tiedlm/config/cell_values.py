"""Values of some keys, of which every combination is a cell: how many there may be."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tiedlm.config.strict import words_of_pattern

MAX_CELLS = 1_000
"""More runs than anybody waits for; they are counted before a list of them is made."""
KEY_PATTERN = words_of_pattern(  # its last word names a folder, so it holds no path
    r"^(model|corpus|train|intervention)\.[a-z_0-9]{1,60}$", "a key of the experiment, e.g. train.learning_rate"
)


def _few(values: dict[str, list[Any]]) -> dict[str, list[Any]]:
    number = math.prod(map(len, values.values()))
    if number > MAX_CELLS:
        shown = f"{number:,}" if number < 10**12 else f"10^{len(str(number)) - 1} or more"
        raise ValueError(
            f"{', '.join(values)[:200]}: {shown} combinations of values are over the limit of {MAX_CELLS:,}; give fewer"
        )
    return values


CellValues = Annotated[
    dict[Annotated[str, Field(pattern=KEY_PATTERN)], Annotated[list[Any], Field(min_length=1)]],
    Field(min_length=1),
    AfterValidator(_few),
]
"""By `section.key`."""

"""Each arm's colour, mark and line, the same in every plot and on the page.

The colours are Okabe and Ito's, and one of Tol's: any two of them differ for the colour-blind too. Where there are more
arms than colours, a broken line tells two of one colour apart; no two of fourteen arms have one mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tiedlm.config.experiment import BUILT_IN_ARMS

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#882255")
"""On white."""
DARK_COLOURS = ("#4aa8e0", "#ff8a4a", "#3cc79b", "#e093bd", "#8fd0f5", "#f0b23e", "#eceff1", "#d9719f")
"""The same on a dark page."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d", "8")
LINES = ("solid", "dashdot", (0, (5, 1, 1, 1, 1, 1)))


class ArmStyle(NamedTuple):
    """How an arm is drawn."""

    place: int
    """Of the arm among all, by which the page calls it."""
    colour: str
    marker: str
    line: Any

    @property
    def drawn(self) -> dict[str, Any]:
        """As matplotlib takes it."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line}


def arm_styles(arms: Iterable[str]) -> dict[str, ArmStyle]:
    """The style of each arm: tied and untied have theirs whatever stands beside them, the others by their order."""
    names = list(arms)
    ordered = [*BUILT_IN_ARMS, *(arm for arm in names if arm not in BUILT_IN_ARMS)]
    return {arm: _style(place) for place, arm in enumerate(ordered) if arm in names}


def _style(place: int) -> ArmStyle:
    round_, number = divmod(place, len(COLOURS))
    return ArmStyle(place, COLOURS[number], MARKERS[place % len(MARKERS)], LINES[min(round_, len(LINES) - 1)])

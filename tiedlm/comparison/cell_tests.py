"""The differences in all cells of a map, each tested by its own paired t-interval, and corrected for their number.

Two seeds a cell give one degree of freedom, so hardly any cell has a verdict by itself; a planned contrast over cells
says more (`contrast_results`). Beside such contrasts the cells are exploratory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import computed_field

from tiedlm.comparison.differences import arm_ahead
from tiedlm.comparison.paired_statistics import holm
from tiedlm.comparison.tested_differences import EXPLORATORY, Difference, verdict_of
from tiedlm.config.strict import Strict


class CellResult(Strict):
    """The difference in one cell, as the map shows it."""

    mean: float
    """In the unit of the scan, positive where the first arm is ahead."""
    ci95: tuple[float, float] | None
    """Of the cell alone; None where it can have no verdict: of one seed, or at the unigram level."""
    is_exploratory: bool
    """Whether planned contrasts are tested instead of it."""
    p_holm: float | None
    """Over all cells and pairs of arms on the split; None where the cell is not tested."""
    ahead: str | None
    """The arm that is found ahead."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str:
        """In words."""
        return EXPLORATORY if self.is_exploratory else verdict_of(self.ahead, self.p_holm)


class CellTests(Strict):
    """Two arms on one split, in all cells."""

    arms: tuple[str, str]
    split: str
    num_tests: int
    """On the split, of which Holm's p-values are: every pair of arms in every cell that has a verdict."""
    cells: dict[str, CellResult]


def cell_tests(
    split: str, cells: Mapping[str, Sequence[Difference]], units: Mapping[str, float] | None = None
) -> list[CellTests]:
    """Test what was compared on a split, by cell; a cell without a verdict of its own gets none here.

    `units` has how much a nat a token is in each cell in the unit that is shown; by default that is the unit itself. A
    test is the same in any of them.
    """
    of_pair: dict[tuple[str, str], dict[str, Difference]] = {}
    for name, differences in cells.items():
        for item in differences:
            if item.split == split:
                of_pair.setdefault(item.arms, {})[name] = item
    p_values = {
        (arms, name): item.delta_nats.p_value
        for arms, found in of_pair.items()
        for name, item in found.items()
        if item.delta_nats.p_value is not None and item.reason is None and not item.is_exploratory
    }
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [
        CellTests(
            arms=arms,
            split=split,
            num_tests=len(adjusted),
            cells={
                name: _result(item, adjusted.get((arms, name)), 1.0 if units is None else units[name])
                for name, item in found.items()
            },
        )
        for arms, found in of_pair.items()
    ]


def _result(item: Difference, p_holm: float | None, unit: float) -> CellResult:
    delta, has_interval = item.delta_nats, item.reason is None
    low, high = delta.ci95
    return CellResult(
        mean=delta.mean * unit,
        ci95=(low * unit, high * unit) if has_interval else None,
        is_exploratory=item.is_exploratory and has_interval,
        p_holm=p_holm,
        ahead=None if p_holm is None else arm_ahead(item.arms, delta.mean, p_holm),
    )

"""Scan → a picture: the difference of two arms over the scanned keys, with the line where it is zero."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tiedlm.atomic_file import replacement
from tiedlm.comparison.cell_tests import CellResult
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.tested_differences import NO_VERDICT
from tiedlm.reporting.scan_report import axes_of, cell_at, digits, key_names, labels, pairs_of, result_of
from tiedlm.reporting.wording import pair_name

SHADES = colormaps["PuOr"]
NUM_STEPS = 41
"""Of the bar: few enough to be drawn as vectors."""
PALE = 0.3
"""How much of its colour a cell without a verdict has; the rest is white."""
DARK = 0.45  # luminance below which a number is white


class Scale(NamedTuple):
    """From a difference to its colour."""

    limit: float
    """The largest difference that is tested, in any cell and of any pair of arms."""

    def colour(self, difference: float, is_decided: bool) -> str:
        """Full for a verdict, pale for none."""
        colour = np.array(SHADES(Normalize(-self.limit, self.limit)(difference))[:3])
        return to_hex(colour if is_decided else 1 - PALE * (1 - colour))


def draw_map(scan: Scan, path: Path) -> None:
    """A panel for each pair of arms, a square for each cell: purple where the first arm is ahead, else orange."""
    rows, columns = axes_of(scan)
    width = 1.6 + len(pairs_of(scan)) * (1.0 + 1.0 * len(columns))
    figure = map_figure(scan, (width, max(2.6, 1.4 + 0.75 * len(rows))), is_tall=False)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def map_figure(scan: Scan, size: tuple[float, float], is_tall: bool, ink: str = "#000000", font: float = 9) -> Figure:
    """The map in inches and points; with `is_tall` its panels stand below each other."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    pairs = pairs_of(scan)
    shape = (len(pairs), 2) if is_tall else (1, len(pairs) + 1)
    grid = figure.add_gridspec(*shape, width_ratios=[1.0] * (shape[1] - 1) + [0.08 * (1 if is_tall else len(pairs))])
    scale = _scale(scan)
    panels = [figure.add_subplot(grid[place, 0] if is_tall else grid[0, place]) for place in range(len(pairs))]
    for axes, arms in zip(panels, pairs, strict=True):
        _draw_panel(axes, scan, arms, scale, ink, font)
    _draw_bar(figure.add_subplot(grid[:, -1]), scan, scale, ink, font)
    figure.draw_without_rendering()
    for axes in panels:
        _turn_where_crowded(axes)
    return figure


def _scale(scan: Scan) -> Scale:
    results = [result for test in scan.tests if test.split == "valid" for result in test.cells.values()]
    tested = [abs(result.mean) for result in results if result.verdict != NO_VERDICT]
    return Scale(max(tested or [abs(result.mean) for result in results]) or 1.0)


def _draw_panel(axes: Axes, scan: Scan, arms: tuple[str, str], scale: Scale, ink: str, font: float) -> None:
    rows, columns = axes_of(scan)
    tested = np.full((len(rows), len(columns)), math.nan)
    ahead: set[str | None] = set()
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    for row, column in np.ndindex(*tested.shape):
        result = result_of(scan, cell_at(scan, row, column), arms)
        if result is None:
            axes.annotate("–", (column, row), ha="center", va="center", color=ink)
            continue
        if result.verdict != NO_VERDICT:
            tested[row, column] = result.mean
            ahead.add(result.ahead)
        _draw_cell(axes, (column, row), result, scale, f"{result.mean:+.{digits(scan)}f}", font)
    if min(tested.shape) > 1 and ahead >= set(arms):  # else what turns the sign may be chance
        for colour, width in (("#ffffff", 3.5), ("#000000", 1.5)):  # seen on dark cells too
            axes.contour(np.ma.masked_invalid(tested), levels=[0.0], colors=colour, linewidths=width)
    of_rows, of_columns = key_names(scan)
    axes.set_xticks(range(len(columns)), labels(scan, columns))
    axes.set_yticks(range(len(rows)) if of_rows else [], labels(scan, rows) if of_rows else [])
    axes.set_xlabel(of_columns, fontsize=font - 1, color=ink)
    axes.set_ylabel(of_rows, fontsize=font - 1, color=ink)
    axes.tick_params(labelsize=font - 1, length=0, labelcolor=ink)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{pair_name(arms)} on valid", fontsize=font, color=ink)


def _draw_cell(axes: Axes, place: tuple[int, int], result: CellResult, scale: Scale, number: str, font: float) -> None:
    """Full colour and a bold number for a verdict, a pale colour for none yet; hatched where nothing is tested."""
    is_decided, is_tested = result.ahead is not None, result.verdict != NO_VERDICT
    colour = scale.colour(result.mean, is_decided) if is_tested else "#ffffff"
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": font, "zorder": 5}
    _fill(axes, place, {"facecolor": colour, "edgecolor": "#ffffff", "linewidth": 1})
    if not is_tested:
        _fill(axes, place, {"facecolor": "none", "edgecolor": "#d0d0d0", "hatch": "//", "linewidth": 0})
        style["bbox"] = {"fc": "#ffffff", "ec": "none", "pad": 1.5}
    text = number.replace("-", "−") if is_tested else f"({number.replace('-', '−')})"
    style["color"] = "#ffffff" if _luminance(colour) < DARK else "#000000"
    axes.annotate(text, place, fontweight="bold" if is_decided else "normal", **style)


def _fill(axes: Axes, place: tuple[int, int], style: dict[str, Any]) -> None:
    axes.add_patch(Rectangle((place[0] - 0.5, place[1] - 0.5), 1, 1, **style))


def _draw_bar(axes: Axes, scan: Scan, scale: Scale, ink: str, font: float) -> None:
    """What each colour stands for, with a verdict and without."""
    step = 2 * scale.limit / NUM_STEPS
    for number, is_decided in itertools.product(range(NUM_STEPS), (True, False)):
        low = -scale.limit + number * step
        corner = (0.0 if is_decided else 1.0, low)
        axes.add_patch(Rectangle(corner, 1, step, color=scale.colour(low + step / 2, is_decided), linewidth=0.2))
    axes.set(xlim=(0, 2), ylim=(-scale.limit, scale.limit))
    axes.set_xticks([0.5, 1.5], ["verdict", "none"], rotation=90)
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(f"{scan.unit};\nabove 0 {pairs_of(scan)[0][0]} is ahead", fontsize=font - 1, color=ink)
    axes.tick_params(labelsize=font - 1, length=0, labelcolor=ink)
    axes.spines[:].set_visible(False)


def _turn_where_crowded(axes: Axes) -> None:
    """Slant the names of columns that would run into each other."""
    names = axes.get_xticklabels()
    boxes = [name.get_window_extent() for name in names]
    if any(after.x0 - before.x1 < 4 for before, after in itertools.pairwise(boxes)):
        for name in names:
            name.set(rotation=35, horizontalalignment="right", rotation_mode="anchor")


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

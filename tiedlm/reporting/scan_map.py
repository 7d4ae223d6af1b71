"""Scan → a picture: the difference of two arms over the scanned keys, with the line where it is zero."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tiedlm.atomic_file import replacement
from tiedlm.comparison.comparison import EXPLORATORY, INCONCLUSIVE, NO_VERDICT
from tiedlm.comparison.scan_result import Scan
from tiedlm.reporting.scan_report import axes_of, cell_at, key_names, labels, pairs_of, result_of


def draw_map(scan: Scan, path: Path) -> None:
    """A panel for each pair of arms, a square for each cell: purple where the first arm is ahead, else orange."""
    pairs = pairs_of(scan)
    rows, columns = axes_of(scan)
    size = (1.6 + len(pairs) * (1.4 + 1.25 * len(columns)), 1.6 + 0.75 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, arms in zip(panels, pairs, strict=True):
        _draw_panel(axes, scan, arms)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def _draw_panel(axes: Axes, scan: Scan, arms: tuple[str, str]) -> None:
    rows, columns = axes_of(scan)
    means = np.full((len(rows), len(columns)), math.nan)
    is_tested = np.zeros(means.shape, dtype=bool)
    for row, column in np.ndindex(*means.shape):
        result = result_of(scan, cell_at(scan, row, column), arms)
        if result is not None:
            means[row, column] = result.mean
            is_tested[row, column] = result.verdict != NO_VERDICT
    tested = np.where(is_tested, means, math.nan)
    limit = float(np.nanmax(np.abs(tested if is_tested.any() else means))) or 1.0
    axes.imshow(means, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    if min(means.shape) > 1 and np.nanmin(means) < 0 < np.nanmax(means):
        axes.contour(np.ma.masked_invalid(tested), levels=[0.0], colors="black", linewidths=1.5)
    for row, column in np.ndindex(*means.shape):
        result = result_of(scan, cell_at(scan, row, column), arms)
        if result is None:
            axes.annotate("–", (column, row), ha="center", va="center")
            continue
        colour = "white" if abs(means[row, column]) > 0.6 * limit else "black"
        text, weight = f"{means[row, column]:+.3f}", "normal"
        if result.verdict == NO_VERDICT:
            text, colour = f"({text})", "black"
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor="0.75", hatch="//", linewidth=0))
        elif result.verdict not in (INCONCLUSIVE, EXPLORATORY):
            weight = "bold"
        axes.annotate(text, (column, row), ha="center", va="center", color=colour, fontsize=9, fontweight=weight)
    axes.set_xticks(range(len(columns)), labels(scan, columns))
    axes.set_yticks(range(len(rows)), labels(scan, rows))
    of_rows, of_columns = key_names(scan)
    axes.set_xlabel(of_columns, fontsize=8)
    axes.set_ylabel(of_rows, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.set_title(f"{arms[1]} − {arms[0]}, nats a token on valid", fontsize=9)

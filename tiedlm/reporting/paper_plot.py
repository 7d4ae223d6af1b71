"""Comparison or scan → the figure of a paper: as wide as a column of two, in its sizes of type."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan
from tiedlm.counting.shown.plot_file import write_figure
from tiedlm.reporting.plots import draw_curves, draw_differences
from tiedlm.reporting.scan_map import map_figure
from tiedlm.reporting.scan_report import axes_of, pairs_of

COLUMN, PAGE = 3.35, 6.9
"""Inches: one column of two, and both with the gap between."""
MAX_COLUMNS = 5
"""Cells of a map beside each other in one column."""
POINTS = 7.0
DPI = 300
SMALL = {
    "font.size": POINTS,
    "axes.labelsize": POINTS,
    "xtick.labelsize": POINTS,
    "ytick.labelsize": POINTS,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.linewidth": 0.4,
    "hatch.linewidth": 0.6,
}


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """The learning curves, below them the differences from the first arm, and at the foot which line is whose.

    Raises:
        InputError: the file cannot be written.
    """
    num_lines = -(-len(comparison.arms) // 2)
    with rc_context(SMALL):
        figure = Figure(figsize=(COLUMN, 4.2 + 0.14 * num_lines), layout="constrained")
        FigureCanvasAgg(figure)
        curves, difference = figure.subplots(2, 1, sharex=True)
        draw_curves(curves, comparison)
        draw_differences(difference, comparison)
        curves.set_xlabel("")
        curves.set_ylabel("masked-LM perplexity\n(solid: valid, dashed: train)")
        difference.set_ylabel(f"nats a token on valid;\nabove 0 {next(iter(comparison.arms))} is ahead")
        for line in (*curves.get_lines(), *difference.get_lines()):
            line.set(linewidth=0.7 * line.get_linewidth(), markersize=3)
        for text in curves.texts:
            text.set_fontsize(POINTS)
        lines = {line.get_label(): line for line in curves.get_lines()}
        handles = [lines[arm] for arm in comparison.arms]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, handlelength=2.6)
        write_figure(figure, path, DPI)


def plot_scan(scan: Scan, path: Path) -> None:
    """The map, its panels below each other; as wide as the page where it has too many cells for a column.

    Raises:
        InputError: the file cannot be written.
    """
    rows, columns = axes_of(scan)
    width = COLUMN if len(columns) <= MAX_COLUMNS else PAGE
    height = 0.3 + len(pairs_of(scan)) * (0.55 + 0.42 * len(rows))
    with rc_context(SMALL):
        write_figure(map_figure(scan, (width, max(1.9, height)), is_tall=True, font=POINTS), path, DPI)

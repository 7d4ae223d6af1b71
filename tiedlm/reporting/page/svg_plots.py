"""Comparison → the plots of the page, each a figure of matplotlib as SVG. Formats, never computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.curves import mean_curve
from tiedlm.comparison.tested_differences import Difference
from tiedlm.reporting.arm_styles import COLOURS, ArmStyle, arm_styles
from tiedlm.reporting.page.svg import to_svg
from tiedlm.reporting.plots import expected_by_arm, perplexity_band, scale_trials, unit_of_tokens
from tiedlm.reporting.tables import band_cell, band_names
from tiedlm.reporting.tuning_report import shown_numbers
from tiedlm.reporting.wording import pair_name, with_interval

WIDTH = 4.6  # inches: two stand side by side on a desk, and one is read on a phone
INK, FAINT, RULE, PAPER = (
    "#101010",
    "#707070",
    "#d0d0d0",
    "#fefefe",
)  # stand for the page's own, which are light or dark
PAGE_COLOURS = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    **{colour: f"var(--arm-{place})" for place, colour in enumerate(COLOURS)},
}


def _axes(height: float) -> Axes:
    """An empty plot with a grid and no frame."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=10, labelcolor=FAINT)
    axes.grid(True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _name_axes(axes: Axes, x: str, y: str = "") -> None:
    axes.set_xlabel(x, fontsize=10, color=FAINT)
    axes.set_ylabel(y, fontsize=10, color=FAINT)


def _svg(axes: Axes, name: str, texts: dict[str, list[str]]) -> Markup:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return to_svg(figure, name, PAGE_COLOURS, texts)


def _drawn(style: ArmStyle) -> dict[str, Any]:
    """An arm's style in the sizes of the page."""
    return {**style.drawn, "markersize": 4.5, "linewidth": 1.6}


def draw_curves(comparison: Comparison) -> Markup:
    """The perplexity of each arm over training, with a band of a standard deviation over seeds."""
    axes, texts = _axes(3.4), {}
    unit, words = unit_of_tokens(comparison)
    for arm, found in arm_styles(comparison.arms).items():
        place, style = found.place, _drawn(found)
        curve = mean_curve(comparison.arms[arm].curves.values())
        tokens = [point.num_tokens / unit for point in curve]
        valid, train = (
            [math.exp(getattr(point, f"{split}_loss_nats")) for point in curve] for split in ("valid", "train")
        )
        band = perplexity_band(curve)
        if band is not None:
            axes.fill_between(tokens, *band, color=style["color"], alpha=0.18, linewidth=0, gid=f"of-{place}")
        thin = {"marker": "", "linestyle": "--", "linewidth": 1.0, "alpha": 0.75}
        axes.plot(tokens, train, gid=f"of-{place}", **(style | thin))
        axes.plot(tokens, valid, gid=f"of-{place} valid", **style)
        pairs = [] if band is None else list(zip(*band, strict=True))
        spreads = [f" ({low:,.1f} to {high:,.1f})" for low, high in pairs] or [""] * len(curve)
        texts[f"of-{place} valid"] = [
            f"{arm}, {point.num_tokens:,} tokens\nvalid {of_valid:,.1f}{spread}\ntrain {of_train:,.1f}"
            for point, of_valid, of_train, spread in zip(curve, valid, train, spreads, strict=True)
        ]
    unigram = next(iter(comparison.arms.values())).metrics["valid"].unigram_perplexity
    axes.axhline(unigram, color=FAINT, linewidth=1, linestyle=":")
    axes.annotate(
        "token frequencies alone",
        (0.99, unigram),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color=FAINT,
        fontsize=9,
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    _name_axes(axes, f"tokens read in training{words}", "masked-LM perplexity")
    return _svg(axes, "curves", texts)


def draw_difference_curves(comparison: Comparison) -> Markup:
    """How the other arms differ from the first over training, with a 95 % interval."""
    axes, texts = _axes(3.4), {}
    unit, words = unit_of_tokens(comparison)
    styles = arm_styles(comparison.arms)
    for curve in comparison.difference_curves:
        tokens, place = [number / unit for number in curve.num_tokens], styles[curve.arms[1]].place
        style = _drawn(styles[curve.arms[1]])
        if curve.ci95 is not None:
            low, high = zip(*curve.ci95, strict=True)
            axes.fill_between(tokens, low, high, color=style["color"], alpha=0.18, linewidth=0, gid=f"of-{place}")
        axes.plot(tokens, curve.mean, gid=f"of-{place} difference", **style)
        ends: Sequence[tuple[float, float] | None] = curve.ci95 or [None] * len(tokens)
        texts[f"of-{place} difference"] = [
            f"{pair_name(curve.arms)}, {number:,} tokens\n{with_interval(mean, of_point)} nats a token"
            for number, mean, of_point in zip(curve.num_tokens, curve.mean, ends, strict=True)
        ]
    axes.axhline(0, color=INK, linewidth=1)
    first = next(iter(comparison.arms))
    _name_axes(axes, f"tokens read in training{words}", f"nats a token; above 0 {first} is ahead")
    return _svg(axes, "difference-curves", texts)


def draw_differences(comparison: Comparison, split: str) -> Markup:
    """Each other arm's differences from the first: a mark a seed, the mean and its interval, and the line of none."""
    found = [item for item in comparison.differences if item.split == split]
    styles = arm_styles(comparison.arms)
    axes = _axes(0.75 + 0.56 * len(found))
    texts: dict[str, list[str]] = {}
    for row, item in enumerate(found):
        style = styles[item.arms[1]]
        seeds = list(comparison.arms[item.arms[1]].curves)
        texts |= _draw_difference(axes, item, seeds, -float(row), _drawn(style), f"of-{style.place}")
    axes.axvline(0, color=INK, linewidth=1)
    deltas = [item.delta_nats for item in comparison.differences]
    _share_limits(axes.set_xlim, [value for delta in deltas for value in (*delta.ci95, *delta.values)])
    axes.set_ylim(-len(found) + 0.5, 0.62)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    first = next(iter(comparison.arms))
    _name_axes(axes, f"{split}: nats a token; right of 0 {first} is ahead")
    return _svg(axes, f"differences-{split}", texts)


def _share_limits(set_limits: Callable[[float, float], Any], values: Sequence[float]) -> None:
    """Limits that hold what all splits have and 0, so that the plots of two splits can be laid side by side."""
    low, high = min(0.0, *values), max(0.0, *values)
    margin = 0.06 * (high - low) or 1.0
    set_limits(low - margin, high + margin)


def _draw_difference(
    axes: Axes, item: Difference, seeds: Sequence[str], height: float, style: dict[str, Any], gid: str
) -> dict[str, list[str]]:
    """One row of it, with its name and verdict above; its texts."""
    delta, (low, high) = item.delta_nats, item.delta_nats.ci95
    name = f"{pair_name(item.arms)}: {item.verdict}"
    above: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "color": INK, "fontsize": 10}
    axes.annotate(name, (0.0, height + 0.33), bbox={"fc": PAPER, "ec": "none", "pad": 1.5}, **above)
    colour = style["color"]
    axes.plot([low, high], [height - 0.16] * 2, color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
    axes.plot([delta.mean], [height - 0.16], gid=f"{gid} mean", color=colour, marker="|", markersize=11, mew=2.2)
    texts = {f"{gid} mean": [f"{pair_name(item.arms)}, {item.split}\nmean {with_interval(delta.mean, delta.ci95, 4)}"]}
    if len(delta.values) > 1:
        heights = [height + 0.06] * len(delta.values)
        alone = style | {"linestyle": "", "markersize": 5, "alpha": 0.8}
        axes.plot(delta.values, heights, gid=f"{gid} seeds", **alone)
        texts[f"{gid} seeds"] = [
            f"{pair_name(item.arms)}, {item.split}\nseed {seed}: {value:+.4f}"
            for seed, value in zip(seeds, delta.values, strict=True)
        ]
    return texts


def draw_bands(comparison: Comparison, split: str) -> Markup:
    """The difference from the first arm by how often a token occurs in train, with the interval of each band."""
    found = [item for item in comparison.differences if item.split == split and item.bands is not None]
    styles = arm_styles(comparison.arms)
    axes, texts = _axes(3.2), {}
    names: Sequence[str] = ()
    for order, item in enumerate(found):
        bands, place = item.bands or [], styles[item.arms[1]].place
        names, style = band_names(bands), _drawn(styles[item.arms[1]])
        shift = 0.7 * ((order + 0.5) / len(found) - 0.5)
        at = [number + shift for number in range(len(bands))]
        for x, band in zip(at, bands, strict=True):
            if band.ci95 is not None:
                axes.plot([x, x], band.ci95, color=style["color"], linewidth=2, alpha=0.5, gid=f"of-{place}")
        axes.plot(at, [band.mean for band in bands], gid=f"of-{place} bands", **(style | {"linestyle": ""}))
        texts[f"of-{place} bands"] = [
            f"{pair_name(item.arms)}, {split}\n{name} times in train: {band_cell(band)} nats a token"
            for name, band in zip(names, bands, strict=True)
        ]
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_xticks(range(len(names)), [name.replace(" to ", " to\n").replace(" or ", "\nor ") for name in names])
    axes.grid(False, axis="x")
    bands_of_all = [band for item in comparison.differences for band in item.bands or []]
    _share_limits(axes.set_ylim, [value for band in bands_of_all for value in (band.mean, *(band.ci95 or ()))])
    first = next(iter(comparison.arms))
    _name_axes(axes, f"{split}: times that the token occurs in train", f"nats a token; above 0 {first} is ahead")
    return _svg(axes, f"bands-{split}", texts)


def draw_search(comparison: Comparison) -> Markup:
    """The expected lowest loss of each arm against the number of trials."""
    axes, texts = _axes(3.2), {}
    expected = expected_by_arm(comparison)
    for arm, style in arm_styles(comparison.arms).items():
        if arm in expected:
            numbers = shown_numbers(len(expected[arm]))
            losses = [expected[arm][number - 1] for number in numbers]
            axes.plot(numbers, losses, gid=f"of-{style.place} search", **_drawn(style))
            texts[f"of-{style.place} search"] = [
                f"{arm}, {number} trials\nexpected lowest loss {loss:.4f} nats a token"
                for number, loss in zip(numbers, losses, strict=True)
            ]
    scale_trials(axes, len(next(iter(expected.values()))))
    _name_axes(axes, "trials", "expected lowest loss, nats a token")
    return _svg(axes, "search", texts)


def draw_mark(style: ArmStyle) -> Markup:
    """An arm's mark, for the legend."""
    figure = Figure(figsize=(0.16, 0.16))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.plot([0], [0], **(_drawn(style) | {"markersize": 7}))
    return _svg(axes, f"mark-{style.place}", {})

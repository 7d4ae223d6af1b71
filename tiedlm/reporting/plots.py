"""Comparison → pictures: the learning curves with the paired difference, where the parameters are, and a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tiedlm.atomic_file import replacement
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.curves import DifferenceCurve, MeanPoint, mean_curve
from tiedlm.reporting.arm_styles import arm_styles
from tiedlm.reporting.tuning_report import shown_numbers
from tiedlm.reporting.wording import count_seeds

MARK_SIZE = 5
LEAST_GAP = 0.045  # between two labels, of the height of a panel
ABOVE_LINE: dict[str, Any] = {"ha": "right", "va": "bottom", "color": "0.35", "fontsize": 8}
GROUP_COLOURS = {
    "word_embeddings": "#0072b2",
    "decoder_weight": "#d55e00",
    "encoder_layers": "#009e73",
    "head_transform": "#cc79a7",
}


def draw_learning_curves(comparison: Comparison, path: Path) -> None:
    """Left the perplexity of each arm over training, right how the others differ from the first arm."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    curves, difference = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_curves(curves, comparison)
    draw_differences(difference, comparison)
    first = next(iter(comparison.arms))
    has_bands = len(comparison.seeds) > 1
    bands = ("; band: ± standard deviation", "; band: 95 % interval") if has_bands else ("", "")
    curves.set_title(f"{comparison.experiment}: {count_seeds(len(comparison.seeds))}{bands[0]}", fontsize=10)
    difference.set_title(f"minus {first}{bands[1]}", fontsize=10)
    for axes in (curves, difference):
        axes.margins(x=0.14)  # room for the labels at the ends
    figure.draw_without_rendering()  # decides the limits, and so where a line ends
    _label_ends(curves, list(comparison.arms))
    _label_ends(difference, [curve.arms[1] for curve in comparison.difference_curves])
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def draw_curves(axes: Axes, comparison: Comparison) -> None:
    """The perplexity of each arm over training, and what token frequencies alone reach."""
    unit, words = unit_of_tokens(comparison)
    styles = arm_styles(comparison.arms)
    for arm, summary in comparison.arms.items():
        _draw_arm(axes, arm, mean_curve(summary.curves.values()), unit, styles[arm].drawn)
    unigram = next(iter(comparison.arms.values())).metrics["valid"].unigram_perplexity
    axes.axhline(unigram, color="0.45", linewidth=1, linestyle=":")
    axes.annotate("token frequencies alone", (0.99, unigram), xycoords=("axes fraction", "data"), **ABOVE_LINE)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("masked-LM perplexity (solid valid, dashed train)")
    _finish(axes, words)


def draw_differences(axes: Axes, comparison: Comparison) -> None:
    """How the loss of the other arms differs from the first one's over training."""
    unit, words = unit_of_tokens(comparison)
    styles = arm_styles(comparison.arms)
    for curve in comparison.difference_curves:
        _draw_difference(axes, curve, unit, styles[curve.arms[1]].drawn)
    axes.axhline(0, color="0.3", linewidth=1)
    axes.set_ylabel(f"nats a token on valid; above 0 {next(iter(comparison.arms))} is ahead")
    _finish(axes, words)


def _finish(axes: Axes, words: str) -> None:
    axes.set_xlabel(f"tokens read in training{words}")
    axes.grid(True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_arm(axes: Axes, arm: str, curve: Sequence[MeanPoint], unit: float, style: dict[str, Any]) -> None:
    """The mean over seeds of valid with its band and of train, from the first evaluation after the start on."""
    tokens = [point.num_tokens / unit for point in curve]
    valid, train = ([math.exp(getattr(point, f"{split}_loss_nats")) for point in curve] for split in ("valid", "train"))
    axes.plot(tokens, valid, linewidth=1.8, markersize=MARK_SIZE, label=arm, **style)
    band = perplexity_band(curve)
    if band is not None:
        axes.fill_between(tokens, *band, color=style["color"], alpha=0.18, linewidth=0)
    axes.plot(tokens, train, linewidth=1.0, alpha=0.7, **(style | {"marker": "", "linestyle": "--"}))


def perplexity_band(curve: Sequence[MeanPoint]) -> tuple[list[float], list[float]] | None:
    """Of valid, a standard deviation of the loss down and up; None for one seed."""
    spreads = [point.valid_std_nats for point in curve if point.valid_std_nats is not None]
    if not spreads:
        return None
    low, high = (
        [math.exp(point.valid_loss_nats + sign * spread) for point, spread in zip(curve, spreads, strict=True)]
        for sign in (-1, 1)
    )
    return low, high


def _draw_difference(axes: Axes, curve: DifferenceCurve, unit: float, style: dict[str, Any]) -> None:
    tokens = [number / unit for number in curve.num_tokens]
    axes.plot(tokens, curve.mean, linewidth=1.8, markersize=MARK_SIZE, label=curve.arms[1], **style)
    if curve.ci95 is not None:
        low, high = zip(*curve.ci95, strict=True)
        axes.fill_between(tokens, low, high, color=style["color"], alpha=0.18, linewidth=0)


def _label_ends(axes: Axes, arms: Sequence[str]) -> None:
    """Write each arm's name at the end of its line, none over another."""
    by_label = {line.get_label(): line for line in axes.get_lines()}
    lines = [by_label[arm] for arm in arms]
    to_fraction = axes.transData + axes.transAxes.inverted()
    ends = [to_fraction.transform(np.asarray(line.get_xydata())[-1]) for line in lines]
    order = sorted(range(len(arms)), key=lambda place: ends[place][1])
    heights = _spread([ends[place][1] for place in order], LEAST_GAP)
    for place, height in zip(order, heights, strict=True):
        axes.annotate(
            arms[place],
            (ends[place][0], height),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=lines[place].get_color(),
            fontsize=9,
            bbox={"fc": "white", "ec": "none", "pad": 0.5},
        )


def _spread(heights: list[float], gap: float) -> list[float]:
    """Heights in rising order, moved apart where they are nearer than a gap: up first, then down from the top."""
    spread = list(heights)
    for place in range(1, len(spread)):
        spread[place] = max(spread[place], spread[place - 1] + gap)
    spread[-1] = min(spread[-1], max(1.0, heights[-1]))
    for place in range(len(spread) - 2, -1, -1):
        spread[place] = min(spread[place], spread[place + 1] - gap)
    return spread


def unit_of_tokens(comparison: Comparison) -> tuple[float, str]:
    """What the axis counts in, so that a short run has no labels of 0.0."""
    summary = next(iter(comparison.arms.values()))
    largest = next(iter(summary.curves.values()))[-1].num_tokens
    return (1e6, " (millions)") if largest >= 1e6 else (1e3, " (thousands)") if largest >= 1e4 else (1.0, "")


def draw_parameters(comparison: Comparison, path: Path) -> None:
    """A bar an arm, cut into its parameter groups; the V×H of the output matrix carries its product."""
    figure = Figure(figsize=(8, 0.8 + 0.75 * len(comparison.arms)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    arms = list(comparison.arms)[::-1]  # the first arm on top
    heights = list(range(len(arms)))
    left = [0] * len(arms)
    groups = [group for group in comparison.arms[arms[0]].parameters if group != "total"]
    shown = ("word_embeddings", "encoder_layers", "head_transform")
    ordered = [*shown, *(group for group in groups if group not in (*shown, "decoder_weight")), "decoder_weight"]
    for group in ordered:
        counts = [comparison.arms[arm].parameters[group] for arm in arms]
        if not any(counts):
            continue
        label = group if group in GROUP_COLOURS else None
        colour = GROUP_COLOURS.get(group, "0.7")
        axes.barh(heights, counts, left=left, color=colour, label=label, edgecolor="white", linewidth=0.5)
        for height, count in zip(heights, counts, strict=True):
            if group == "decoder_weight" and count:
                place, text = (left[height] + count / 2, height), f"V×H = {count:,}"
                axes.annotate(text, place, ha="center", va="center", color="white", fontsize=9)
            left[height] += count
    for height, total in zip(heights, left, strict=True):
        axes.annotate(f" {total:,}", (total, height), va="center", fontsize=9)
    axes.set_yticks(heights, arms)
    axes.set_xlim(0, max(left) * 1.16)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:,.1f} M"))
    axes.set_xlabel("stored parameters (grey: norms, positions, bias)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, ncols=4, loc="outside upper center", fontsize=9)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def draw_search(comparison: Comparison, path: Path) -> None:
    """A line an arm: the expected lowest loss on valid against the number of trials."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    expected = expected_by_arm(comparison)
    for arm, style in arm_styles(comparison.arms).items():
        if arm in expected:
            losses = expected[arm]
            marked = [number - 1 for number in shown_numbers(len(losses))]
            numbers = range(1, len(losses) + 1)
            axes.plot(numbers, losses, linewidth=1.8, markersize=MARK_SIZE, label=arm, markevery=marked, **style.drawn)
    scale_trials(axes, len(next(iter(expected.values()))))
    axes.set_xlabel("trials")
    axes.set_ylabel("expected lowest loss on valid, nats a token")
    axes.grid(True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


def expected_by_arm(comparison: Comparison) -> dict[str, list[float]]:
    """What a search's plot shows; there must be one."""
    assert comparison.tuning is not None
    assert comparison.tuning.expected_lowest_nats is not None
    return comparison.tuning.expected_lowest_nats


def scale_trials(axes: Axes, num_trials: int) -> None:
    """Number the trials by powers of 2."""
    axes.set_xscale("log", base=2)
    numbers = shown_numbers(num_trials)
    axes.set_xticks(numbers, list(map(str, numbers)))
    axes.minorticks_off()

"""Comparison → two pictures: the learning curves and where the parameters are."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tiedlm.atomic_file import replacement
from tiedlm.comparison.compare import Comparison
from tiedlm.report.terminal import num_seeds

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe & Ito: safe for colour blindness
GROUP_COLOURS = {
    "word_embeddings": "#0072b2",
    "decoder_weight": "#d55e00",
    "encoder_layers": "#009e73",
    "head_transform": "#cc79a7",
}


def draw_learning_curves(comparison: Comparison, path: Path) -> None:
    """Perplexity against tokens read, on valid (solid) and on train (dashed), a line a seed."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for colour, (arm, summary) in zip(COLOURS * len(comparison.arms), comparison.arms.items(), strict=False):
        for index, curve in enumerate(summary.curves.values()):
            tokens = [point.num_tokens / 1e6 for point in curve]
            for split, style in (("valid", "-"), ("train", "--")):
                values = [math.exp(getattr(point, f"{split}_loss_nats")) for point in curve]
                label = f"{arm}, {split}" if index == 0 else None
                axes.plot(tokens, values, style, color=colour, linewidth=1.4, alpha=0.85, label=label)
    unigram = next(iter(comparison.arms.values())).metrics["valid"].unigram_perplexity
    axes.axhline(unigram, color="0.45", linewidth=1, linestyle=":", label=f"unigram, valid ({unigram:,.0f})")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("tokens read in training (millions)")
    axes.set_ylabel("masked-LM perplexity")
    axes.set_title(f"{comparison.experiment}: learning curves, {num_seeds(comparison)}")
    axes.grid(True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")


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
    axes.legend(
        frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.35 if len(arms) < 3 else 1.2), fontsize=9
    )
    with replacement(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")

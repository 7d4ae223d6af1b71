"""Comparison → the sections of the page: sentences, plots and tables in the order in which they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.curves import mean_curve
from tiedlm.comparison.tested_differences import NO_VERDICT
from tiedlm.comparison.tuning_table import Tuning
from tiedlm.reporting import tables, tuning_report, wording
from tiedlm.reporting.page import svg_plots
from tiedlm.reporting.plots import perplexity_band
from tiedlm.reporting.tables import Table


@dataclass(frozen=True)
class Plot:
    """A picture and what it says in words."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class CaptionedTable:
    """A table with what it is."""

    caption: str
    table: Table
    is_open: bool = False
    """Whether it is seen at once; else it unfolds."""


@dataclass(frozen=True)
class Section:
    """A part of the page; its text is plain and is escaped like all else."""

    name: str
    heading: str
    text: tuple[str, ...]
    plots: tuple[Plot, ...] = ()
    tables: tuple[CaptionedTable, ...] = ()
    has_legend: bool = False
    """Whether the names and marks of the arms stand above its plots."""
    draws_first_arm: bool = False
    """Whether the first arm, against which most plots show the others, is in its plots."""


def curves_section(comparison: Comparison) -> Section:
    """Learning curves."""
    has_bands = len(comparison.seeds) > 1
    first = next(iter(comparison.arms))
    bands = (
        "; the band is ± a standard deviation over seeds",
        "; the band is the 95 % interval of each point on its own",
    )
    over_seeds, interval = bands if has_bands else ("", "")
    return Section(
        name="curves",
        heading="Learning curves",
        text=(wording.CURVES,),
        plots=(
            Plot(svg_plots.draw_curves(comparison), f"Solid: valid; dashed: train{over_seeds}."),
            Plot(
                svg_plots.draw_difference_curves(comparison),
                f"Each arm's loss on valid minus that of {first}{interval}.",
            ),
        ),
        tables=(
            CaptionedTable("The curves in numbers: masked-LM perplexity", _curve_table(comparison)),
            CaptionedTable("Their differences in numbers: nats a token on valid", _difference_curve_table(comparison)),
            CaptionedTable("Their last points: train against valid", tables.gap_table(comparison)),
        ),
        has_legend=True,
    )


def _curve_table(comparison: Comparison) -> Table:
    rows = []
    for arm, summary in comparison.arms.items():
        curve = mean_curve(summary.curves.values())
        band = perplexity_band(curve)
        pairs = [] if band is None else list(zip(*band, strict=True))
        spreads = [f"{low:,.1f} to {high:,.1f}" for low, high in pairs] or ["–"] * len(curve)
        for point, spread in zip(curve, spreads, strict=True):
            valid, train = (f"{math.exp(loss):,.1f}" for loss in (point.valid_loss_nats, point.train_loss_nats))
            rows.append([arm, f"{point.num_tokens:,}", valid, spread, train])
    return Table(["arm", "tokens read", "valid", "± a standard deviation", "train"], rows)


def _difference_curve_table(comparison: Comparison) -> Table:
    rows = []
    for curve in comparison.difference_curves:
        intervals = list(map(wording.interval, curve.ci95 or [])) or ["–"] * len(curve.mean)
        for number, mean, interval in zip(curve.num_tokens, curve.mean, intervals, strict=True):
            rows.append([wording.pair_name(curve.arms), f"{number:,}", f"{mean:+.3f}", interval])
    return Table(["difference", "tokens read", "mean", "95 % interval"], rows)


def differences_section(comparison: Comparison) -> Section:
    """Differences by seed."""
    splits = dict.fromkeys(item.split for item in comparison.differences)
    caption = "each mark is a seed, the bar is the 95 % interval of the mean, and the stroke in it is the mean."
    of_text = " With one seed, the bar only shows how much the choice of text moves the difference."
    if any(item.verdict == NO_VERDICT for item in comparison.differences):
        caption += of_text
    return Section(
        name="differences",
        heading="Differences by seed",
        text=(wording.NATS, wording.DETECTABLE),
        plots=tuple(Plot(svg_plots.draw_differences(comparison, split), f"On {split}: {caption}") for split in splits),
        tables=(CaptionedTable("The differences in numbers", tables.difference_table(comparison)),),
    )


def bands_section(comparison: Comparison) -> Section:
    """Loss by frequency band."""
    table = tables.band_table(comparison)
    if table is None:
        return Section(
            "bands", "By frequency", ("These records were made before losses were kept by token frequency.",)
        )
    first = next(iter(comparison.arms))
    splits = dict.fromkeys(item.split for item in comparison.differences)
    return Section(
        name="bands",
        heading="By frequency",
        text=(wording.BANDS,),
        plots=tuple(
            Plot(svg_plots.draw_bands(comparison, split), f"On {split}: each arm's loss minus that of {first}.")
            for split in splits
        ),
        tables=(CaptionedTable("The bands in numbers", table),),
        has_legend=len(comparison.arms) > 2,
    )


def further_sections(comparison: Comparison) -> list[Section]:
    """What has a table and no plot; what was not measured is left out."""
    found = [
        ("similarity", "What the tied table is like", wording.SIMILARITY, tables.similarity_table(comparison), True),
        ("gradients", "Two gradients", wording.GRADIENTS, tables.gradient_table(comparison), False),
        ("units", "Across vocabularies", wording.ACROSS_VOCABULARIES, tables.vocabulary_table(comparison), True),
    ]
    sections = [
        Section(name, heading, (text,), tables=(CaptionedTable(f"{heading}, in numbers", table, is_open),))
        for name, heading, text, table, is_open in found
        if table is not None
    ]
    return sections if comparison.tuning is None else [*sections, _tuning_section(comparison, comparison.tuning)]


def _tuning_section(comparison: Comparison, tuning: Tuning) -> Section:
    text = (tuning_report.tuning_sentence(tuning), *tuning_report.lowest_sentences(tuning))
    cells = CaptionedTable("Tuning, in numbers", tuning_report.cells_table(tuning), is_open=True)
    expected = tuning_report.expected_table(comparison)
    if expected is None:
        return Section("tuning", "Tuning", text, tables=(cells,))
    return Section(
        name="tuning",
        heading="Tuning",
        text=(*text, tuning_report.EXPECTED),
        plots=(Plot(svg_plots.draw_search(comparison), "Expected lowest loss on valid against the number of trials."),),
        tables=(CaptionedTable("The expected lowest loss in numbers", expected, is_open=True), cells),
        has_legend=True,
        draws_first_arm=True,
    )

"""Comparison → the tables of a report, as text in cells; each form of the report has its own way to draw them."""

from __future__ import annotations

import itertools
import math
from statistics import fmean
from typing import NamedTuple

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tested_differences import BandDifference
from tiedlm.counting.shown.count_tables import percent
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.wording import (
    interval,
    is_inconclusive,
    pair_name,
    plus_minus,
    than_first,
    title,
    with_interval,
)


class Strong(str):
    """A cell that stands out."""


class Table(NamedTuple):
    """Cells as they are read, not yet escaped for any form; the first column names the row."""

    header: list[str]
    rows: list[list[str]]


def headline_table(comparison: Comparison) -> Table:
    """What each arm has and reaches, and what token frequencies alone reach."""
    rows = []
    for arm, summary in comparison.arms.items():
        perplexities = [plus_minus(summary.metrics[split].masked_lm_perplexity) for split in ("valid", "test")]
        rows.append([arm, f"{summary.parameters['total']:,}", *perplexities])
    metrics = next(iter(comparison.arms.values())).metrics
    rows.append(["unigram", "–", *(f"{metrics[split].unigram_perplexity:,.1f}" for split in ("valid", "test"))])
    return Table([title(comparison), "parameters", "valid masked-LM perplexity", "test"], rows)


def difference_table(comparison: Comparison) -> Table:
    """The values behind each interval, so that a reader can test them differently."""
    rows = [
        [
            item.split,
            pair_name(item.arms),
            ", ".join(f"{value:+.4f}" for value in item.delta_nats.values),
            f"{item.delta_nats.mean:+.4f}",
            interval(item.delta_nats.ci95, 4),
            shown_p(item.delta_nats.p_value),
            shown_p(item.p_holm),
            "–" if item.detectable_nats is None else f"{item.detectable_nats:.2g}",
        ]
        for item in comparison.differences
    ]
    header = ["split", "difference", "nats a token, by seed", "mean", "95 % interval", "p", "Holm's p", "detectable"]
    return Table(header, rows)


def arms_table(comparison: Comparison, split: str) -> Table:
    """Each arm of many on one split, beside its difference from the first."""
    first = next(iter(comparison.arms))
    found = {item.arms[1]: item for item in comparison.differences if item.split == split}
    rows = []
    for arm, summary in comparison.arms.items():
        cells = [arm, f"{summary.parameters['total']:,}", plus_minus(summary.metrics[split].masked_lm_perplexity)]
        item = found.get(arm)
        if item is None:
            rows.append([*cells, "", "", ""])
            continue
        p_value = shown_p(item.delta_nats.p_value if item.is_exploratory else item.p_holm)
        power = f" (± {item.detectable_nats:.2g})" if is_inconclusive(item) else ""
        delta = item.delta_nats
        nats = with_interval(delta.mean, None if delta.p_value is None else delta.ci95)
        rows.append([*cells, nats, p_value, f"{item.verdict}{power}"])
    perplexity = f"{next(iter(comparison.arms.values())).metrics[split].unigram_perplexity:,.1f}"
    rows.append(["unigram", "–", perplexity, "", "", ""])
    p_name = "p" if comparison.is_exploratory else "Holm's p"
    header = [split, "parameters", "perplexity", f"nats over {first}", p_name, "verdict"]
    return Table(header, rows)


def perplexity_table(comparison: Comparison) -> Table:
    """An arm a column, a split a row: perplexity, and in parentheses the accuracy."""
    rows = []
    for split in next(iter(comparison.arms.values())).metrics:
        cells = [summary.metrics[split] for summary in comparison.arms.values()]
        shown = (f"{plus_minus(cell.masked_lm_perplexity)} ({percent(cell.masked_lm_accuracy.mean)})" for cell in cells)
        rows.append([split, *shown, f"{cells[0].unigram_perplexity:,.0f}"])
    return Table(["masked-LM perplexity", *comparison.arms, "unigram"], rows)


def narrow_arms_table(comparison: Comparison, split: str) -> Table:
    """`arms_table` for 80 columns: two lines a cell, the verdict in a word."""
    first = next(iter(comparison.arms))
    found = {item.arms[1]: item for item in comparison.differences if item.split == split}
    rows = []
    for arm, summary in comparison.arms.items():
        perplexity = plus_minus(summary.metrics[split].masked_lm_perplexity)
        cells = [arm, f"{summary.parameters['total'] / 1e6:.2f} M", perplexity, "", ""]
        if arm in found:
            delta = found[arm].delta_nats
            nats = with_interval(delta.mean, None if delta.p_value is None else delta.ci95)
            cells[3:] = [nats.replace(" [", "\n["), than_first(found[arm])]
        rows.append(cells)
    unigram = f"{comparison.arms[first].metrics[split].unigram_perplexity:,.1f}"
    rows.append(["unigram", "–", unigram, "", ""])
    return Table([split, "size", "perplexity", f"nats over {first}", f"than {first}"], rows)


def record_table(record: RunRecord) -> Table:
    """One run, a split a row."""
    rows = [
        [
            split,
            f"{metrics.masked_lm_perplexity:,.1f}",
            f"{metrics.masked_lm_loss_nats:.4f}",
            percent(metrics.masked_lm_accuracy),
            f"{metrics.unigram_perplexity:,.0f}",
        ]
        for split, metrics in record.metrics.items()
    ]
    return Table(["split", "masked-LM perplexity", "nats a token", "accuracy", "unigram perplexity"], rows)


def shown_p(value: float | None) -> str:
    """A p-value in a cell: two digits, a bound where more would pretend, or a dash."""
    return "–" if value is None else f"{value:.2g}" if value >= 0.001 else "< 0.001"


def verdict_table(comparison: Comparison) -> Table:
    """The verdict on each other arm, a split beside the other."""
    splits = dict.fromkeys(item.split for item in comparison.differences)
    rows: dict[str, list[str]] = {}
    for item in comparison.differences:
        cells = [with_interval(item.delta_nats.mean, item.delta_nats.ci95), item.verdict]
        rows.setdefault(pair_name(item.arms), []).extend(cells)
    header = ["difference, nats a token", *(cell for split in splits for cell in (split, f"verdict on {split}"))]
    return Table(header, [[name, *cells] for name, cells in rows.items()])


def band_names(bands: list[BandDifference]) -> list[str]:
    """How often the tokens of each band occur in train."""
    least = [band.least_count for band in bands]
    return [f"{low:,} to {high - 1:,}" for low, high in itertools.pairwise(least)] + [f"{least[-1]:,} or more"]


def band_table(comparison: Comparison) -> Table | None:
    """Where the difference lies: at rare tokens or at frequent ones; None where records are older than bands."""
    found = [item for item in comparison.differences if item.bands is not None]
    if not found:
        return None
    bands = {item.split: item.bands or [] for item in found}
    names = band_names(next(iter(bands.values())))
    sizes = [[split, "tokens", *(f"{band.num_tokens:,}" for band in of_split)] for split, of_split in bands.items()]
    rows = [
        [item.split, pair_name(item.arms), *map(band_cell, item.bands or [])]
        for split in bands
        for item in found
        if item.split == split
    ]
    return Table(["split", "difference", *names], [*sizes, *rows])


def band_cell(band: BandDifference) -> str:
    """`+0.303 [+0.273, +0.334]`."""
    return with_interval(band.mean, band.ci95)


def gradient_table(comparison: Comparison) -> Table | None:
    """How the two uses of the table pull at it, over training; None where records are older than that."""
    rows = []
    for arm, summary in comparison.arms.items():
        curves = list(summary.curves.values())
        for points in zip(*curves, strict=True):
            sides = [point.gradients for point in points if point.gradients is not None]
            if len(sides) == len(points):
                means = [
                    fmean(getattr(side, name) for side in sides) for name in ("input_norm", "output_norm", "cosine")
                ]
                ratio = f"{means[1] / means[0]:.2f}" if means[0] else "–"
                rows.append(
                    [arm, f"{points[0].step:,}", f"{means[0]:.4f}", f"{means[1]:.4f}", ratio, f"{means[2]:+.3f}"]
                )
    header = ["arm", "step", "input side, norm", "output side, norm", "output / input", "cosine"]
    return Table(header, rows) if rows else None


def similarity_table(comparison: Comparison) -> Table | None:
    """Whether a table that serves both sides is more like an input matrix or more like an output matrix."""
    if comparison.similarity is None:
        return None
    rows = [
        [item.arm, item.matrix, str(item.num_seeds), f"{item.linear_cka:.3f}", f"{item.neighbour_overlap:.3f}"]
        for item in comparison.similarity
    ]
    return Table(["arm", "matrix", "seeds", "linear CKA", "neighbour overlap"], rows)


def vocabulary_table(comparison: Comparison) -> Table:
    """The loss by units that no tokenizer decides."""
    rows = []
    for arm, summary in comparison.arms.items():
        for split, metrics in summary.metrics.items():
            without = metrics.masked_lm_perplexity_without_unk
            rows.append(
                [
                    arm,
                    split,
                    plus_minus(metrics.bits_per_byte, 4),
                    plus_minus(metrics.nats_per_word, 4),
                    percent(metrics.unk_fraction),
                    "–" if without is None else plus_minus(without),
                ]
            )
    return Table(["arm", "split", "bits a byte", "nats a word", "[UNK]", "perplexity without [UNK]"], rows)


def parameter_table(comparison: Comparison) -> Table:
    """Stored parameters by group; what no arm has is left out."""
    groups = next(iter(comparison.arms.values())).parameters
    counts = {group: [summary.parameters[group] for summary in comparison.arms.values()] for group in groups}
    rows = [[group, *(f"{count:,}" for count in row)] for group, row in counts.items() if any(row)]
    return Table(["parameters", *comparison.arms], rows)


def gap_table(comparison: Comparison) -> Table:
    """The end of the curves: tying is said to act as a regulariser, which shows in train against valid."""
    rows = []
    for arm, summary in comparison.arms.items():
        for seed, curve in summary.curves.items():
            train, valid = curve[-1].train_loss_nats, curve[-1].valid_loss_nats
            rows.append([arm, seed, f"{math.exp(train):,.1f}", f"{math.exp(valid):,.1f}", f"{valid - train:+.3f}"])
    return Table(["arm", "seed", "train perplexity", "valid perplexity", "gap in nats"], rows)


def cost_table(comparison: Comparison) -> Table:
    """What a run of each arm took."""
    rows = [
        [
            arm,
            f"{summary.train_seconds:,.0f}",
            f"{summary.tokens_per_second:,.0f}",
            f"{summary.peak_memory_bytes / 2**20:,.0f}",
            f"{summary.checkpoint_bytes / 2**20:,.1f}",
        ]
        for arm, summary in comparison.arms.items()
    ]
    return Table(["arm", "training, seconds", "tokens a second", "peak memory, MiB", "checkpoint, MiB"], rows)

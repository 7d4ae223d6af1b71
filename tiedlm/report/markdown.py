"""Comparison → REPORT.md. Formats, never computes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from statistics import fmean

from tiedlm.comparison.comparison import BandDifference, Comparison
from tiedlm.comparison.search import best_values
from tiedlm.counting.terminal import percent
from tiedlm.errors import printable
from tiedlm.report.terminal import (
    WARNING,
    describe,
    differing_lines,
    digits,
    num_seeds,
    plus_minus,
    title,
    verdict_lines,
)

CURVES_FILE, PARAMETERS_FILE = "learning_curves.png", "parameters.png"


def render_markdown(comparison: Comparison) -> str:
    """The page beside the records."""
    sections = [
        f"# {comparison.experiment}: {' against '.join(comparison.arms)}\n",
        *(f"**{escaped(line)}.**\n" for line in differing_lines(comparison)),
        "\n".join(f"    {line}" for line in verdict_lines(comparison)) + "\n",
        headline(comparison),
        f"{WARNING} ± is the standard deviation over seeds. Unigram: what the token frequencies of train reach alone, "
        "each count plus one.\n",
        "## Does it help?\n",
        "Differences are in nats a token: of natural logarithms of perplexities. One of d is a ratio of exp(d).\n",
        "\n".join(f"- **{item.split}: {item.verdict}.** {describe(item)}" for item in comparison.differences) + "\n",
        _differences_table(comparison),
        *(f"Note: {escaped(note)}.\n" for note in comparison.notes),
        "## Across vocabularies\n",
        "Bits a byte and nats a word are the same loss over the bytes and the words of the text, which no tokenizer "
        "decides (the end of a line is one of each). A model of finer tokens still has it easier: it sees the other "
        "pieces of the word that it predicts.\n",
        _across_vocabularies(comparison),
        *_by_frequency(comparison),
        *_gradients(comparison),
        *_similarity(comparison),
        "## Parameters\n",
        _parameters(comparison),
        f"V × H = {comparison.saved.formula} saved, {percent(comparison.saved.fraction)} of the untied model.\n",
        f"![parameters by group]({PARAMETERS_FILE})\n",
        "## Learning curves\n",
        f"![learning curves]({CURVES_FILE})\n",
        _gap(comparison),
        *_search(comparison),
        "## What differs, what is equal\n",
        _arms(comparison),
        "\n".join(f"- {code(field)} = {code(value)}" for field, value in comparison.shared_config.items()) + "\n",
        "## Cost\n",
        _cost(comparison),
        "## Where it was run\n",
        "\n".join(f"- {field}: {', '.join(map(escaped, values))}" for field, values in comparison.provenance.items())
        + "\n",
        "Generated from the records in this folder by `tiedlm report`; do not edit.\n",
    ]
    return "\n".join(sections)


def escaped(text: object) -> str:
    """Text from a record, so that it is text on the page too: no heading, no HTML, no new line or cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~!])", r"\\\1", printable(str(text)))


def code(text: object) -> str:
    """Text from a record as code; a backtick would end it."""
    return f"`{printable(str(text)).replace('`', chr(0x2B9)).replace('|', chr(0x2758))}`"


def headline(comparison: Comparison) -> str:
    """The Markdown table of the README's first screen and of the report's top."""
    rows = [
        f"| {escaped(title(comparison))}, {num_seeds(comparison)} | parameters | valid masked-LM perplexity | test |",
        "|---|---:|---:|---:|",
    ]
    for arm, summary in comparison.arms.items():
        valid, test = (plus_minus(summary.metrics[split].masked_lm_perplexity) for split in ("valid", "test"))
        rows.append(f"| {arm} | {summary.parameters['total']:,} | {valid} | {test} |")
    valid, test = (f"{summary.metrics[split].unigram_perplexity:,.1f}" for split in ("valid", "test"))
    rows.append(f"| unigram | – | {valid} | {test} |")
    return "\n".join(rows) + "\n"


def _differences_table(comparison: Comparison) -> str:
    """The values behind each interval, so that a reader can test them differently."""
    rows = [
        [
            item.split,
            f"{item.arms[1]} − {item.arms[0]}",
            ", ".join(f"{value:+.4f}" for value in item.delta_nats.values),
            f"{item.delta_nats.mean:+.4f}",
            f"[{item.delta_nats.ci95[0]:+.4f}, {item.delta_nats.ci95[1]:+.4f}]",
            "–" if item.delta_nats.p_value is None else f"{item.delta_nats.p_value:.2g}",
            "–" if item.p_holm is None else f"{item.p_holm:.2g}",
            "–" if item.detectable_nats is None else f"{item.detectable_nats:.2g}",
        ]
        for item in comparison.differences
    ]
    header = ["split", "difference", "nats a token, by seed", "mean", "95 % interval", "p", "Holm's p", "detectable"]
    return (
        markdown_table(header, rows)
        + "\nDetectable: what so many seeds, scattering as these do, find at p < 0.05 in four cases of five.\n"
    )


def _by_frequency(comparison: Comparison) -> list[str]:
    """Where the difference lies: at rare tokens or at frequent ones."""
    found = [item for item in comparison.differences if item.bands is not None]
    if not found:
        return []
    bands = {item.split: item.bands or [] for item in found}
    least = [band.least_count for band in next(iter(bands.values()))]
    names = [f"{low:,} to {high - 1:,}" for low, high in itertools.pairwise(least)] + [f"{least[-1]:,} or more"]
    sizes = [[split, "tokens", *(f"{band.num_tokens:,}" for band in of_split)] for split, of_split in bands.items()]
    rows = [
        [item.split, f"{item.arms[1]} − {item.arms[0]}", *map(_band_cell, item.bands or [])]
        for split in bands
        for item in found
        if item.split == split
    ]
    return [
        "## By frequency\n",
        "Nats a token by how often the predicted token occurs in train, with the 95 % interval of each band alone.\n",
        markdown_table(["split", "difference", *names], [*sizes, *rows]),
    ]


def _band_cell(band: BandDifference) -> str:
    interval = "" if band.ci95 is None else f" [{band.ci95[0]:+.3f}, {band.ci95[1]:+.3f}]"
    return f"{band.mean:+.3f}{interval}"


def _gradients(comparison: Comparison) -> list[str]:
    """How the two uses of the table pull at it, over training."""
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
    if not rows:
        return []
    return [
        "## Two gradients\n",
        "Of the word-embedding table as input and of the output matrix, for the loss of the same blocks of train at "
        "each point of the learning curve, without dropout; means over seeds. In a tied model the two are added up.\n",
        markdown_table(["arm", "step", "input side, norm", "output side, norm", "output / input", "cosine"], rows),
    ]


def _similarity(comparison: Comparison) -> list[str]:
    """Whether a table that serves both sides is more like an input matrix or more like an output matrix."""
    if comparison.similarity is None:
        return []
    rows = [
        [item.arm, item.matrix, str(item.num_seeds), f"{item.linear_cka:.3f}", f"{item.neighbour_overlap:.3f}"]
        for item in comparison.similarity
    ]
    return [
        "## What the tied table is like\n",
        "Similarity to the tied run's word-embedding table of the same seed, over the most frequent tokens; the tied "
        "arm's own line is to the table of another seed. Linear CKA (Kornblith et al. 2019) is 1 for a rotated copy. "
        "The overlap is the share of a token's 10 nearest tokens that both agree on.\n",
        markdown_table(["arm", "matrix", "seeds", "linear CKA", "neighbour overlap"], rows),
    ]


def _across_vocabularies(comparison: Comparison) -> str:
    rows = []
    for arm, summary in comparison.arms.items():
        for split, metrics in summary.metrics.items():
            without = metrics.masked_lm_perplexity_without_unk
            rows.append(
                [
                    arm,
                    split,
                    digits(metrics.bits_per_byte, 4),
                    digits(metrics.nats_per_word, 4),
                    percent(metrics.unk_fraction),
                    "–" if without is None else plus_minus(without),
                ]
            )
    return markdown_table(["arm", "split", "bits a byte", "nats a word", "[UNK]", "perplexity without [UNK]"], rows)


def _parameters(comparison: Comparison) -> str:
    groups = next(iter(comparison.arms.values())).parameters
    counts = {group: [summary.parameters[group] for summary in comparison.arms.values()] for group in groups}
    rows = [[group, *(f"{count:,}" for count in row)] for group, row in counts.items() if any(row)]
    return markdown_table(["group", *comparison.arms], rows)


def _gap(comparison: Comparison) -> str:
    """The end of the curves: tying is said to act as a regulariser, which shows in train against valid."""
    rows = []
    for arm, summary in comparison.arms.items():
        for seed, curve in summary.curves.items():
            train, valid = curve[-1].train_loss_nats, curve[-1].valid_loss_nats
            rows.append([arm, seed, f"{math.exp(train):,.1f}", f"{math.exp(valid):,.1f}", f"{valid - train:+.3f}"])
    return (
        "Last point of each curve: one evaluation fold of evenly spaced blocks, the same number of train and of valid, "
        "so these are estimates where the tables above are exact.\n\n"
        + markdown_table(["arm", "seed", "train perplexity", "valid perplexity", "gap in nats"], rows)
    )


def _search(comparison: Comparison) -> list[str]:
    """How each arm's values were chosen."""
    if comparison.search is None:
        return []
    arms = list(comparison.search[0].losses_nats)
    best = {arm: best_values(comparison.search, arm) for arm in arms}
    rows = []
    for cell in comparison.search:
        perplexities = {arm: math.exp(fmean(cell.losses_nats[arm])) for arm in arms}
        marks = {arm: "**" if cell.values == best[arm] else "" for arm in arms}
        rows.append([escaped(cell.folder), *(f"{marks[arm]}{perplexities[arm]:,.1f}{marks[arm]}" for arm in arms)])
    seeds = len(comparison.search[0].losses_nats[arms[0]])
    return [
        "## Search\n",
        f"Perplexity on valid of {seeds} seed{'s' if seeds > 1 else ''} that the comparison does not use; in bold the "
        "values that each arm has in it.\n",
        markdown_table(["values", *arms], rows),
    ]


def _arms(comparison: Comparison) -> str:
    lines = [
        f"- **{arm}**: " + ", ".join(f"{code(field)} = {code(value)}" for field, value in summary.overrides.items())
        for arm, summary in comparison.arms.items()
    ]
    return (
        "\n".join(lines)
        + "\n\nFor one seed all arms start with the same values in every tensor they share and see the same batches "
        + "and masks; every token of a split is predicted once, under the same masks. Equal in all arms:\n"
    )


def _cost(comparison: Comparison) -> str:
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
    return markdown_table(["arm", "training, seconds", "tokens a second", "peak memory, MiB", "checkpoint, MiB"], rows)


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """The first column to the left, numbers to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"

"""Comparison → REPORT.md. Formats, never computes."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tested_differences import ContrastResult
from tiedlm.markup.markdown_text import code, escaped, markdown_page, markdown_table
from tiedlm.reporting.closing import closing_sentence
from tiedlm.reporting.main_parts import contrast_parts
from tiedlm.reporting.tables import (
    Strong,
    arms_table,
    band_table,
    cost_table,
    difference_table,
    gap_table,
    gradient_table,
    headline_table,
    parameter_table,
    similarity_table,
    vocabulary_table,
)
from tiedlm.reporting.tuning_report import EXPECTED, cells_table, expected_table, lowest_sentences, tuning_sentence
from tiedlm.reporting.wording import (
    ACROSS_VOCABULARIES,
    ARMS_TABLE,
    BANDS,
    DETECTABLE,
    EXPLORATORY_TABLE,
    GRADIENTS,
    LAST_POINTS,
    NATS,
    PAIRED,
    PERPLEXITY,
    SIMILARITY,
    describe,
    differing_lines,
    reasons,
    saved_sentence,
    text_sentence,
    title,
    verdict_lines,
)

CURVES_FILE, PARAMETERS_FILE, SEARCH_FILE = "learning_curves.png", "parameters.png", "search.png"


def plot_files(comparison: Comparison) -> tuple[str, ...]:
    """The plots that the page shows."""
    is_search = comparison.tuning is not None and comparison.tuning.expected_lowest_nats is not None
    return (CURVES_FILE, PARAMETERS_FILE, *([SEARCH_FILE] if is_search else []))


def render_markdown(comparison: Comparison) -> str:
    """The page beside the records."""
    sections = [
        *(_answer_of_pair(comparison) if len(comparison.arms) == 2 else _answer_of_many(comparison)),
        f"{markdown_table(*difference_table(comparison))}\n{DETECTABLE}\n",
        *(f"Note: {escaped(note)}.\n" for note in comparison.notes),
        "## Across vocabularies\n",
        f"{ACROSS_VOCABULARIES}\n",
        markdown_table(*vocabulary_table(comparison)),
        *_by_frequency(comparison),
        *_gradients(comparison),
        *_similarity(comparison),
        "## Parameters\n",
        markdown_table(*parameter_table(comparison)),
        f"{saved_sentence(comparison)}\n",
        f"![parameters by group]({PARAMETERS_FILE})\n",
        "## Learning curves\n",
        f"![learning curves]({CURVES_FILE})\n",
        f"{LAST_POINTS}\n\n{markdown_table(*gap_table(comparison))}",
        *_tuning(comparison),
        "## What differs, what is equal\n",
        _arms(comparison),
        "\n".join(f"- {code(field)} = {code(value)}" for field, value in comparison.shared_config.items()) + "\n",
        "## Cost\n",
        markdown_table(*cost_table(comparison)),
        "## Where it was run\n",
        "\n".join(f"- {field}: {', '.join(map(escaped, values))}" for field, values in comparison.provenance.items())
        + "\n",
        "Generated from the records in this folder by `tiedlm report`; do not edit.\n",
    ]
    return "\n".join(sections)


def _answer_of_pair(comparison: Comparison) -> list[str]:
    return [
        f"# {comparison.experiment}: {' against '.join(comparison.arms)}\n",
        *(f"**{escaped(line)}.**\n" for line in differing_lines(comparison)),
        f"{escaped(closing_sentence(comparison))}\n",
        *contrast_sections(comparison.contrasts),
        "\n".join(f"    {line}" for line in verdict_lines(comparison)) + "\n",
        headline(comparison),
        f"{text_sentence(comparison)}\n",
        f"{PERPLEXITY}\n",
        "## Does it help?\n",
        f"{NATS}\n",
        "\n".join(f"- **{item.split}: {item.verdict}.** {describe(item)}" for item in comparison.differences) + "\n",
    ]


def _answer_of_many(comparison: Comparison) -> list[str]:
    first, *others = comparison.arms
    return [
        f"# {comparison.experiment}: {first} against {len(others)} other arms\n",
        *(f"**{escaped(line)}.**\n" for line in differing_lines(comparison)),
        f"{escaped(closing_sentence(comparison))}\n",
        *contrast_sections(comparison.contrasts),
        f"{title(comparison)}. {text_sentence(comparison)} {NATS}\n",
        *(markdown_table(*arms_table(comparison, split)) for split in comparison.arms[first].metrics),
        f"{EXPLORATORY_TABLE if comparison.is_exploratory else ARMS_TABLE} {PERPLEXITY}\n",
        "\n".join(f"- {escaped(line)}" for line in reasons(comparison)) + "\n",
        "## Differences by seed\n",
    ]


def contrast_sections(results: Sequence[ContrastResult]) -> list[str]:
    """The planned contrasts; nothing where there are none."""
    return [markdown_page(contrast_parts(results))] if results else []


def headline(comparison: Comparison) -> str:
    """The Markdown table of the README's first screen and of the report's top."""
    (name, *names), rows = headline_table(comparison)
    lines = [f"| {' | '.join([escaped(name), *names])} |", "|---|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _by_frequency(comparison: Comparison) -> list[str]:
    table = band_table(comparison)
    return [] if table is None else ["## By frequency\n", f"{BANDS}\n", markdown_table(*table)]


def _gradients(comparison: Comparison) -> list[str]:
    table = gradient_table(comparison)
    return [] if table is None else ["## Two gradients\n", f"{GRADIENTS}\n", markdown_table(*table)]


def _similarity(comparison: Comparison) -> list[str]:
    table = similarity_table(comparison)
    return [] if table is None else ["## What the tied table is like\n", f"{SIMILARITY}\n", markdown_table(*table)]


def _tuning(comparison: Comparison) -> list[str]:
    """How each arm's values were chosen."""
    tuning, expected = comparison.tuning, expected_table(comparison)
    if tuning is None:
        return []
    table = cells_table(tuning)
    rows = [
        [escaped(name), *(f"**{cell}**" if isinstance(cell, Strong) else escaped(cell) for cell in cells)]
        for name, *cells in table.rows
    ]
    sections = [
        "## Tuning\n",
        f"{escaped(tuning_sentence(tuning))}\n",
        markdown_table(list(map(escaped, table.header)), rows),
        "\n".join(f"- {escaped(sentence)}" for sentence in lowest_sentences(tuning)) + "\n",
    ]
    if expected is not None:
        sections += [f"{EXPECTED}\n", markdown_table(*expected), f"![expected lowest loss by trials]({SEARCH_FILE})\n"]
    return sections


def _arms(comparison: Comparison) -> str:
    lines = [
        f"- **{arm}**: " + ", ".join(f"{code(field)} = {code(value)}" for field, value in summary.overrides.items())
        for arm, summary in comparison.arms.items()
    ]
    return "\n".join(lines) + f"\n\n{PAIRED} Equal in all arms:\n"

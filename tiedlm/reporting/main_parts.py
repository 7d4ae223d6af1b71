"""Comparison → its main tables and what they mean, to paste elsewhere in any markup. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tested_differences import ContrastResult
from tiedlm.markup.page_parts import Grid, Heading, Part, Points, Words
from tiedlm.reporting.contrast_tables import CONTRASTS, contrast_reasons, contrast_table, contrast_values_table
from tiedlm.reporting.tables import difference_table, headline_table, parameter_table
from tiedlm.reporting.wording import DETECTABLE, PERPLEXITY, saved_sentence


def main_parts(comparison: Comparison) -> list[Part]:
    """The planned contrasts, then what each arm reaches, the differences and the parameters."""
    return [
        *contrast_parts(comparison.contrasts),
        Grid(*headline_table(comparison)),
        Words(PERPLEXITY),
        Grid(*difference_table(comparison)),
        Words(DETECTABLE),
        Grid(*parameter_table(comparison)),
        Words(saved_sentence(comparison)),
    ]


def contrast_parts(results: Sequence[ContrastResult]) -> list[Part]:
    """The planned contrasts, valid first, which decides; nothing where there are none."""
    if not results:
        return []
    splits = dict.fromkeys(item.split for item in results)
    reasons = contrast_reasons(results)
    return [
        Heading("Planned contrasts"),
        Words(CONTRASTS),
        *(Grid(*contrast_table(results, split)) for split in splits),
        *([Points(reasons)] if reasons else []),
        Grid(*contrast_values_table(results)),
        Heading("Exploratory: all else"),
    ]

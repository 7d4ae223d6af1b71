"""Comparison → its answer in few words, which stands before all else on the page."""

from __future__ import annotations

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tested_differences import INCONCLUSIVE, NO_VERDICT
from tiedlm.counting.shown.count_tables import percent
from tiedlm.reporting.closing import closing_sentence
from tiedlm.reporting.contrast_tables import contrast_reasons
from tiedlm.reporting.short_answer import of_contrasts
from tiedlm.reporting.wording import (
    FEW_BLOCKS,
    describe,
    differing_lines,
    p_value,
    percent_interval,
    percent_more,
    reasons,
)


def heading(comparison: Comparison) -> str:
    """The answer in few words."""
    if comparison.contrasts:
        return f"Planned contrasts: {of_contrasts(comparison.contrasts)}"
    if not _is_pair(comparison):
        first, *others = comparison.arms
        return f"{first} against {len(others)} other arms"
    verdicts = {item.split: item.verdict for item in comparison.differences}
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return "; ".join(f"{split}: {verdict}" for split, verdict in verdicts.items())


def _lede_of_pair(comparison: Comparison) -> list[str]:
    """The answer in sentences: its difference, its interval, and why there is no verdict where there is none."""
    return [f"{item.split}: {describe(item)}" for item in comparison.differences if item.split == "valid"]


def _lede_of_many(comparison: Comparison) -> list[str]:
    """On which arms there is which verdict."""
    of_verdict: dict[str, list[str]] = {}
    for item in comparison.differences:
        if item.split == "valid":
            of_verdict.setdefault(item.verdict, []).append(item.arms[1])
    order = sorted(of_verdict, key=lambda verdict: (verdict == NO_VERDICT, verdict == INCONCLUSIVE))
    return [_said(verdict, of_verdict[verdict], next(iter(comparison.arms))) for verdict in order]


def _said(verdict: str, arms: list[str], first: str) -> str:
    """`On valid, tied is better than: untied, tied-wider.`"""
    if verdict == f"{first} better":
        return f"On valid, {first} is better than: {', '.join(arms)}."
    if verdict in (INCONCLUSIVE, NO_VERDICT):
        return f"On valid, {verdict} against {first}: {', '.join(arms)}."
    return f"On valid, better than {first}: {', '.join(arms)}."


def cards(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Label, number and what it rests on, of the few numbers that are read first; none of many arms."""
    if not _is_pair(comparison):
        return []
    found = []
    for item in comparison.differences:
        delta = item.delta_nats
        basis = "the choice of text alone" if delta.p_value is None else item.verdict
        basis = basis if item.p_holm is None else p_value(item.p_holm)
        found.append(
            (
                f"{item.arms[1]}'s perplexity relative to {item.arms[0]}'s, on {item.split}",
                f"{percent_more(delta.mean)} %",
                FEW_BLOCKS if delta.is_of_few_blocks else f"95 % interval {percent_interval(delta.ci95)}, {basis}",
            )
        )
    saved = comparison.saved
    return [
        *found,
        (
            "parameters that tying saves",
            f"{saved.parameters:,}",
            f"V × H, {percent(saved.fraction)} of the untied model",
        ),
    ]


def lede(comparison: Comparison) -> list[str]:
    """The answer in sentences."""
    return [closing_sentence(comparison), *_details(comparison)]


def _details(comparison: Comparison) -> list[str]:
    if comparison.is_exploratory:
        return []
    return _lede_of_pair(comparison) if _is_pair(comparison) else _lede_of_many(comparison)


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know before trusting it; of a pair the sentences say why there is no verdict."""
    told = [] if _is_pair(comparison) and not comparison.is_exploratory else reasons(comparison)
    return [*differing_lines(comparison), *contrast_reasons(comparison.contrasts), *told, *comparison.notes]


def _is_pair(comparison: Comparison) -> bool:
    return len(comparison.arms) == 2

"""Planned contrasts → the words and tables of a report; each form of the report has its own way to draw them."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.comparison.tested_differences import INCONCLUSIVE, ContrastResult
from tiedlm.reporting.tables import Table, shown_p
from tiedlm.reporting.wording import count_seeds, p_value, with_interval

CONTRASTS = (
    "Planned before the runs unless a note says otherwise, in nats a token; in brackets is the 95 % interval. A "
    "predicted sign is tested by the paired t-test over seeds, a predicted equality by two one-sided tests against the "
    "margin. Holm's p adjusts for the number of contrasts and decides the verdict. All else is exploratory."
)


def contrast_value(result: ContrastResult) -> str:
    """`+0.050 [+0.037, +0.062]`, or a dash while there is none."""
    return "–" if result.mean is None else with_interval(result.mean, result.ci95)


def contrast_reasons(results: Sequence[ContrastResult]) -> list[str]:
    """Why there is no verdict, and what would have been missed."""
    told = [f"{item.name} on {item.split}: {item.reason}" for item in results if item.reason]
    missed = [
        f"{item.name} on {item.split}: a value below {item.detectable_nats:.2g} would usually be missed"
        for item in results
        if item.verdict == INCONCLUSIVE and item.contrast.predicted and item.detectable_nats is not None
    ]
    return [*told, *missed]


def contrast_lines(results: Sequence[ContrastResult]) -> list[tuple[str, str]]:
    """Two lines a contrast, for a narrow form: its verdict, and what it rests on."""
    lines = []
    for item in results:
        p = "" if item.p_holm is None else f", Holm's {p_value(item.p_holm)}"
        number = f", {count_seeds(len(item.seeds))}" if item.seeds else ""
        basis = f"{item.formula} = {contrast_value(item)}, predicted {item.contrast.prediction}{p}{number}"
        lines.append((f"{item.split:<6}{item.verdict}: {item.name}", basis))
    return lines


def contrasts_sentence(results: Sequence[ContrastResult]) -> str:
    """On valid, the contrasts of each verdict: `On valid, as predicted: a, b; inconclusive: c.`"""
    of_verdict: dict[str, list[str]] = {}
    for item in sorted(results, key=lambda item: (not item.is_as_predicted, not item.is_decided)):
        if item.split == "valid":
            of_verdict.setdefault(item.verdict, []).append(item.name)
    told = [f"{verdict}: {', '.join(names)}" for verdict, names in of_verdict.items()]
    return f"On valid, {'; '.join(told)}."


def contrast_table(results: Sequence[ContrastResult], split: str) -> Table:
    """The planned contrasts on one split."""
    rows = [
        [
            item.name,
            item.formula,
            item.contrast.prediction,
            contrast_value(item),
            shown_p(item.p_holm),
            item.verdict,
            str(len(item.seeds)),
        ]
        for item in results
        if item.split == split
    ]
    return Table(
        [f"contrast on {split}", "in words", "predicted", "nats a token", "Holm's p", "verdict", "seeds"], rows
    )


def contrast_values_table(results: Sequence[ContrastResult]) -> Table:
    """The values behind each interval, so that a reader can test them differently."""
    rows = [
        [
            item.split,
            item.name,
            ", ".join(map(str, item.seeds)),
            ", ".join(f"{value:+.4f}" for value in item.values),
            shown_p(item.p_value),
        ]
        for item in results
    ]
    return Table(["split", "contrast", "seeds", "nats a token, by seed", "p"], rows)

"""A plan in the lines that stand on stderr before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiedlm.data.sources.document_split import FEW_DOCUMENTS
from tiedlm.reporting.wording import count_epochs, count_tokens

if TYPE_CHECKING:
    from tiedlm.data.sources.documents import Documents
    from tiedlm.execution.plan import Plan

LEAST_TOLD_SHARE = 0.1
"""Of the estimated time, in evaluation."""


def plan_lines(plan: Plan) -> list[str]:
    """What will be trained, of what size, where, and in what time if it is known."""
    width = [] if plan.width is None else [plan.width.sentence]
    if not plan.to_train:
        return [*width, f"{plan.experiment}: nothing to train; {plan.out} holds every record that is asked for"]
    there = f", {len(plan.already_there)} are there" if plan.already_there else ""
    parameters = ", ".join(f"{arm} {number:,}" for arm, number in plan.parameters.items())
    slow = "" if plan.has_bf16 else "; this processor has no bf16, which makes it slower"
    cells = "" if plan.num_cells is None else f" in {plan.num_cells} cells"
    lines = [
        *width,
        f"{plan.experiment}: {runs(len(plan.to_train))} to train{there}{cells}; records go to {plan.out}",
        *([] if plan.num_cells is None else ["  of the first cell:"]),
        f"  text: {count_tokens(plan.corpus_tokens)}; vocabulary {plan.vocab_size:,}",
        *([] if plan.documents is None else [f"  documents: {_count_documents(plan.documents)}"]),
        f"  {plan.num_steps:,} steps, {plan.train_tokens:,} tokens a run, {count_epochs(plan.epochs)}",
        f"  parameters: {parameters}",
        f"  {plan.device} in {plan.precision}, {plan.side_by_side} side by side{slow}",
    ]
    if plan.estimated_seconds is not None:
        whose = "each run" if plan.num_cells is None else "a run of the first cell"
        lines += [f"  pace: {plan.tokens_per_second:,.0f} tokens a second in {whose}", *time_lines(plan)]
    return lines


def time_lines(plan: Plan) -> list[str]:
    """How long a timed plan takes, and how much of that is evaluation where it is more than a tenth."""
    whole, scoring = plan.estimated_seconds, plan.estimated_evaluation_seconds
    if whole is None or scoring is None:
        return []
    part = f", {about(scoring)} of it evaluation" if scoring > LEAST_TOLD_SHARE * whole else ""
    return [f"  estimated time: {about(whole)}{part}"]


def note_lines(plan: Plan) -> list[str]:
    """What a reader must know of the text before it is trained on."""
    return [f"  note: {note}" for note in plan.notes] if plan.to_train else []


def _count_documents(documents: Documents) -> str:
    """`1,234 paragraphs`, `1 line`."""
    number = f"over {FEW_DOCUMENTS:,}" if documents.number is None else f"{documents.number:,}"
    return f"{number} different {documents.kind}{'' if documents.number == 1 else 's'}"


def runs(number: int) -> str:
    """`1 run`, `6 runs`."""
    return f"{number} run" + ("s" if number > 1 else "")


def duration(seconds: float) -> str:
    """As a person says it: `40 s`, `1 min 40 s`, `2 h 5 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def about(seconds: float) -> str:
    """An estimate, which has no more digits than it deserves: `40 s`, `26 min`, `7 h 58 min`."""
    return duration(seconds if seconds < 120 or seconds >= 3_600 else 60 * round(seconds / 60)).removesuffix(" 0 s")

"""What is told while runs are made."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tiedlm.display import progress_display
from tiedlm.display.plan_lines import plan_lines, time_lines
from tiedlm.display.progress_display import ProgressDisplay
from tiedlm.execution.pace import Pace
from tiedlm.execution.plan import Plan
from tiedlm.record.run_id import RunId
from tiedlm.training.progress import Progress

PLAN = Plan(
    experiment="toy",
    corpus="corpus",
    out="out",
    to_train=[RunId("tied", 0), RunId("untied", 0)],
    already_there=[],
    num_steps=4_000,
    train_tokens=4_000 * 64,
    evaluation_tokens=3 * 64_000,
    epochs=256.0,
    notes=[],
    documents=None,
    corpus_tokens={"train": 1_000, "valid": 100, "test": 100},
    vocab_size=50,
    parameters={"tied": 1_000, "untied": 2_600},
    device="cpu",
    precision="fp32",
    has_bf16=False,
    side_by_side=1,
)


def test_the_time_of_a_plan_is_that_of_steps_and_evaluations() -> None:
    """At 1,000 tokens/s: 256 s of training and a third of 192 s of evaluation, twice, since one run goes at a time."""
    pace = Pace(PLAN)
    for step in range(1, 19):
        assert not pace.is_known
        seconds = 5.0 + 0.064 * (step - 1)  # the first step is slow, and says nothing of the others
        pace.update(Progress(RunId("tied", 0), "training", step, 4_000, 64 * step, 3.0, 0.01, 64 * step / seconds))
    assert pace.is_known
    assert pace.tokens_per_second == pytest.approx(1_000)
    timed = PLAN.timed(pace.tokens_per_second, start_seconds=3.0)
    assert timed.estimated_seconds == pytest.approx(3 + 2 * (256 + 64))
    assert timed.estimated_evaluation_seconds == pytest.approx(2 * 64)
    assert plan_lines(timed)[-2:] == [
        "  pace: 1,000 tokens a second in each run",
        "  estimated time: 11 min, 2 min of it evaluation",
    ]


@pytest.mark.parametrize(
    ("seconds", "evaluation", "line"),
    [
        (600.0, 59.0, "10 min"),
        (600.0, 61.0, "10 min, 1 min 1 s of it evaluation"),
        (28_700.0, 3_000.0, "7 h 58 min, 50 min of it evaluation"),
        (9.0, 5.0, "9 s, 5 s of it evaluation"),
    ],
)
def test_evaluation_is_told_where_it_is_a_tenth_of_the_time(seconds: float, evaluation: float, line: str) -> None:
    plan = replace(PLAN, estimated_seconds=seconds, estimated_evaluation_seconds=evaluation)
    assert time_lines(plan) == [f"  estimated time: {line}"]


def test_a_notebook_has_one_output_for_a_plan_in_which_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It puts outputs apart, and does not wrap their lines."""
    outputs: list[str] = []
    monkeypatch.setattr("rich.jupyter.display", lambda _, text: outputs.append(text))
    console = Console(force_jupyter=True, width=100, color_system=None)
    note = "valid has few tokens, " * 9 + "so it has"
    ProgressDisplay(console).begin(replace(PLAN, notes=[note]))
    shown = [" ".join(output.split()) for output in outputs]
    assert shown == [" ".join(" ".join(plan_lines(PLAN)).split()), f"note: {note}"]
    assert max(len(line) for output in outputs for line in output.splitlines()) <= 100


@pytest.mark.parametrize("first_step", [1, 3_001])
def test_the_time_left_is_by_the_pace_of_this_process(first_step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on from step 3,000 is no faster for it; one that waits still has all its steps to make."""
    now = [100.0]
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: now[0])
    told = io.StringIO()
    display = ProgressDisplay(Console(file=told, width=200), quiet=False)
    display.begin(PLAN)
    for step in range(first_step, first_step + 201):
        display.update(Progress(RunId("tied", 0), "training", step, 4_000, 64 * step, 3.0, 0.01, 1.0))
        now[0] += 0.1
    assert told.getvalue().count("\n  estimated time: ") == 1
    seconds = {1: 0.1 * (8_000 - 110), 3_001: 0.1 * (5_000 - 110)}[first_step]
    last = told.getvalue().splitlines()[-1].split("all runs: ")[1].removesuffix(" left").split(":")
    assert sum(60**power * int(part) for power, part in enumerate(reversed(last))) == pytest.approx(seconds, rel=0.05)

"""What is told while runs are made."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tiedlm.cli import progress
from tiedlm.cli.progress import ProgressDisplay
from tiedlm.training.learning_curve import Progress


@pytest.mark.parametrize("first_step", [1, 3_001])
def test_the_time_left_is_by_the_pace_of_this_process(first_step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on from step 3,000 is no faster for it; one that waits still has all its steps to make."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    told = io.StringIO()
    display = ProgressDisplay(Console(file=told, width=200), quiet=False)
    display.begin(2)
    for step in range(first_step, first_step + 201):
        display.update(Progress("tied", 0, "training", step, 4_000, 3.0, 1.0))
        now[0] += 0.1
    seconds = {1: 0.1 * (8_000 - 110), 3_001: 0.1 * (5_000 - 110)}[first_step]
    last = told.getvalue().splitlines()[-1].split("all runs: ")[1].removesuffix(" left").split(":")
    assert sum(60**power * int(part) for power, part in enumerate(reversed(last))) == pytest.approx(seconds, rel=0.05)

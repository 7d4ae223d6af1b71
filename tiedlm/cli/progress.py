"""Progress of several runs on stderr: bars in a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import datetime
import time

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from tiedlm.errors import printable
from tiedlm.execution.run_options import Listener
from tiedlm.training.learning_curve import Progress

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BEFORE_ESTIMATE = 5.0


class ProgressDisplay(Listener):
    """Shows step, loss and tokens/s of each run, and when the whole will be done."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console, self.quiet, self.num_runs = console, quiet, 0
        self.state: dict[str, Progress] = {}
        self.steps_before: dict[str, int] = {}  # of a run that goes on, made by another process
        self.task_ids: dict[str, TaskID] = {}
        self.line_times: dict[str, float] = {}
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}", justify="right"),
            console=console,
            expand=True,
        )
        self.shows_bars = console.is_terminal and not quiet

    def begin(self, num_runs: int) -> None:
        """Start the bars."""
        self.num_runs = num_runs
        if self.shows_bars:
            self.bars.start()
            self.total = self.bars.add_task("all runs", total=num_runs, figures="starting")

    def end(self) -> None:
        """Leave the bars as they are."""
        if self.shows_bars:
            self.bars.stop()

    def update(self, progress: Progress) -> None:
        """Take one run's news."""
        name = f"{progress.arm} seed {progress.seed}"
        if not self.state:
            self.started = time.monotonic()  # of the first step: loading torch and text says nothing of the pace
        is_new_phase = name not in self.state or self.state[name].phase != progress.phase
        self.state[name] = progress
        self.steps_before.setdefault(name, progress.step - 1)
        if self.quiet:
            return
        loss = f"loss {progress.loss_nats:.3f}" if progress.phase == "training" else progress.phase
        if self.shows_bars:
            if name not in self.task_ids:
                self.task_ids[name] = self.bars.add_task(name, total=progress.num_steps, figures="")
            figures = f"{progress.step:,}/{progress.num_steps:,}  {loss}  {progress.tokens_per_second:,.0f} tok/s"
            self.bars.update(self.task_ids[name], completed=progress.step, figures=figures)
            self.bars.update(self.total, completed=self._runs_done(), figures=self._time_left())
        elif is_new_phase or time.monotonic() - self.line_times[name] > SECONDS_BETWEEN_LINES:
            self.line_times[name] = time.monotonic()
            self.console.print(
                f"{name}  step {progress.step:,}/{progress.num_steps:,}  {loss}  "
                f"{progress.tokens_per_second:,.0f} tok/s  all runs: {self._time_left()}",
                highlight=False,
                soft_wrap=True,
            )

    def notice(self, sentence: str) -> None:
        """Say something above the bars, quiet or not."""
        self.console.print(
            f"tiedlm: {printable(sentence)}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )

    def _runs_done(self) -> float:
        """In runs; one half done is half a run."""
        return sum(progress.step / progress.num_steps for progress in self.state.values())

    def _time_left(self) -> str:
        """From the pace so far; the evaluation at the end of a run is not foreseen."""
        elapsed, done = time.monotonic() - self.started, self._runs_done()
        if done >= self.num_runs:
            return "evaluating"
        if elapsed < SECONDS_BEFORE_ESTIMATE:
            return "estimating the time"
        done_here = done - sum(self.steps_before[name] / run.num_steps for name, run in self.state.items())
        left = datetime.timedelta(seconds=round(elapsed * (self.num_runs - done) / done_here))
        return f"{left} left"

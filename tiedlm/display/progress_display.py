"""Progress of several runs: bars in a terminal or a notebook, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import datetime
import importlib.util
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from tiedlm.display.plan_lines import duration, note_lines, plan_lines, time_lines
from tiedlm.errors import printable
from tiedlm.execution.listener import Listener
from tiedlm.execution.pace import Pace
from tiedlm.record.run_id import RunId
from tiedlm.reporting.wording import percent_more
from tiedlm.training.progress import Progress

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan
    from tiedlm.record.run_record import RunRecord

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BEFORE_ESTIMATE = 5.0
LINES_OF_A_FETCH = 4  # where there is no terminal
CellRun = tuple[str, RunId]


BAR_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(bar_width=None),
    TextColumn("{task.fields[figures]}", justify="right"),
)


class NarrowBars(Bars):
    """Bars that leave room for the `^C` that a terminal writes after them; else it begins a line, and one bar stays."""

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        self.terminal = console  # the library draws before it knows its own
        super().__init__(*columns, console=console, expand=True, transient=True)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """A row a task."""
        table = super().make_tasks_table(tasks)
        table.width = self.terminal.width - 3
        return table


def shows_bars(console: Console) -> bool:
    """Whether lines may change there: in a terminal, and in a notebook that has ipywidgets."""
    return console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


class ProgressDisplay(Listener):
    """Shows step, loss and tokens/s of each run, and when the whole will be done.

    In a notebook or a script: `compare("ptb-quick", options=RunOptions(listener=ProgressDisplay()))`. Bars show it in a
    terminal, and in a notebook with ipywidgets; lines do elsewhere. By default it shows on stderr, or in the notebook.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or (Console() if Console().is_jupyter else Console(stderr=True))
        self.quiet = quiet
        self.plan: Plan | None = None
        self.noted: set[str] = set()  # of this plan and of those before it
        self.finished: dict[CellRun, RunRecord] = {}
        self.noticed: set[str] = set()
        self.state: dict[CellRun, Progress] = {}
        self.steps_before: dict[CellRun, int] = {}  # of a run that goes on, made by another process
        self.task_ids: dict[CellRun, TaskID] = {}
        self.line_times: dict[CellRun, float] = {}
        self.shows_bars = shows_bars(self.console) and not quiet
        self.fetching: NarrowBars | None = None
        self.fetched_part = 0

    def announce(self, experiment: str, corpus: str) -> None:
        """The first line, before text is read and torch is loaded, which take longer."""
        if not self.quiet:
            self._say(f"{experiment}: reading corpus {corpus}")

    def tell(self, sentence: str) -> None:
        """Say news, unless quiet."""
        if not self.quiet:
            self._say(sentence)

    def fetched(self, num_bytes: int, total_bytes: int) -> None:
        """Show how much of a download is here: a bar, or some lines."""
        if self.quiet or not total_bytes:
            return
        figures = f"{num_bytes / 1e6:,.1f} of {total_bytes / 1e6:,.1f} MB"
        if self.shows_bars:
            if self.fetching is None:
                self.fetching = NarrowBars(*BAR_COLUMNS, console=self.console)
                self.fetching.start()
                self.fetching.add_task("fetching", total=total_bytes, figures="")
            self.fetching.update(self.fetching.task_ids[0], completed=num_bytes, total=total_bytes, figures=figures)
        else:
            part = LINES_OF_A_FETCH * num_bytes // total_bytes
            if part > self.fetched_part:
                self._say(f"  {figures}")
            self.fetched_part = part % LINES_OF_A_FETCH

    def end_of_fetch(self) -> None:
        """Take the bar away."""
        if self.fetching is not None:
            self.fetching.stop()
            self.fetching = None

    def begin(self, plan: Plan) -> None:
        """Say what is about to be done, and start the bars."""
        self.plan, self.pace, self.num_runs = plan, Pace(plan), len(plan.to_train)
        self.state, self.steps_before, self.finished = {}, {}, {}
        if not self.quiet:
            self._say(*plan_lines(plan))
            self._say(*(line for line in note_lines(plan) if line not in self.noted), style="yellow")
            self.noted.update(note_lines(plan))
        if self.shows_bars:
            self.bars = NarrowBars(*BAR_COLUMNS, console=self.console)
            self.bars.start()
            self.total = self.bars.add_task("all runs", total=self.num_runs, figures="starting")

    def end(self) -> None:
        """Take the bars away."""
        if self.shows_bars:
            self.bars.stop()

    def update(self, progress: Progress) -> None:
        """Take one run's news."""
        run = (self.cell, progress.run)
        if not self.state:
            self.started = time.monotonic()  # of the first step: loading torch and text says nothing of the pace
        is_new_phase = run not in self.state or self.state[run].phase != progress.phase
        self.state[run] = progress
        self.steps_before.setdefault(run, progress.step - 1)
        if self.quiet:
            return
        self._estimate(progress)
        is_training = progress.phase == "training"
        loss = f"loss {progress.loss_nats:.3f}" if is_training else progress.phase
        if self.shows_bars:
            if run not in self.task_ids:
                self.task_ids[run] = self.bars.add_task(self._name(progress.run), total=1.0, figures="")
            figures = f"{progress.step:,}/{progress.num_steps:,}  {loss}  {progress.tokens_per_second:,.0f} tok/s"
            done = progress.step / progress.num_steps if is_training else progress.evaluated
            figures = figures if is_training else f"{progress.phase}  {progress.evaluated:.0%}"
            self.bars.update(self.task_ids[run], completed=done, figures=figures)
            self.bars.update(self.total, completed=self._runs_done(), figures=self._time_left())
        elif is_new_phase or time.monotonic() - self.line_times[run] > SECONDS_BETWEEN_LINES:
            self.line_times[run] = time.monotonic()
            self.console.print(
                f"{self._name(progress.run)}  step {progress.step:,}/{progress.num_steps:,}  {loss}  "
                f"{progress.tokens_per_second:,.0f} tok/s  all runs: {self._time_left()}",
                highlight=False,
                soft_wrap=True,
            )

    def finish(self, record: RunRecord) -> None:
        """Once all arms of a seed have their records, say how they differ; one seed decides nothing."""
        assert self.plan is not None
        of_cell = (self.cell, record.run)
        self.finished[of_cell] = record
        if of_cell in self.task_ids:
            self.bars.remove_task(self.task_ids.pop(of_cell))
        if not self.quiet:
            perplexity, seconds = record.metrics["valid"].masked_lm_perplexity, record.cost.total_seconds
            self._say(f"{self._name(record.run)}: {perplexity:,.1f} on valid, in {duration(seconds)}")
        first, *others = self.plan.parameters
        runs = {arm: (self.cell, RunId(arm, record.seed)) for arm in (first, *others)}
        if self.quiet or not self.finished.keys() >= set(runs.values()):
            return
        losses = {arm: self.finished[run].metrics["valid"].masked_lm_loss_nats for arm, run in runs.items()}
        differences = ", ".join(f"{arm} {percent_more(losses[arm] - losses[first])} %" for arm in others)
        num_seeds = len({run.seed for run in (*self.plan.to_train, *self.plan.already_there)})
        is_last = len(self.finished) >= len(self.plan.to_train)
        wait = "" if num_seeds == 1 or is_last else f"; no verdict before {num_seeds} seeds"
        if others:
            cell = f"{self.cell}: " if self.cell else ""
            self._say(f"{cell}seed {record.seed}: {differences} perplexity on valid{wait}")

    def notice(self, sentence: str) -> None:
        """Say something above the bars, quiet or not; what was said is not said again."""
        if sentence not in self.noticed:
            self.noticed.add(sentence)
            self._say(f"tiedlm: {sentence}", style="yellow")

    def _estimate(self, progress: Progress) -> None:
        """Say once, when the first steps of all that go were timed, how long the whole takes."""
        assert self.plan is not None
        if not self.pace.is_known and not self.finished and self.plan.num_cells is None:
            self.pace.update(progress)
            if self.pace.is_known:
                self._say(*time_lines(self.plan.timed(self.pace.tokens_per_second)))

    def _say(self, *lines: str, style: str | None = None) -> None:
        if not lines:
            return
        text = "\n".join(map(printable, lines))  # at once: a notebook puts every print apart
        # In a log a sentence is a line; a terminal shall not break its words, and a notebook scrolls what is longer.
        whole = not (self.console.is_terminal or self.console.is_jupyter)
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=whole)

    def _name(self, run: RunId) -> str:
        """With its cell, where there are several."""
        return f"{self.cell}: {run}" if self.cell else str(run)

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
        done_here = done - sum(self.steps_before[run] / progress.num_steps for run, progress in self.state.items())
        left = datetime.timedelta(seconds=round(elapsed * (self.num_runs - done) / done_here))
        return f"{left} left"


class PhaseDisplay:
    """Shows one thing after another that is done: a bar in a terminal, a line each elsewhere, nothing when quiet."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console, self.quiet, self.phase = console, quiet, ""
        self.bars = NarrowBars(*BAR_COLUMNS, console=console) if shows_bars(console) and not quiet else None

    def __enter__(self) -> PhaseDisplay:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars is not None:
            self.bars.stop()

    def update(self, phase: str, done: float) -> None:
        """What is done now, and its share."""
        is_new, self.phase = phase != self.phase, phase
        if self.bars is not None:
            for task in self.bars.task_ids if is_new else ():
                self.bars.remove_task(task)
            task = self.bars.add_task(phase, total=1.0, figures="") if is_new else self.bars.task_ids[0]
            self.bars.update(task, completed=done, figures=f"{done:.0%}")
        elif is_new and not self.quiet:
            self.console.print(phase, highlight=False, markup=False, soft_wrap=True)

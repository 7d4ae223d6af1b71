"""Who hears of runs while they are made: the hook for progress and for trackers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tiedlm.data.sources.watcher import Watcher

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan
    from tiedlm.record.curve_point import CurvePoint
    from tiedlm.record.run_id import RunId
    from tiedlm.record.run_record import RunRecord
    from tiedlm.training.progress import Progress


class Listener(Watcher):
    """Hears of text and of runs while they are made: the hook for trackers, which override what they need.

    All methods are called in the process that calls `train` or `compare`, one after the other, whatever runs side by
    side; what one raises stops the runs after the step under way, which are saved. This class logs what a user must
    know, and shows no progress. For Weights & Biases, e.g.:

        class WandbListener(Listener):
            def __init__(self):
                self.runs = {}

            def update(self, progress):
                if progress.phase == "training":
                    self.tracked(progress.run).log({"loss": progress.loss_nats}, step=progress.step)

            def evaluated(self, run, point):
                self.tracked(run).log({"valid loss": point.valid_loss_nats}, step=point.step)

            def finish(self, record):
                self.tracked(record.run).finish()

            def tracked(self, run):
                if run not in self.runs:
                    self.runs[run] = wandb.init(project="tiedlm", name=str(run), reinit="create_new")
                return self.runs[run]

        compare("ptb-quick", options=RunOptions(listener=WandbListener()))
    """

    cell = ""
    """The cell, of a scan or a tuning, of the run that is told of; empty where there are none."""

    def begin(self, plan: Plan) -> None:
        """These runs are to be made now, and those of all cells together; `--tune` has another plan afterwards."""

    def turn_to(self, cell: str) -> None:
        """What follows is of a run of this cell: the folder's name below `plan.out`, or empty."""
        self.cell = cell

    def update(self, progress: Progress) -> None:
        """A step of one run is done, or, in the phase `evaluating SPLIT`, a part of its evaluation."""

    def evaluated(self, run: RunId, point: CurvePoint) -> None:
        """One run has a new point of its learning curve, before its first step or after the last one told."""

    def finish(self, record: RunRecord) -> None:
        """A run has ended, and its record is written."""

    def tell(self, sentence: str) -> None:
        """News, e.g. what is fetched now."""
        logging.getLogger("tiedlm").info(sentence)

    def notice(self, sentence: str) -> None:
        """Something that a user must know, e.g. that a damaged checkpoint is not used."""
        logging.getLogger("tiedlm").warning(sentence)

    def end(self) -> None:
        """No run is left, or all were stopped."""


class Listeners(Listener):
    """Several that hear of runs; of text and of what is said in words the first hears alone."""

    def __init__(self, first: Listener, *others: Listener) -> None:
        self.first, self.all = first, (first, *others)
        self.shows_bars = first.shows_bars
        self.tell, self.notice = first.tell, first.notice  # type: ignore[method-assign]
        self.fetched, self.end_of_fetch = first.fetched, first.end_of_fetch  # type: ignore[method-assign]

    def begin(self, plan: Plan) -> None:
        """These runs are to be made now."""
        for listener in self.all:
            listener.begin(plan)

    def turn_to(self, cell: str) -> None:
        """What follows is of a run of this cell."""
        for listener in self.all:
            listener.turn_to(cell)

    def update(self, progress: Progress) -> None:
        """A step of one run is done."""
        for listener in self.all:
            listener.update(progress)

    def evaluated(self, run: RunId, point: CurvePoint) -> None:
        """One run has a new point of its learning curve."""
        for listener in self.all:
            listener.evaluated(run, point)

    def finish(self, record: RunRecord) -> None:
        """A run has ended."""
        for listener in self.all:
            listener.finish(record)

    def end(self) -> None:
        """No run is left."""
        for listener in self.all:
            listener.end()

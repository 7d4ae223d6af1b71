"""Every step of every run as scalars for TensorBoard, a folder a run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.errors import InputError
from tiedlm.execution.listener import Listener

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from tiedlm.execution.plan import Plan
    from tiedlm.record.curve_point import CurvePoint
    from tiedlm.record.run_id import RunId
    from tiedlm.record.run_record import RunRecord
    from tiedlm.training.progress import Progress


class TensorBoard(Listener):
    """Writes what runs tell to `FOLDER/ARM-seedN`; for the cells of a scan or a tuning to `FOLDER/CELL/ARM-seedN`."""

    def __init__(self, folder: Path, out: Path) -> None:
        """`out` is the folder of the command's records, below which those of cells lie.

        Raises:
            InputError: the extra is not installed, or the folder cannot be made.
        """
        if importlib.util.find_spec("tensorboard") is None:
            raise InputError("--tensorboard needs a package that is not here; pip install 'tiedlm[tensorboard]'")
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise InputError(f"--tensorboard {folder}: no folder can be made there; choose another")
        self.folder, self.out = folder, out
        self.writers: dict[tuple[str, RunId], SummaryWriter] = {}

    def begin(self, plan: Plan) -> None:
        """Know whether the plan is of a tuning."""
        self.place = self.folder / Path(plan.out).relative_to(self.out)

    def update(self, progress: Progress) -> None:
        """The scalars of a step; evaluations at the end are in the record."""
        if progress.phase == "training":
            writer = self._writer(progress.run, progress.step)
            for name in ("loss_nats", "learning_rate", "tokens_per_second"):
                writer.add_scalar(name, getattr(progress, name), progress.step)

    def evaluated(self, run: RunId, point: CurvePoint) -> None:
        """The scalars of a point of the learning curve."""
        writer = self._writer(run, point.step)
        for name in ("train_loss_nats", "valid_loss_nats"):
            writer.add_scalar(name, getattr(point, name), point.step)

    def finish(self, record: RunRecord) -> None:
        """Close the run's file."""
        writer = self.writers.pop((self.cell, record.run), None)
        if writer is not None:
            writer.close()

    def end(self) -> None:
        """Close the files of runs that were stopped or failed."""
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()

    def _writer(self, run: RunId, step: int) -> SummaryWriter:
        """The run's file; steps from this one on that an interrupted command wrote are hidden, as they come again."""
        if (self.cell, run) not in self.writers:
            from torch.utils.tensorboard import SummaryWriter  # here, since it imports torch

            place = self.place / self.cell / run.stem
            self.writers[self.cell, run] = SummaryWriter(str(place), purge_step=step)
        return self.writers[self.cell, run]

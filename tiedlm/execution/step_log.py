"""Every step of every run as a line of JSON, for whoever watches or plots by other means.

A line is a `StepLine` or a `CurveLine`, and names its run by the folder of its record, arm and seed.
A run that goes on, or begins again, replaces the lines of the steps that it makes again, so that none is there twice;
one that was just being told when the command was stopped may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from tiedlm.atomic_file import replacement
from tiedlm.errors import InputError
from tiedlm.execution.listener import Listener
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan
    from tiedlm.record.curve_point import CurvePoint
    from tiedlm.training.progress import Progress

Run = tuple[str, RunId]
LINE_BEGINS = (b'{"schema_version": 1, "out": "', b'{"out": "')  # the second before lines had a version
MAX_LINE_BYTES = 1 << 16


@dataclass(frozen=True)
class StepLine:
    """Of a step."""

    schema_version: Literal[1] = field(default=1, init=False)
    out: str
    """The folder of the run's record."""
    arm: str
    seed: int
    step: int
    num_tokens: int
    """So far, in all steps; the rest is of this step."""
    loss_nats: float
    learning_rate: float
    tokens_per_second: float


@dataclass(frozen=True)
class CurveLine:
    """Of a point of the learning curve."""

    schema_version: Literal[1] = field(default=1, init=False)
    out: str
    arm: str
    seed: int
    step: int
    num_tokens: int
    """The same as of a step; the losses are those of the record."""
    train_loss_nats: float
    valid_loss_nats: float


class StepLog(Listener):
    """Appends to a file what runs tell."""

    def __init__(self, path: Path) -> None:
        """Read what the file has, if it is there.

        Raises:
            InputError: it is no such log, or no file can be there.
        """
        self.path = path
        self.file: TextIO | None = None
        self.begun: set[Run] = set()
        if not path.parent.is_dir():
            raise InputError(f"--log {path}: the folder {path.parent} does not exist; make it, or choose another file")
        if path.exists() and not path.is_file():
            raise InputError(f"--log {path}: is no regular file; choose another")
        self.last_steps: dict[Run, int] = {}
        try:
            for _, run, step in self._lines():
                self.last_steps[run] = max(step, self.last_steps.get(run, 0))
        except OSError as error:
            raise InputError(f"--log {path}: cannot be read ({error.strerror}); choose another file") from error

    def begin(self, plan: Plan) -> None:
        """Open the file, without the half of a line that a killed command may have left.

        Raises:
            InputError: it cannot be written.
        """
        self.out, self.begun = plan.out, set()
        try:
            self._open()
        except OSError as error:
            raise InputError(f"--log {self.path}: cannot be written ({error.strerror}); choose another file") from error

    def update(self, progress: Progress) -> None:
        """A line of a step; evaluations at the end are in the record."""
        if progress.phase == "training":
            line = StepLine(
                out=self._place,
                arm=progress.run.arm,
                seed=progress.run.seed,
                step=progress.step,
                num_tokens=progress.num_tokens,
                loss_nats=progress.loss_nats,
                learning_rate=progress.learning_rate,
                tokens_per_second=progress.tokens_per_second,
            )
            self._write(progress.run, line)

    def evaluated(self, run: RunId, point: CurvePoint) -> None:
        """A line of a point of the learning curve."""
        line = CurveLine(
            out=self._place,
            arm=run.arm,
            seed=run.seed,
            step=point.step,
            num_tokens=point.num_tokens,
            train_loss_nats=point.train_loss_nats,
            valid_loss_nats=point.valid_loss_nats,
        )
        self._write(run, line)

    def end(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None

    @property
    def _place(self) -> str:
        return str(Path(self.out, self.cell))

    def _write(self, run: RunId, line: StepLine | CurveLine) -> None:
        assert self.file is not None
        of_folder, step = (line.out, run), line.step
        if of_folder not in self.begun:
            self.begun.add(of_folder)
            if step <= self.last_steps.get(of_folder, -1):
                self.file.close()
                self._open(of_folder, step)
        self.last_steps[of_folder] = step
        self.file.write(json.dumps(asdict(line)) + "\n")

    def _open(self, again: Run | None = None, from_step: int = 0) -> None:
        """For appending, without the steps that a run makes again."""
        kept = [line for line, run, step in self._lines() if run != again or step < from_step]
        if self.path.exists() and sum(map(len, kept)) != self.path.stat().st_size:
            with replacement(self.path.resolve()) as temporary:
                temporary.write_bytes(b"".join(kept))
        self.file = self.path.open("a", encoding="utf-8", buffering=1)  # a line at a time

    def _lines(self) -> Iterator[tuple[bytes, Run, int]]:
        """Each whole line of the file, and which step of which run it is of."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
                try:
                    if not line.endswith(b"\n") and _is_half(line, number == 1):  # of a command that was killed
                        return
                    run, step = _read_line(line)
                except (ValueError, RecursionError) as error:
                    raise InputError(
                        f"--log {self.path}: line {number} is no step of a run; choose another file"
                    ) from error
                yield line.rstrip(b"\n") + b"\n", run, step


def _read_line(line: bytes) -> tuple[Run, int]:
    """Which step of which run a line is of.

    Raises:
        ValueError: it is of none.
    """
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("no object")
    out, arm, seed, step = (found.get(name) for name in ("out", "arm", "seed", "step"))
    if not (isinstance(out, str) and isinstance(arm, str) and type(seed) is int and type(step) is int):
        raise ValueError("no run or no step")
    return (out, RunId(arm, seed)), step


def _is_half(line: bytes, is_first: bool) -> bool:
    """Whether it is the beginning of a line of ours; the first must show more of it, lest it be somebody else's."""
    try:
        json.loads(line)
    except ValueError:
        is_short = not is_first and any(beginning.startswith(line) for beginning in LINE_BEGINS)
        begins = line.startswith(LINE_BEGINS) or is_short
        return begins and len(line) < MAX_LINE_BYTES
    return False

"""Whoever watches runs hears every step once: a listener of one's own, the log of steps, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_progress import PLAN
from tests.conftest import toy_experiment
from tiedlm import compare
from tiedlm.errors import InputError
from tiedlm.execution.listener import Listener, Listeners
from tiedlm.execution.run_options import RunOptions
from tiedlm.execution.step_log import StepLog
from tiedlm.execution.tensorboard import TensorBoard
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.training.optim import schedule
from tiedlm.training.progress import Progress

NUM_STEPS = 12
POINT = CurvePoint(step=0, num_tokens=0, train_seconds=0.0, train_loss_nats=3.0, valid_loss_nats=3.1, gradients=None)


def progress(arm: str, step: int) -> Progress:
    """One step of a run."""
    return Progress(RunId(arm, 0), "training", step, 4_000, 64 * step, 3.0, 0.01, 1_000.0)


def lines(path: Path) -> list[dict[str, Any]]:
    """What a log holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def log_steps(path: Path, steps: range, out: str = "out") -> None:
    """A command that makes these steps of both arms, and is then gone."""
    log = StepLog(path)
    log.begin(replace(PLAN, out=out))
    if steps.start == 1:
        for arm in ("tied", "untied"):
            log.evaluated(RunId(arm, 0), POINT)
    for step in steps:
        for arm in ("tied", "untied"):
            log.update(progress(arm, step))
    log.end()


@pytest.mark.parametrize(
    "half", ['{"schema_version": 1, "out": "out", "arm": "tied", "se', '{"schema_v', '{"out": "out", "ar']
)
def test_steps_that_are_made_again_are_there_once(half: str, tmp_path: Path) -> None:
    """The command was killed after step 5, its last line half-written, and the run goes on from step 3."""
    path = tmp_path / "steps.jsonl"
    log_steps(path, range(1, 6), out="elsewhere")
    log_steps(path, range(1, 6))
    with path.open("a") as file:
        file.write(half)
    log_steps(path, range(4, 8))
    found = [line["step"] for line in lines(path) if (line["out"], line["arm"]) == ("out", "tied")]
    assert found == list(range(8))
    assert len([line for line in lines(path) if line["out"] == "elsewhere"]) == 2 * 6
    log_steps(path, range(1, 3))  # --no-resume
    assert [line["step"] for line in lines(path) if (line["out"], line["arm"]) == ("out", "untied")] == [0, 1, 2]


RUN = '{"schema_version": 1, "out": "a", "arm": "b", "seed": 0, "step": '


def test_a_last_line_without_its_newline_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    path.write_text(RUN + "1}")
    log_steps(path, range(1, 2))
    assert [line["out"] for line in lines(path)] == ["a", *["out"] * 4]


@pytest.mark.parametrize(
    "content",
    [
        *('{"step": 1}\n', "loss 3.0\n", "[]\n", '{"out": "a", "arm": "b", "seed": []}\n'),
        *("a note that ends without a newline", "{", '{"out": "a"}', '{"out": "' + "a" * 100_000, "[" * 50_000),
        *(f"{RUN}1e400}}\n", f"{RUN}Infinity}}\n", f"{RUN}true}}\n", "\0" * 200_000),
    ],
)
def test_a_file_that_is_no_log_is_refused_and_stays(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(content)
    with pytest.raises(InputError, match="line 1 is no step of a run; choose another file"):
        StepLog(path)
    assert path.read_text() == content


class Interrupting(Listener):
    """A tracker of one's own: it keeps what it hears, and stops all runs once."""

    def __init__(self) -> None:
        self.heard: dict[tuple[str, int], list[float]] = {}
        self.points: dict[str, list[CurvePoint]] = {"tied": [], "untied": []}
        self.finished: list[str] = []
        self.must_stop = True

    def update(self, progress: Progress) -> None:
        if progress.phase == "training":
            self.heard.setdefault((progress.run.arm, progress.step), []).append(progress.loss_nats)
            if self.must_stop and len(self.heard) > NUM_STEPS // 2:
                self.must_stop = False
                raise KeyboardInterrupt

    def evaluated(self, run: RunId, point: CurvePoint) -> None:
        assert run.seed == 0
        self.points[run.arm].append(point)

    def finish(self, record: RunRecord) -> None:
        self.finished.append(record.arm)


def scalars(folder: Path, name: str) -> Iterator[tuple[int, float]]:
    """What TensorBoard would draw of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    yield from ((event.step, event.value) for event in events.Scalars(name))


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning")  # of TensorBoard's own libraries
def test_every_step_is_heard_once_though_the_command_was_interrupted(corpus_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    changes = {"train.num_steps": NUM_STEPS, "train.num_evaluations": 3, "corpus.name": str(corpus_folder)}
    experiment = toy_experiment(**changes)
    mine, log, out = Interrupting(), tmp_path / "steps.jsonl", tmp_path / "out"

    def go() -> None:
        trackers = StepLog(log), TensorBoard(tmp_path / "board", out)
        options = RunOptions(precision="fp32", listener=Listeners(Listener(), *trackers, mine))
        compare(experiment, seeds=1, out=out, options=options)

    with pytest.raises(KeyboardInterrupt):
        go()
    go()
    assert sorted(mine.finished) == ["tied", "untied"]
    for arm in ("tied", "untied"):
        record = load_record(out / f"{arm}-seed0.json")
        of_arm = [line for line in lines(log) if line["arm"] == arm]
        steps = [line for line in of_arm if "loss_nats" in line]
        assert [line["step"] for line in steps] == list(range(1, NUM_STEPS + 1))
        for line in steps:
            step = line["step"]
            assert mine.heard[arm, step] == [line["loss_nats"]]
            assert line["learning_rate"] == pytest.approx(0.01 * schedule(step - 1, NUM_STEPS, 0.2))
            assert line["num_tokens"] == 4 * 16 * step
            assert line["tokens_per_second"] > 0
        points = [(line["step"], line["valid_loss_nats"]) for line in of_arm if "valid_loss_nats" in line]
        assert points == [(point.step, point.valid_loss_nats) for point in record.curve]
        assert mine.points[arm] == record.curve
        drawn = dict(scalars(tmp_path / "board" / f"{arm}-seed0", "loss_nats"))
        assert drawn == {line["step"]: pytest.approx(line["loss_nats"]) for line in steps}
        assert [step for step, _ in scalars(tmp_path / "board" / f"{arm}-seed0", "valid_loss_nats")] == [0, 4, 8, 12]

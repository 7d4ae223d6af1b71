"""The seam of an engine: a folder of runs knows of whoever makes them no more than `Executor` says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import toy_experiment
from tiedlm.api import run_folder
from tiedlm.api.run_folder import RunFolder
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.errors import RunsFailed
from tiedlm.execution.executor import Executor
from tiedlm.execution.job import Job
from tiedlm.execution.listener import Listener
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.training.run import train_run

RUNS = [RunId(arm, seed) for seed in (0, 1) for arm in ("tied", "untied")]


class InThisProcess:
    """Makes one run after the other here, and none of seed 1."""

    def run(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        failures = []
        for job in jobs:
            if job.run.seed:
                failures.append(f"{job.run}: is not made here")
                continue
            told = listener.update
            record = train_run(job.experiment, job.run, job.arm, job.corpus, job.runtime, job.out, job.command, told)
            listener.finish(record)
        return failures


def test_another_engine_makes_the_runs_of_a_folder(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Executor = InThisProcess()
    monkeypatch.setattr(run_folder, "make_executor", lambda *_: engine)
    finished: list[RunId] = []

    class Heard(Listener):
        def finish(self, record: object) -> None:
            finished.append(record.run)  # type: ignore[attr-defined]

    options = RunOptions(precision="fp32", listener=Heard())
    folder = RunFolder(toy_experiment(), tmp_path / "out", lambda: load_corpus(str(corpus_folder)), options)
    with pytest.raises(RunsFailed) as failed:
        folder.train_missing(RUNS)
    assert failed.value.failures == ["tied seed 1: is not made here", "untied seed 1: is not made here"]
    assert [record.run for record in load_records(tmp_path / "out")] == finished == RUNS[:2]
    folder.train_missing(RUNS[:2])  # they are there
    assert finished == RUNS[:2]


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_folder_goes_on_in_the_precision_of_its_records(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_bf16: bool
) -> None:
    """Made on a processor with bf16 or without: what this one has decides for an empty folder alone."""
    monkeypatch.setattr(run_folder, "make_executor", lambda *_: InThisProcess())
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has_bf16)

    def precision(out: str, options: RunOptions) -> str:
        text = load_corpus(str(corpus_folder))
        return RunFolder(toy_experiment(), tmp_path / out, lambda: text, options).plan(RUNS).precision

    options = RunOptions(precision="fp32")
    folder = RunFolder(toy_experiment(), tmp_path / "out", lambda: load_corpus(str(corpus_folder)), options)
    folder.train_missing(RUNS[:1])
    assert precision("out", RunOptions()) == "fp32"
    assert precision("other", RunOptions()) == ("bf16" if has_bf16 else "fp32")

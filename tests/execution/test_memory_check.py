"""What does not fit is refused with what would; the sums are those of the cost of each run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import toy_experiment
from tests.training.test_run import FP32, tokenized
from tiedlm.errors import InputError
from tiedlm.execution.job import Job
from tiedlm.execution.memory_check import check_memory
from tiedlm.processes.ranks import ALONE, Ranks
from tiedlm.record.run_id import RunId
from tiedlm.training.cost import ExpectedCost, expected_cost

BATCH = 8


@pytest.fixture
def job(corpus_folder: Path) -> Job:
    experiment = toy_experiment(**{"train.batch_size": BATCH})
    corpus = tokenized(experiment, corpus_folder)
    arm = experiment.arm_config("untied")
    return Job("toy", RunId("untied", 0), arm, corpus, FP32, Path("out"), "tiedlm train", 1, True, 60.0)


@pytest.fixture
def cost(job: Job) -> ExpectedCost:
    return expected_cost(job.arm.config, job.corpus)


def allow(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    monkeypatch.setattr("tiedlm.execution.memory_check.available_memory_bytes", lambda: num_bytes)


@pytest.mark.parametrize(
    ("ranks", "num_side_by_side", "micro_batch", "num_states", "num_blocks"),
    [
        (ALONE, 1, None, 1, BATCH),
        (ALONE, 1, 2, 1, 2),
        (ALONE, 3, None, 3, 3 * BATCH),
        (Ranks(0, 4, 4), 1, None, 4, BATCH),
        (Ranks(0, 4, 2), 1, None, 2, BATCH // 2),
        (Ranks(0, 2, 2), 1, 1, 2, 2),
    ],
)
def test_memory_that_just_suffices_is_enough_and_a_byte_less_is_not(
    job: Job,
    cost: ExpectedCost,
    ranks: Ranks,
    num_side_by_side: int,
    micro_batch: int | None,
    num_states: int,
    num_blocks: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [replace(job, micro_batch=micro_batch, run=RunId("untied", seed)) for seed in range(num_side_by_side)]
    needed = num_states * cost.state_bytes + cost.activation_bytes * num_blocks // BATCH
    allow(monkeypatch, needed)
    check_memory(jobs, num_side_by_side, ranks)
    allow(monkeypatch, needed - 1)
    with pytest.raises(InputError, match="need over"):
        check_memory(jobs, num_side_by_side, ranks)


def test_the_remedy_is_one_that_helps(job: Job, cost: ExpectedCost, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, cost.state_bytes + cost.activation_bytes - 1)
    with pytest.raises(InputError, match=r"lower --micro-batch, train\.batch_size or the model's sizes"):
        check_memory([job], 1, ALONE)
    with pytest.raises(InputError, match=r"lower --jobs, --micro-batch"):
        check_memory([job, job], 2, ALONE)
    with pytest.raises(InputError, match=r"2 ranks .* lower --micro-batch, the number of ranks"):
        check_memory([job], 1, Ranks(0, 2, 2))
    allow(monkeypatch, cost.state_bytes - 1)
    with pytest.raises(InputError, match="does not split a model over devices"):
        check_memory([job], 1, ALONE)

"""Several processes on one run, and a batch in parts, give what one process gives with the whole batch."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import HANG_SECONDS, toy_experiment, train_arm, write_toy_corpus
from tests.training.test_arms import learned
from tests.training.test_run import FP32, outcome, run_toy, tokenized
from tiedlm.config.experiment import Experiment
from tiedlm.config.experiment_file import read_experiment
from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.dropout import RowShare, dropout, rows_of_batch
from tiedlm.processes.ranks import Ranks
from tiedlm.record.record_file import load_record
from tiedlm.record.run_record import RunRecord
from tiedlm.training.parts import Division

ARMS: dict[str, Any] = {
    "tied-permuted": {"model": {"tie_word_embeddings": True}, "intervention": {"output_rows": "band:0"}},
    "tied-then-untied": {"model": {"tie_word_embeddings": True}, "intervention": {"tied_fraction": 0.5}},
    "pulled": {"model": {"tie_word_embeddings": False}, "intervention": {"pull": 0.01}},
}
FILE = """
name = "ranks"
seeds = 1
[model]
encoder = "modernbert"
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 48
max_position_embeddings = 32
hidden_dropout_prob = 0.1
attention_probs_dropout_prob = 0.1
initializer_range = 0.02
rope_theta = 1000.0
tie_word_embeddings = true
head_transform = true
[corpus]
name = "corpus"
tokenizer = "word"
seq_length = 16
fraction = 1.0
[train]
num_steps = 8
batch_size = 5
mlm_probability = 0.3
learning_rate = 1e-2
norm_and_bias_learning_rate = 1e-2
muon_learning_rate = 0.02
adam_beta1 = 0.9
adam_beta2 = 0.98
adam_epsilon = 1e-6
weight_decay = 0.1
warmup_fraction = 0.2
max_grad_norm = 1.0
num_evaluations = 4
eval_mask_seed = 0
[arms.tied-permuted.model]
tie_word_embeddings = true
[arms.tied-permuted.intervention]
output_rows = "band:0"
[arms.tied-then-untied.model]
tie_word_embeddings = true
[arms.tied-then-untied.intervention]
tied_fraction = 0.5
"""
LONGER = ("--steps", "60")
TOLERANCE = 1e-5  # of a loss in nats, in fp32


def with_dropout(encoder: str = "modernbert") -> Experiment:
    return toy_experiment(
        arms=ARMS,
        **{
            "model.encoder": encoder,
            "model.hidden_dropout_prob": 0.1,
            "model.attention_probs_dropout_prob": 0.1,
            "train.adam_epsilon": 1e-6,
        },
    )


def losses(record: RunRecord) -> list[float]:
    """Of every point of the curve, and of both splits at the end."""
    curve = [loss for point in record.curve for loss in (point.train_loss_nats, point.valid_loss_nats)]
    return curve + [record.metrics[split].masked_lm_loss_nats for split in ("valid", "test")]


@pytest.mark.parametrize("micro_batch", [1, 3])
@pytest.mark.parametrize("arm", ["tied", "untied", *ARMS])
def test_a_batch_in_parts_gives_the_whole_batch_s_run(
    arm: str, micro_batch: int, corpus_folder: Path, tmp_path: Path
) -> None:
    experiment = with_dropout("bert" if arm == "untied" else "modernbert")
    whole = run_toy(experiment, corpus_folder, tmp_path / "whole", arm)
    corpus = tokenized(experiment, corpus_folder)
    in_parts = train_arm(
        experiment, arm, 0, corpus, FP32, tmp_path, "tiedlm train", lambda _: None, micro_batch=micro_batch
    )
    assert losses(in_parts) == pytest.approx(losses(whole), abs=TOLERANCE)
    assert in_parts.pairing == whole.pairing
    assert losses(in_parts) != losses(whole)  # else nothing was divided


def test_one_part_that_is_all_of_the_batch_is_bit_for_bit_the_whole(corpus_folder: Path, tmp_path: Path) -> None:
    experiment = with_dropout()
    whole = run_toy(experiment, corpus_folder, tmp_path / "whole")
    corpus = tokenized(experiment, corpus_folder)
    again = train_arm(experiment, "tied", 0, corpus, FP32, tmp_path, "tiedlm train", lambda _: None, micro_batch=4)
    assert outcome(again) == outcome(whole)


def test_dropout_of_a_part_has_the_zeros_of_the_whole() -> None:
    ones = torch.ones(6, 4, 8)
    torch.manual_seed(0)
    whole = torch.nn.functional.dropout(ones, 0.3)
    for rows in (slice(0, 2), slice(2, 6)):
        torch.manual_seed(0)
        with rows_of_batch(RowShare(rows, 6)):
            assert dropout(ones[rows], 0.3).equal(whole[rows])


@pytest.mark.parametrize(("number", "micro_batch"), [(1, None), (2, None), (4, None), (3, 2), (1, 2)])
def test_every_row_is_of_one_part(number: int, micro_batch: int | None) -> None:
    ids = torch.arange(7).unsqueeze(1)
    batch = MaskedBatch(ids, ids, ids, ids.float())
    found = [
        part.input_ids for rank in range(number) for part, _ in Division(Ranks(rank, number), micro_batch).parts(batch)
    ]
    assert torch.cat(found).equal(ids)
    assert max(map(len, found)) <= (micro_batch or 7)


def torchrun(folder: Path, number: int, arm: str, out: str, *options: str) -> subprocess.Popen[str]:
    """`torchrun … -m tiedlm train`, as a user gives it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "TORCH"))}
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)),
        *("-m", "tiedlm", "train", "ranks.toml", "--arm", arm),
        *("--precision", "fp32", "--out", out, "--quiet", *options),
    ]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def with_text(folder: Path) -> Path:
    """A folder with the experiment and its text."""
    write_toy_corpus(folder / "corpus")
    (folder / "ranks.toml").write_text(FILE)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_text(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """The run of two ranks that nothing stops."""
    folder = with_text(tmp_path_factory.mktemp("undisturbed"))
    process = torchrun(folder, 2, "tied", "alone", *LONGER)
    output = process.communicate(timeout=HANG_SECONDS)[0]
    assert process.returncode == 0, output
    return record_of(folder, "alone", "tied")


def record_of(folder: Path, out: str, arm: str) -> RunRecord:
    return load_record(folder / out / f"{arm}-seed0.json")


SOME_RANKS = [("untied", 4, 1), ("tied-permuted", 2, 1), ("tied-then-untied", 2, None)]
ALL_RANKS = list(itertools.product(("tied", "untied", "tied-permuted", "tied-then-untied"), (2, 4), (1, None)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "number", "micro_batch"), ALL_RANKS if os.environ.get("TIEDLM_ALL_RANKS") else SOME_RANKS
)
def test_the_number_of_ranks_changes_rounding_alone(
    arm: str, number: int, micro_batch: int | None, folder: Path
) -> None:
    """Of some arms and numbers, or of all with `TIEDLM_ALL_RANKS=1`."""
    experiment = read_experiment(folder / "ranks.toml")
    one = run_toy(experiment, folder / "corpus", folder / "alone", arm)
    in_parts = [] if micro_batch is None else ["--micro-batch", str(micro_batch)]
    process = torchrun(folder, number, arm, "together", *in_parts)
    output = process.communicate(timeout=HANG_SECONDS)[0]
    assert process.returncode == 0, output
    several = record_of(folder, "together", arm)
    assert losses(several) == pytest.approx(losses(one), abs=TOLERANCE)
    assert several.pairing == one.pairing
    assert several.parameters == one.parameters
    assert (one.provenance.num_ranks, several.provenance.num_ranks) == (1, number)
    assert output.count("record:") == 1, output  # one rank tells
    assert {path.name for path in (folder / "together").glob(f"{arm}*")} == {one.run.record_file, one.run.model_file}


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [True, False])
def test_a_run_whose_ranks_have_ended_goes_on_from_its_checkpoint(
    is_killed: bool, folder: Path, undisturbed: RunRecord
) -> None:
    """One rank is killed, or all are told to stop; the same command then ends as if nothing had been."""
    first = torchrun(folder, 2, "tied", "together", "--save-every", "0", *LONGER)
    checkpoint = folder / "together/checkpoints/tied-seed0.safetensors"
    while not checkpoint.exists() and first.poll() is None:
        time.sleep(0.05)
    if is_killed:
        ranks = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(ranks[-1]), signal.SIGKILL)
    else:
        first.terminate()
    output = first.communicate(timeout=HANG_SECONDS)[0]
    assert first.returncode != 0, output
    assert checkpoint.exists(), output
    assert not (folder / "together/tied-seed0.json").exists()
    # Where one rank is gone, torchrun tells the others to stop; which of the two a rank sees first is chance.
    told = ["another rank has ended", "tiedlm: interrupted"] if is_killed else ["is saved; the same command goes on"]
    assert any(words in output for words in told), output
    second = torchrun(folder, 2, "tied", "together", *LONGER)
    output = second.communicate(timeout=HANG_SECONDS)[0]
    assert second.returncode == 0, output
    assert learned(record_of(folder, "together", "tied")) == learned(undisturbed)


@pytest.mark.slow
def test_a_comparison_is_not_for_torchrun(folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "tiedlm", "compare", "ranks.toml", "--out", "out"),
    ]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert found.returncode != 0
    assert "give tiedlm train" in found.stderr
    assert not list(folder.glob("out/*.json"))

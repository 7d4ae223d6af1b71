"""Runs that are gone on with, or looked at, by the folder in which they lie: their text is found again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_bad_input import CACHE, GOOD, TEXT, TINY, assert_refused, run_tiedlm, write
from tests.conftest import HANG_SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seed of both arms, on a text that is named relative to this folder."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder, GOOD)
    answer = run_tiedlm(folder, f"compare --corpus corpus {TINY} --seeds 1 --out out --quiet")
    assert answer.returncode == 0, answer.stderr
    return folder


def test_a_folder_of_runs_is_no_model_and_the_answer_names_one(trained: Path) -> None:
    assert_refused(
        trained, "evaluate out", "is a folder of runs, 2 of them", "e.g. out/tied-seed0.safetensors", "--pairs"
    )


@pytest.mark.parametrize("command", ["evaluate {}/tied-seed0.safetensors", "compare {} --seeds 2"])
def test_a_text_that_is_named_relative_to_another_folder_is_said_to_be(
    trained: Path, tmp_path: Path, command: str
) -> None:
    command = command.format(trained / "out")
    assert_refused(
        tmp_path, command, "corpus 'corpus' is not here", "relative to the folder in which", "give the command there"
    )


def test_such_a_text_can_be_named_for_evaluation(trained: Path, tmp_path: Path) -> None:
    answer = run_tiedlm(tmp_path, f"evaluate {trained}/out/tied-seed0.safetensors --corpus {trained}/corpus")
    assert answer.returncode == 0, answer.stderr


ROWS = "".join(f"title {number},{TEXT.decode().splitlines()[0]} on day {number}\n" for number in range(300))
HEADERS = {"unclear.csv": "title,body\n", "with-text.csv": "text,body\n"}


@pytest.mark.parametrize("name", HEADERS)
def test_the_column_of_the_text_is_found_again(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: (HEADERS[name] + ROWS).encode()})
    first = run_tiedlm(tmp_path, f"compare --corpus {name} --text-column body {TINY} --seeds 1 --out out --quiet")
    assert first.returncode == 0, first.stderr
    for command in ("compare out --seeds 2 --quiet", "evaluate out/tied-seed1.safetensors"):
        answer = run_tiedlm(tmp_path, command)
        assert answer.returncode == 0, answer.stderr


def test_a_text_of_which_no_column_is_as_it_was_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"my.csv": (HEADERS["unclear.csv"] + ROWS).encode()})
    train = run_tiedlm(tmp_path, f"train --tied --corpus my.csv --text-column body {TINY} --out out --quiet")
    assert train.returncode == 0, train.stderr
    write(tmp_path, {"my.csv": (HEADERS["unclear.csv"] + ROWS * 2).encode()})
    assert_refused(tmp_path, "compare out", "none is clearly the text", "name it by --text-column")


def test_a_folder_without_a_record_is_gone_on_with_by_its_checkpoints(tmp_path: Path) -> None:
    """The third arm is what it was, though no record says in what it differs."""
    write(tmp_path, GOOD)
    late = "--set arms.late.model.tie_word_embeddings=true --set arms.late.train.learning_rate=2e-3"
    many = TINY.replace("--steps 2", "--steps 200")
    begin(tmp_path, f"compare --corpus corpus {many} {late} --seeds 1 --jobs 3 --save-every 0 --out out", "late")
    assert not list(tmp_path.glob("out/*-seed*.json"))
    assert run_tiedlm(tmp_path, "compare out --quiet").returncode == 0
    command = f"compare --corpus corpus {many} {late} --seeds 1 --out out"
    again = run_tiedlm(tmp_path, command)
    assert "nothing was trained" in again.stderr


def test_a_folder_without_a_checkpoint_says_so(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    shutil.copy(trained / "out" / "plan.json", tmp_path / "out")
    assert_refused(tmp_path, "compare out", "out: was interrupted before a run had a checkpoint", "give the command")


def begin(folder: Path, arguments: str, arm: str) -> None:
    """Begin a command, and interrupt it once this arm has a checkpoint."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / CACHE), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "tiedlm", *arguments.split()]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    ends = time.monotonic() + HANG_SECONDS
    while not (folder / f"out/checkpoints/{arm}-seed0.safetensors").exists() and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    told = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM, told

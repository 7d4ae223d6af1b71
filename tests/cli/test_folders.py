"""Where runs go when no folder is given."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_bad_input import CACHE, GOOD, TINY, run_tiedlm, write
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow
TOY = f"--corpus corpus {TINY}"


def git(folder: Path, *arguments: str) -> str:
    """What git answers in a folder, without anybody's settings."""
    identity = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    finished = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return finished.stdout


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("compare --seeds 1", "runs/corpus"),
        ("train --tied", "runs/corpus"),
        ("compare --seeds 1 --scan train.batch_size=2,4", "runs/corpus-scan"),
    ],
)
def test_without_out_runs_go_below_runs(tmp_path: Path, command: str, folder: str) -> None:
    write(tmp_path, GOOD)
    answer = run_tiedlm(tmp_path, f"{command} {TOY}")
    assert answer.returncode == 0, answer.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "runs", CACHE}
    assert [path.relative_to(tmp_path) for path in (tmp_path / "runs").iterdir()] == [Path(folder)]
    assert any((tmp_path / folder).rglob("tied-seed0.json"))


def test_git_shows_nothing_of_what_is_trained_in_a_checkout(tmp_path: Path) -> None:
    """Nor is anything there that `compare` would show instead of training, as committed records were."""
    write(tmp_path, {**GOOD, "results/corpus/tied-seed0.json": b"{}"})
    shutil.copy(REPOSITORY / ".gitignore", tmp_path)
    with (tmp_path / ".gitignore").open("a") as file:
        file.write(f"{CACHE}/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "start")
    answer = run_tiedlm(tmp_path, f"compare --seeds 2 {TOY}")
    assert answer.returncode == 0, answer.stderr
    assert "4 runs to train; records go to runs/corpus" in answer.stderr
    answer = run_tiedlm(tmp_path, f"compare --seeds 1 --scan train.batch_size=2,4 {TOY}")
    assert answer.returncode == 0, answer.stderr
    assert git(tmp_path, "status", "--porcelain") == ""

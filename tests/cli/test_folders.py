"""Where runs go when no folder is given, and what `tiedlm ls` says of the folders that are there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked_command import run_forked
from tests.cli.test_bad_input import CACHE, GOOD, TINY, run_tiedlm, tree, write
from tests.conftest import REPOSITORY
from tests.execution.test_run_lock import hold
from tiedlm.comparison.folder import compare_folder
from tiedlm.execution.folder_lock import locked
from tiedlm.record.run_id import RunId
from tiedlm.reporting.wording import percent_more

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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy corpus, and in `runs` a comparison of two seeds and a scan of two cells."""
    folder = tmp_path_factory.mktemp("made")
    write(folder, GOOD)
    for arguments in ("--seeds 2", "--seeds 1 --scan train.batch_size=2,4"):
        answer = run_tiedlm(folder, f"compare {arguments} {TOY}")
        assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def listed(folder: Path, arguments: str = "ls") -> dict[str, dict[str, Any]]:
    """What `ls` tells, by path; it writes nothing."""
    before = tree(folder)
    answer = run_tiedlm(folder, f"{arguments} --json")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert tree(folder) == before
    document = json.loads(answer.stdout)
    assert document["schema_version"] == 1
    return {item["path"]: item for item in document["folders"]}


def rows(folder: Path, arguments: str = "ls") -> list[list[str]]:
    """The cells of the table, a list a row."""
    answer = run_tiedlm(folder, arguments)
    assert (answer.returncode, answer.stderr) == (0, "")
    table = answer.stdout.partition("\n\n")[0].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in table]


def test_a_comparison_and_a_scan_are_a_row_each(made: Path) -> None:
    found = listed(made)
    assert found.keys() == {"runs/corpus", "runs/corpus-scan"}
    of_comparison, of_scan = found["runs/corpus"], found["runs/corpus-scan"]
    told = json.loads(run_tiedlm(made, "report runs/corpus --json").stdout)["differences"][0]
    assert told["verdict"] == "no verdict"  # of two steps
    assert (of_comparison["state"], of_comparison["answer"]) == ("complete", "no verdict")
    assert (of_comparison["num_runs"], of_comparison["expected_runs"]) == (4, 4)
    assert (of_comparison["arms"], of_comparison["seeds"]) == (["tied", "untied"], [0, 1])
    assert (of_comparison["experiment"], of_comparison["corpus"]) == ("corpus", "corpus")
    assert (of_scan["state"], of_scan["num_cells"]) == ("complete", 2)
    assert (of_scan["num_runs"], of_scan["expected_runs"]) == (4, 4)
    assert rows(made) == [
        ["folder", "experiment", "state", "arms", "seeds", "answer"],
        ["runs/corpus", "corpus", "complete", "tied, untied", "2", "no verdict"],
        ["runs/corpus-scan", "corpus", "complete", "tied, untied", "1", "no verdict"],
    ]
    assert listed(made, "ls runs runs/corpus") == found  # each once


def test_what_is_committed_is_listed_with_its_answers() -> None:
    """In 80 columns, by the same words as the reports'."""
    answer = run_forked(REPOSITORY, "ls results", {**os.environ, "COLUMNS": "80"})
    assert (answer.returncode, answer.stderr) == (0, "")
    assert max(map(len, answer.stdout.splitlines())) <= 80
    comparison = compare_folder(REPOSITORY / "results/ptb-tuned")
    per_cent = percent_more(comparison.differences[0].delta_nats.mean)
    found = {line.split()[0]: line.rstrip() for line in answer.stdout.splitlines() if line.startswith("results/")}
    assert found["results/ptb-tuned"].endswith(f"tied ahead {per_cent} %")
    assert found["results/ptb-bert-tuned"].endswith("not decided")
    assert found["results/ptb-arms"].endswith("1 of 11 differ from tied")
    assert found["results/ptb-map-steps"].endswith("not decided")
    assert not any("=" in path for path in found)  # no cell has a row


def test_a_listing_says_which_runs_are_missing_or_unfinished(copied: Path) -> None:
    (copied / "runs/corpus/untied-seed1.json").unlink()
    (copied / "runs/corpus-scan/batch_size=4/tied-seed0.json").unlink()
    found = listed(copied)
    assert found["runs/corpus"]["state"] == "incomplete"
    assert rows(copied)[1][2] == "3 of 4 runs"
    assert rows(copied)[2][2] == "3 of 4 runs"
    checkpoints = copied / "runs/corpus/checkpoints"
    checkpoints.mkdir()
    for name in ("untied-seed1", "untied-seed1-previous", "untied-seed2"):
        (checkpoints / f"{name}.safetensors").write_bytes(b"")
    of_comparison = listed(copied)["runs/corpus"]
    assert of_comparison["state"] == "unfinished"
    assert of_comparison["unfinished_runs"] == ["untied seed 1", "untied seed 2"]
    assert rows(copied)[1][2] == "3 of 5 runs, 2 unfinished"


def test_an_interrupted_command_is_counted_the_same_by_ls_and_by_status(copied: Path) -> None:
    """Of four runs asked for, two have checkpoints and two have not begun; and so in a cell of a scan."""
    for folder in ("runs/corpus", "runs/corpus-scan/batch_size=2"):
        for path in (copied / folder).glob("*tied-seed*.json"):
            path.unlink()
        checkpoints = copied / folder / "checkpoints"
        checkpoints.mkdir()
        for arm in ("tied", "untied"):
            (checkpoints / f"{arm}-seed0.safetensors").touch()
    assert rows(copied)[1][2] == "0 of 4 runs, 2 unfinished"
    assert rows(copied)[2][2] == "2 of 4 runs, 2 unfinished"
    for folder, found in listed(copied).items():
        states = json.loads(run_tiedlm(copied, f"status {folder} --json").stdout)["runs"]
        assert (found["num_runs"], found["expected_runs"]) == (sum(run["state"] == "done" for run in states), 4)
        unfinished = [f"{run['arm']} seed {run['seed']}" for run in states if run["state"] == "unfinished"]
        assert found["unfinished_runs"] == unfinished
        assert len(states) == 4
    assert "corpus: 4 runs: 2 unfinished, 2 missing" in run_tiedlm(copied, "status runs/corpus").stdout


def test_a_folder_is_running_while_its_lock_is_held(copied: Path) -> None:
    (copied / "runs/corpus/untied-seed1.json").unlink()
    with locked(copied / "runs/corpus-scan/batch_size=4"), locked(copied / "runs/corpus"):
        assert {item["state"] for item in listed(copied).values()} == {"running"}
        assert rows(copied)[1][2] == "running, 3 of 4 runs"
    held = hold(copied / "runs/corpus", RunId("untied", 1))
    assert listed(copied)["runs/corpus"]["state"] == "running"
    held.release()
    (copied / "runs/corpus/.lock-holder").write_text("1\nelsewhere\n")  # of a killed one
    assert listed(copied)["runs/corpus"]["state"] == "incomplete"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("runs/corpus/tied-seed1.json", b"{"),
        ("runs/corpus-scan/batch_size=4/tied-seed0.json", b"{}"),
        ("runs/corpus-scan/scan-design.json", b"[]"),
        ("runs/corpus/two-stage.json", b"nothing"),
        ("runs/corpus/plan.json", b"["),
    ],
)
def test_a_damaged_folder_says_what_is_damaged_and_the_others_are_told(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    folder = "/".join(name.split("/")[:2])
    found = listed(copied)
    assert {path: item["state"] for path, item in found.items()} == {
        path: "damaged" if path == folder else "complete" for path in ("runs/corpus", "runs/corpus-scan")
    }
    assert found[folder]["problem"].startswith(f"{name}: ")
    answer = run_tiedlm(copied, "ls")
    assert found[folder]["problem"] in answer.stdout


def test_records_that_cannot_be_compared_say_why(copied: Path) -> None:
    for path in (copied / "runs/corpus").glob("untied-seed*.json"):
        path.unlink()
    of_comparison = listed(copied)["runs/corpus"]
    assert (of_comparison["state"], of_comparison["answer"], of_comparison["experiment"]) == (
        "incomplete",
        None,
        "corpus",
    )
    assert "runs/corpus: only arm 'tied' has records" in run_tiedlm(copied, "ls").stdout


def test_where_nothing_is_the_first_command_is_told_and_works(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    answer = run_tiedlm(tmp_path, "ls")
    assert (answer.returncode, answer.stdout.count("\n")) == (0, 1)
    assert "no runs in runs or results; tiedlm compare trains the first" in answer.stdout
    assert listed(tmp_path) == {}
    (tmp_path / "empty").mkdir()
    assert "no runs in empty; " in run_tiedlm(tmp_path, "ls empty").stdout
    answer = run_tiedlm(tmp_path, "ls nowhere")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "tiedlm: DIR nowhere: is not there; give a folder\n"


@pytest.mark.parametrize("command", ["compare --seeds 2", "train --tied"])
def test_no_resume_does_not_train_finished_runs_again_and_says_how(copied: Path, command: str) -> None:
    before = tree(copied / "runs")
    answer = run_tiedlm(copied, f"{command} {TOY} --no-resume")
    assert answer.returncode == 0
    (sentence,) = (line for line in answer.stderr.splitlines() if "nothing was trained" in line)
    assert "--no-resume begins unfinished runs again, and finished runs keep their records" in sentence
    (remove,) = re.findall(r"\((rm -r [^)]*)\)", sentence)
    assert tree(copied / "runs") == before
    assert "--no-resume" not in run_tiedlm(copied, f"{command} {TOY}").stderr
    subprocess.run(shlex.split(remove), cwd=copied, check=True)
    answer = run_tiedlm(copied, f"{command} {TOY}")
    assert "to train; records go to runs/corpus" in answer.stderr

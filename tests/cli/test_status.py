"""`tiedlm status`: what each run of a folder is, by what lies there, and an exit status that a script can ask."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forked_command import run_forked
from tests.cli.test_bad_input import run_tiedlm, tree
from tests.conftest import REPOSITORY
from tests.execution.test_run_lock import hold
from tiedlm.execution.planned_runs import add_planned
from tiedlm.execution.run_lock import save_failure
from tiedlm.record.run_id import RunId

pytestmark = pytest.mark.slow
TIED, UNTIED = [[RunId(arm, seed) for seed in range(2)] for arm in ("tied", "untied")]


def states(folder: Path, place: str, status: int) -> list[dict[str, Any]]:
    """What is told of each run; nothing is written."""
    before = tree(folder)
    answer = run_tiedlm(folder, f"status {place} --json")
    assert (answer.returncode, answer.stderr) == (status, "")
    assert tree(folder) == before
    document = json.loads(answer.stdout)
    assert document["is_complete"] == (status == 0)
    runs: list[dict[str, Any]] = document["runs"]
    return runs


def test_a_run_is_done_running_failed_unfinished_or_missing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    add_planned(out, [*TIED, *UNTIED])
    (out / TIED[0].record_file).touch()
    failed = hold(out, UNTIED[0])
    save_failure(out, UNTIED[0], "step 3: the loss is not finite")
    failed.release()
    held = hold(out, TIED[1])
    checkpoint = out / "checkpoints" / UNTIED[1].model_file
    checkpoint.parent.mkdir()
    checkpoint.touch()
    found = {RunId(run["arm"], run["seed"]): run for run in states(tmp_path, "out", 1)}
    assert {run: of_run["state"] for run, of_run in found.items()} == {
        TIED[0]: "done",
        UNTIED[0]: "failed",
        TIED[1]: "running",
        UNTIED[1]: "unfinished",
    }
    assert (found[TIED[1]]["pid"], found[TIED[1]]["host"]) == (os.getpid(), os.uname().nodename)
    assert found[UNTIED[0]]["failure"] == "step 3: the loss is not finite"
    table = run_forked(tmp_path, "status out", {**os.environ, "COLUMNS": "80"}).stdout
    assert max(map(len, table.splitlines())) <= 80
    assert "out: 4 runs: 1 done, 1 running, 1 failed, 1 unfinished" in table
    checkpoint.unlink()
    assert {RunId(run["arm"], run["seed"]): run["state"] for run in states(tmp_path, "out", 1)}[UNTIED[1]] == "missing"
    held.release()
    for run in (*TIED, *UNTIED):
        (out / run.record_file).touch()
    assert {run["state"] for run in states(tmp_path, "out", 0)} == {"done"}


def test_without_a_plan_every_arm_needs_every_seed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for run in (*TIED, UNTIED[0]):
        (out / run.record_file).touch()
    missing = [run for run in states(tmp_path, "out", 1) if run["state"] != "done"]
    assert [(run["arm"], run["seed"], run["state"]) for run in missing] == [("untied", 1, "missing")]
    assert "is not known" in run_tiedlm(tmp_path, "status out").stdout


@pytest.mark.parametrize("name", ["ptb-map-steps", "ptb-tuned", "ptb-quick"])
def test_what_is_committed_is_complete(name: str) -> None:
    answer = run_tiedlm(REPOSITORY, f"status results/{name}")
    assert answer.returncode == 0, answer.stdout
    assert "where it stands" not in answer.stdout  # of runs that are done there is nothing to say


@pytest.mark.parametrize("place", ["nowhere", "empty", "damaged"])
def test_where_no_runs_are_it_says_so(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "plan.json").write_text("[")
    answer = run_tiedlm(tmp_path, f"status {place}")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert place in answer.stderr
    assert "; " in answer.stderr

"""`compare --plan`: the commands that it prints give the records of `compare`, in any order and side by side."""

from __future__ import annotations

import os
import random
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forked_command import run_together
from tests.cli.test_bad_input import GOOD, TINY, run_tiedlm, tree, write
from tests.cli.test_designs import COMMANDS
from tests.comparison.test_scan import toml
from tests.execution.test_two_commands import environment
from tests.training.test_run import outcome
from tiedlm.api.planned_commands import toml as as_toml
from tiedlm.cli.arguments import with_plan_form
from tiedlm.cli.slurm_script import MAX_TASKS, TimedLine, pack, slurm_script
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId

pytestmark = pytest.mark.slow
CONTRAST = '\n[contrasts.lead]\nweights = { untied = 1.0, tied = -1.0 }\npredicted = "positive"\n'
SLOPE = f'{CONTRAST}slope_per_doubling_of = "corpus.fraction"\n'
FILES = {
    **GOOD,
    "scanned.toml": toml("scanned", SLOPE).encode(),
}
KINDS = {kind: COMMANDS[kind] for kind in ("two-stage", "map")}
"""The scan has contrasts, and a tuning is made as a scan is."""


def planned(folder: Path, command: str) -> list[str]:
    """The commands that are printed now, without the program's name."""
    answer = run_tiedlm(folder, f"{command} --plan --quiet")
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    return [line.removeprefix("tiedlm ") for line in answer.stdout.splitlines()]


def records(folder: Path) -> list[Path]:
    """All records below a folder."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*.json") if RunId.of_record_file(path.name))


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_a_plan_give_the_records_of_compare(kind: str, tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        write(tmp_path / name, FILES)
    whole = run_tiedlm(tmp_path / "whole", f"{KINDS[kind]} --quiet")
    assert whole.returncode == 0, whole.stderr
    parts, num_rounds = tmp_path / "parts", 0
    while commands := planned(parts, KINDS[kind]):
        assert planned(parts, KINDS[kind]) == commands  # in a stable order
        random.Random(0).shuffle(commands)
        for start in range(0, len(commands), 4):
            for answer in run_together(parts, commands[start : start + 4], environment(parts)):
                assert answer.returncode == 0, answer.stderr
        num_rounds += 1
    assert num_rounds == (2 if kind == "two-stage" else 1)
    assert records(parts) == records(tmp_path / "whole") != []
    for path in records(parts):
        mine, theirs = (load_record(tmp_path / name / path) for name in ("parts", "whole"))
        assert outcome(mine) == outcome(theirs)
        assert mine.design_sha256 == theirs.design_sha256 is not None
        assert mine.provenance.num_threads == theirs.provenance.num_threads
    together = run_tiedlm(parts, f"{KINDS[kind]} --quiet")
    assert together.returncode == 0, together.stderr
    assert run_tiedlm(parts, f"status {kind}").returncode == 0
    assert {path.relative_to(parts) for path in tree(parts)} == {
        path.relative_to(tmp_path / "whole") for path in tree(tmp_path / "whole")
    }


def test_a_plan_says_whose_runs_it_is_and_nothing_is_trained(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    out = tmp_path / "a folder"
    answer = run_tiedlm(tmp_path, f"compare --corpus corpus {TINY} --seeds 1 --out '{out}' --plan")
    assert answer.returncode == 0, answer.stderr
    assert "once these runs are done, the same command without --plan compares them" in answer.stderr
    lines = [shlex.split(line) for line in answer.stdout.splitlines()]
    assert [line[line.index("--arm") + 1] for line in lines] == ["tied", "untied"]
    assert all(line[:2] == ["tiedlm", "train"] and line[-2:] == ["--out", str(out)] for line in lines)
    assert records(out) == []
    states = run_tiedlm(tmp_path, f"status '{out}'")
    assert (states.returncode, states.stdout.count("missing")) == (1, 3)


def test_a_value_is_written_as_set_reads_it() -> None:
    import tomllib

    for value in (True, 3, 1e-8, 0.1, 'a "b" é', [1, 2.5], {"a": 1, "b c": [False]}):
        assert tomllib.loads(f"value = {as_toml(value)}")["value"] == value


def test_a_plan_without_a_form_is_one_of_text() -> None:
    assert with_plan_form(["compare", "--plan", "--out", "a"]) == ["compare", "--plan=text", "--out", "a"]
    assert with_plan_form([]) == []
    assert with_plan_form(["compare", "--plan"]) == ["compare", "--plan=text"]
    assert with_plan_form(["compare", "--plan", "slurm"]) == ["compare", "--plan", "slurm"]


def test_short_runs_are_packed_and_no_array_is_too_long() -> None:
    lines = [TimedLine(f"tiedlm train --seed {number}", 70.0) for number in range(100)]
    tasks = pack(lines, 3_600.0)
    assert [line for task in tasks for line in task] == lines
    assert [len(task) for task in tasks] == [52, 48]
    assert all(len(task) == 1 for task in pack(lines, 60.0))
    many = [TimedLine("true", 7_200.0 + number) for number in range(4_500)]
    assert len(pack(many, 60.0)) <= MAX_TASKS


SBATCH = """#!/bin/bash
# Runs every task of an array, one after the other; a task that is queued again is run again.
last=$(sed -n 's/^#SBATCH --array=0-//p' "$1")
export SLURM_ARRAY_JOB_ID=7
for SLURM_ARRAY_TASK_ID in $(seq 0 "$last"); do
  export SLURM_ARRAY_TASK_ID
  while true; do
    rm -f requeued
    if [ -n "$KILL_AFTER" ] && [ ! -e killed ]; then
      bash "$1" & task=$!
      sleep "$KILL_AFTER"; touch killed; kill -USR1 "$task"
      wait "$task"; status=$?
    else
      bash "$1"; status=$?
    fi
    echo "task $SLURM_ARRAY_TASK_ID ended with $status"
    [ -e requeued ] || break
  done
done
"""
SCONTROL = '#!/bin/bash\n[ "$1 $2" = "requeue 7_$SLURM_ARRAY_TASK_ID" ] && touch requeued\n'


@pytest.fixture
def queue(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with stand-ins of Slurm's commands, and our own by its name."""
    programs = {
        "sbatch": SBATCH,
        "scontrol": SCONTROL,
        "tiedlm": f'#!/bin/bash\nexec {shlex.quote(sys.executable)} -m tiedlm "$@"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(stat.S_IRWXU)
    return environment(tmp_path) | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


def submitted(folder: Path, script: str, variables: dict[str, str]) -> str:
    """What the tasks of a script tell, which any bash can read."""
    (folder / "plan.sh").write_text(script)
    subprocess.run(["bash", "-n", "plan.sh"], cwd=folder, check=True)
    finished = subprocess.run(["sbatch", "plan.sh"], cwd=folder, env=variables, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_script_for_slurm_trains_the_runs(tmp_path: Path, queue: dict[str, str]) -> None:
    write(tmp_path, FILES)
    command = f"compare --corpus corpus {TINY} --seeds 1 --out out"
    answer = run_tiedlm(tmp_path, f"{command} --plan slurm --task-minutes 0.1")
    assert answer.returncode == 0, answer.stderr
    for line in ("#SBATCH --array=0-1", "#SBATCH --requeue", "#SBATCH --signal=B:USR1@120"):
        assert f"\n{line}\n" in answer.stdout
    told = submitted(tmp_path, answer.stdout, queue)
    assert told.splitlines()[-1] == "task 1 ended with 0"
    assert [path.name for path in records(tmp_path / "out")] == ["tied-seed0.json", "untied-seed0.json"]


PATIENT = """#!/bin/bash
trap 'echo saved; exit 75' USR1
if [ -e begun ]; then echo goes on; exit 0; fi
touch begun
for i in $(seq 600); do sleep 0.1; done
"""


def test_a_task_whose_time_is_over_is_queued_again_and_goes_on(tmp_path: Path, queue: dict[str, str]) -> None:
    """The signal reaches the run, which saves and says "again"; the task is queued, and the run then ends."""
    (tmp_path / "bin" / "tiedlm").write_text(PATIENT)
    script = slurm_script("toy", [[TimedLine("tiedlm train", 1.0), TimedLine("true", 1.0)]], 1, has_gpu=False)
    told = submitted(tmp_path, script, queue | {"KILL_AFTER": "3"})
    assert told.splitlines() == ["saved", "task 0 ended with 75", "goes on", "task 0 ended with 0"]


@pytest.mark.parametrize(
    "options",
    [
        "--plan pbs",
        "--plan text --task-minutes 5",
        "--plan slurm --task-minutes 0",
        "--plan --dry-run",
        "--plan --json",
    ],
)
def test_what_no_plan_has_is_refused(options: str, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    answer = run_tiedlm(tmp_path, f"compare --corpus corpus {TINY} {options}")
    assert answer.returncode == 2
    assert "; " in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "runs").exists()

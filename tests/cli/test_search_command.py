"""`--tune --trials N` by the real command: interrupted, gone on with, prolonged, with a trial that diverges."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_bad_input import CACHE, GOOD, assert_refused, run_tiedlm, write
from tests.comparison.test_scan import toml
from tests.conftest import HANG_SECONDS
from tests.training.test_resume import outcome
from tiedlm.record.record_file import load_record

pytestmark = pytest.mark.slow
RANGES = """
[tune]
seeds = 1
[tune.ranges]
"train.learning_rate" = { choices = [1e-3, 5e-3, 1e-2, 2e-2, 1e30] }
"train.weight_decay" = { low = 0.005, high = 0.5, scale = "log" }
"""
DIVERGES = "trial=0003"  # the rate of 1e30
COMMAND = "compare search.toml --tune --trials {} --seeds 1 --precision fp32 --out {}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search of three trials, of which the last diverges, and its comparison."""
    folder = tmp_path_factory.mktemp("search")
    write(folder, {**GOOD, "search.toml": toml("search", RANGES).encode()})
    finished = run_tiedlm(folder, f"{COMMAND.format(3, 'whole')} --json")
    assert finished.returncode == 0, finished.stderr
    assert "it counts as a failed trial" in finished.stderr
    (folder / "whole.json").write_text(finished.stdout)
    return folder


def results(folder: Path) -> dict[str, Any]:
    """What every run below a folder came to, but for what differs between two processes."""
    records = {path: path.relative_to(folder) for path in folder.rglob("*-seed*.json")}
    return {
        str(place): json.loads(path.read_text())["sentence"] if "diverged" in path.name else outcome(load_record(path))
        for path, place in records.items()
    }


def test_a_diverged_trial_stops_nothing_and_is_told(trained: Path) -> None:
    tuning = json.loads((trained / "whole.json").read_text())["tuning"]
    assert [cell["folder"] for cell in tuning["cells"]] == ["trial=0001", "trial=0002", DIVERGES]
    assert tuning["cells"][2]["losses_nats"] == {"tied": [None], "untied": [None]}
    assert {cell["folder"] for cell in tuning["lowest"].values()} <= {"trial=0001", "trial=0002"}
    report = (trained / "whole" / "REPORT.md").read_text()
    (row,) = (line for line in report.splitlines() if line.startswith(f"| {DIVERGES} |"))
    assert row.endswith("| diverged | diverged |")
    assert "counts as these" in report
    shown = run_tiedlm(trained, "report whole --html page.html")
    assert "trials" in shown.stdout
    assert 'id="tuning"' in (trained / "page.html").read_text()
    assert "trial=0003" in (trained / "page.html").read_text()
    listed = json.loads(run_tiedlm(trained, "ls --json .").stdout)
    assert [(one["tuning_runs"], one["expected_tuning_runs"]) for one in listed["folders"]] == [(6, 6)]


def test_the_same_command_trains_nothing_again_and_tells_the_same(trained: Path) -> None:
    before = {path: path.read_bytes() for path in (trained / "whole").rglob("*") if path.is_file()}
    again = run_tiedlm(trained, f"{COMMAND.format(3, 'whole')} --json")
    assert again.stdout == (trained / "whole.json").read_text()
    assert "failed trial" not in again.stderr
    assert {path: path.read_bytes() for path in (trained / "whole").rglob("*") if path.is_file()} == before


def test_an_interrupted_search_goes_on(trained: Path, tmp_path: Path) -> None:
    for name in ("corpus", CACHE):
        shutil.copytree(trained / name, tmp_path / name)
    shutil.copy(trained / "search.toml", tmp_path)
    command = [sys.executable, "-m", "tiedlm", *COMMAND.format(3, "out").split()]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / CACHE), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    first = tmp_path / "out/tune/trial=0001"
    ends = time.monotonic() + HANG_SECONDS
    while not any(first.glob("*-seed*.json")) and time.monotonic() < ends:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    told = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM, told
    assert not any((tmp_path / "out" / "tune" / DIVERGES).glob("*-seed*"))
    finished = run_tiedlm(tmp_path, COMMAND.format(3, "out"))
    assert finished.returncode == 0, finished.stderr
    assert results(tmp_path / "out") == results(trained / "whole")


def test_a_search_may_grow_until_something_is_compared(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    words = ("already has a tuning: 1 seed; 3 trials; ", "give --trials 3")
    assert_refused(folder, f"{COMMAND.format(2, 'whole')} --quiet", *words)
    words = ("was trained after 3 trials", "give --trials 3")
    assert_refused(folder, f"{COMMAND.format(4, 'whole')} --quiet", "--trials 4", *words)
    for path in (folder / "whole").glob("*-seed0*"):
        path.unlink()
    grown = run_tiedlm(folder, COMMAND.format(4, "whole"))
    assert grown.returncode == 0, grown.stderr
    design = json.loads((folder / "whole/tune/tune.json").read_text())
    assert (design["trials"], design["earlier"]["trials"]) == (4, 3)
    assert run_tiedlm(folder, "report whole").returncode == 0
    kept = results(trained / "whole" / "tune")
    assert {name: found for name, found in results(folder / "whole" / "tune").items() if name in kept} == kept


def test_a_comparison_follows_from_all_trials(trained: Path, tmp_path: Path) -> None:
    """A design to which a trial was added by hand is not the one that the comparison was trained by."""
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    shutil.copytree(folder / "whole", folder / "grown")
    for path in (folder / "grown").glob("*-seed0*"):
        path.unlink()
    assert run_tiedlm(folder, COMMAND.format(4, "grown")).returncode == 0
    for path in (folder / "whole").glob("*-seed0*.json"):
        shutil.copy(path, folder / "grown")
    assert_refused(folder, "report grown", "tune/tune.json: is not the design that", "put back the file as it was")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("compare search.toml --trials 3", ("--trials 3 is for --tune", "give both")),
        ("compare search.toml --tune", ("has [tune.ranges] and no [tune.values]", "give --trials N")),
        ("compare search.toml --tune --trials 0", ("--trials 0 is not a number from 1 to 1,000", "give another")),
        ("compare search.toml --tune --trials 9999", ("--trials 9999 is not a number from 1 to 1,000",)),
        ("compare ptb --tune --trials 3", ("--trials 3: experiment 'ptb' has no [tune.ranges]", "add it")),
        ("compare search.toml --tune --trials 3 --dry-run", ("a dry run knows no result of the tuning",)),
        ("compare search.toml --tune --trials 3 --seeds 1000000,", ("seed 1000000 is one by which a tuning chooses",)),
        ("train search.toml --tied --seed 1000000 --out whole", ("seed 1000000 is one by which",)),
        ("compare bad.toml --tune --trials 3", ("bad.toml: tune.ranges.train.learning_rate lacks one of low",)),
        ("compare shared.toml --tune --trials 2", ("num_steps must be the same in all arms",)),
    ],
)
def test_what_cannot_be_searched_is_told_in_a_sentence(trained: Path, command: str, words: tuple[str, ...]) -> None:
    bad = '\n[tune]\nseeds = 1\n[tune.ranges]\n"train.{}" = {{ {} }}\n'
    write(
        trained,
        {
            "bad.toml": toml("bad", bad.format("learning_rate", "low = 1e-3")).encode(),
            "shared.toml": toml("shared", bad.format("num_steps", "choices = [2, 3]")).encode(),
        },
    )
    assert_refused(trained, command if "--out" in command else f"{command} --out new", *words)


def test_config_shows_the_ranges(trained: Path) -> None:
    rows = run_tiedlm(trained, "config search.toml").stdout
    assert "one of 0.001, 0.005, 0.01, 0.02, 1e+30" in rows
    assert "from 0.005 to 0.5 (log)" in rows
    assert "drawn by --tune --trials N, the same for each arm" in rows

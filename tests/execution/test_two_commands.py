"""Several commands in one folder divide the missing runs; none is lost, and none is made twice."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.cli.forked_command import run_together
from tests.cli.test_bad_input import CACHE, GOOD, READ_AT_IMPORT, TINY, run_tiedlm, write
from tests.training.test_run import outcome
from tiedlm.record.record_file import load_record

pytestmark = pytest.mark.slow
NUM_TRIES = int(os.environ.get("TIEDLM_TWO_COMMANDS", "1"))
COMPARE = f"compare --corpus corpus {TINY} --seeds 3 --jobs 1 --out out"
RECORDS = [f"{arm}-seed{seed}.json" for arm in ("tied", "untied") for seed in range(3)]


def environment(folder: Path) -> dict[str, str]:
    """As `run_tiedlm` has it."""
    kept = {name: value for name, value in os.environ.items() if name not in ("TIEDLM_DATA", *READ_AT_IMPORT)}
    return kept | {"XDG_CACHE_HOME": str(folder / CACHE), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy corpus, and in `out` what one command makes alone."""
    folder = tmp_path_factory.mktemp("alone")
    write(folder, GOOD)
    answer = run_tiedlm(folder, COMPARE)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.parametrize("number", range(NUM_TRIES))
def test_two_commands_at_once_divide_the_runs(whole: Path, tmp_path: Path, number: int) -> None:
    """On one host and, every other time, on two that share the folder."""
    write(tmp_path, GOOD)
    hosts = ["one", "one" if number % 2 else "other"]
    answers = run_together(tmp_path, [f"{COMPARE} --json"] * 2, environment(tmp_path), hosts)
    assert [answer.returncode for answer in answers] == [0, 0], [answer.stderr for answer in answers]
    assert answers[0].stdout == answers[1].stdout
    made = [re.findall(r"^(\w+ seed \d): [\d.,]+ on valid, in", answer.stderr, re.MULTILINE) for answer in answers]
    assert sorted([*made[0], *made[1]]) == [f"{arm} seed {seed}" for arm in ("tied", "untied") for seed in range(3)]
    for name in RECORDS:
        assert outcome(load_record(tmp_path / "out" / name)) == outcome(load_record(whole / "out" / name))
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {path.name for path in (whole / "out").iterdir()}
    assert "locks" not in there
    assert json.loads((tmp_path / "out/plan.json").read_text())["seeds"] == {"tied": [0, 1, 2], "untied": [0, 1, 2]}

"""A folder of runs is no model: `explain` says which of its runs are one, and how each is explained."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from tests.cli.forked_command import run_forked
from tests.cli.test_bad_input import run_tiedlm
from tests.conftest import REPOSITORY, toy_experiment
from tests.exchange.test_export import MASKED, trained
from tests.training.test_run import run_toy
from tiedlm import export

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("corpus_folder")
@pytest.mark.parametrize("sentence", ["", f"'{MASKED}'"])
def test_a_folder_of_runs_is_listed_with_commands_that_work(sentence: str, tmp_path: Path) -> None:
    path = trained(tmp_path)
    run_toy(toy_experiment(**{"train.num_steps": 1}), tmp_path / "corpus", path.parent, "untied", 1)
    path.with_name("untied-seed1.safetensors").unlink()
    answer = run_tiedlm(tmp_path, f"explain runs {sentence}")
    assert (answer.returncode, answer.stderr) == (0, "")
    (command,) = [line for line in answer.stdout.splitlines() if line.startswith("tiedlm explain ")]
    narrow = run_forked(tmp_path, f"explain runs {sentence}", {**os.environ, "COLUMNS": "40"})
    assert command in narrow.stdout.splitlines()  # no terminal's width cuts it
    assert "runs: is a folder of 4 runs; 1 can be explained" in answer.stdout
    assert "untied seed 1: runs/untied-seed1.safetensors is not here" in answer.stdout
    assert "tied seed 1: is not trained" in answer.stdout
    given = shlex.split(command)[2:]
    assert given[0] == f"runs/{path.name}"
    assert given[1] == MASKED or not sentence
    explained = run_tiedlm(tmp_path, f"explain {shlex.join([given[0], MASKED])}")
    assert explained.returncode == 0, explained.stderr
    listed = json.loads(run_tiedlm(tmp_path, f"explain runs {sentence} --json").stdout)
    assert listed["schema_version"] == 1
    assert [(run["arm"], run["seed"]) for run in listed["runs"] if run["command"]] == [("tied", 0)]
    assert all((run["command"] is None) != (run["reason"] is None) for run in listed["runs"])


def test_records_alone_are_told_to_be_no_models(tmp_path: Path) -> None:
    answer = run_tiedlm(tmp_path, f"explain {REPOSITORY / 'results/pydoc'}")
    assert answer.returncode == 0, answer.stderr
    assert "is a folder of 8 runs; none can be explained" in answer.stdout
    assert "untied-seed3.safetensors is not here" in answer.stdout
    assert "the two small models that come with it" in answer.stdout


@pytest.mark.usefixtures("corpus_folder")
def test_a_folder_of_a_model_is_a_model_and_one_of_neither_is_refused(tmp_path: Path) -> None:
    exported = export(trained(tmp_path), tmp_path / "exported")
    (exported / "tied-seed0.json").write_text("{}")  # which a folder of runs has
    answer = run_tiedlm(tmp_path, f"explain exported '{MASKED}'")
    assert answer.returncode == 0, answer.stderr
    assert "E is the word-embedding table itself" in answer.stdout
    refused = run_tiedlm(tmp_path, f"explain corpus '{MASKED}'")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "corpus: has no config.json" in refused.stderr
    for sentence in ("corpus", "a " * 3000):
        refused = run_tiedlm(tmp_path, f"explain '{sentence}'")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "has [MASK] 0 times" in refused.stderr

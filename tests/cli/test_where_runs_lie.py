"""Runs that are gone on with, or looked at, by the folder in which they lie: their text is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_bad_input import GOOD, TINY, assert_refused, run_tiedlm, write

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

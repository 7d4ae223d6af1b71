"""The generated language of experiments/texts: its frequencies, its likeness and what its oracle knows."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "experiments/texts/likeness_language.py"
RHOS = (0.0, 0.25, 0.75, 1.0)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("likeness_language", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # which its dataclass looks itself up in
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rho", RHOS)
def test_every_likeness_has_the_same_frequencies(script: ModuleType, rho: float) -> None:
    language = script.make_language(rho, 3)
    chain = language.transitions[language.right][:, language.left] * language.of_left  # (V, V)
    np.testing.assert_allclose(chain.sum(1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(language.frequencies @ chain, language.frequencies, rtol=1e-6)
    assert (language.frequencies == script.make_language(0.5, 3).frequencies).all()


@pytest.mark.parametrize("rho", RHOS)
def test_so_many_words_have_one_class(script: ModuleType, rho: float) -> None:
    language = script.make_language(rho, 3)
    alike = (language.left == language.right).mean()
    expected = rho + (1 - rho) / script.NUM_CLASSES
    assert abs(alike - expected) < 4 * math.sqrt(expected * (1 - expected) / script.NUM_WORDS) + 1e-12
    for of in (language.left, language.right):
        assert set(np.bincount(of)) == {script.NUM_WORDS // script.NUM_CLASSES}


@pytest.mark.parametrize("rho", RHOS)
def test_the_true_map_leads_to_words_that_tell_what_one_is_told_by(script: ModuleType, rho: float) -> None:
    language = script.make_language(rho, 3)
    rows = script.true_map(language)
    assert sorted(rows) == list(range(script.NUM_WORDS))
    assert (language.right[rows] == language.left).all()
    alike = language.left == language.right
    assert (rows[alike] == np.flatnonzero(alike)).all()


def test_the_oracle_sums_over_all_words(script: ModuleType) -> None:
    language = script.make_language(0.5, 3)
    lines = script.draw_lines(language, 2, np.random.default_rng(0))
    losses = []
    for line in lines:
        for before, word, after in zip(line[:-2], line[1:-1], line[2:], strict=True):
            joint = np.array(
                [
                    language.transitions[language.right[before], language.left[y]]
                    * language.of_left[y]
                    * language.transitions[language.right[y], language.left[after]]
                    for y in range(script.NUM_WORDS)
                ]
            )
            losses.append(-math.log(joint[word] / joint.sum()))
    assert script.oracle_nats(language, lines)["both_neighbours"] == pytest.approx(np.mean(losses), rel=1e-9)


def test_lines_follow_the_language(script: ModuleType) -> None:
    language = script.make_language(0.5, 3)
    lines = script.draw_lines(language, 3_000, np.random.default_rng(0))
    number = lines.size
    counts = np.bincount(lines.ravel(), minlength=script.NUM_WORDS)
    expected = number * language.frequencies
    assert (abs(counts - expected) < 6 * np.sqrt(expected) + 6).all()
    pairs = np.zeros_like(language.pairs)
    np.add.at(pairs, (language.right[lines[:, :-1]], language.left[lines[:, 1:]]), 1)
    expected = pairs.sum() * language.pairs
    assert (abs(pairs - expected) < 7 * np.sqrt(expected) + 7).all()


def test_the_script_writes_a_text_and_what_is_known_of_it(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--rho", "0.75", "--seed", "1", "--out"]
    for name in ("one", "again"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert files.keys() == {"train.txt", "valid.txt", "test.txt", "language.json", "map.json"}
    losses = json.loads(files["language.json"])["nats_a_word_of_who_knows_the_language"]["valid"]
    assert losses["both_neighbours"] < losses["one_neighbour"] - 0.5 < losses["frequencies"] - 1.0
    assert set(json.loads(files["map.json"])) == set(files["train.txt"].decode().split())

"""Twins of frequent words, and the lead of tying read by them."""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY, toy_experiment, train_arm
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import tokenize
from tiedlm.record.run_record import RunRecord
from tiedlm.training.device import Runtime


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`renamed_words` as a module; the other script imports it from beside itself."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "experiments/texts"))
    return importlib.import_module("renamed_words")


def lines_of(num_lines: int, seed: int) -> list[list[str]]:
    """Of three frequent words and some rare ones."""
    generator = random.Random(seed)
    words = ["the", "a", "of", *(f"rare{number}" for number in range(20))]
    return [generator.choices(words, [50, 40, 30, *[1] * 20], k=9) for _ in range(num_lines)]


def test_twins_stand_in_for_their_words_and_nothing_else_changes(script: ModuleType) -> None:
    lines = lines_of(500, 0)
    counts = Counter(word for line in lines for word in line)
    for share in (None, 0.05):
        found = script.renamed(lines, ["the", "of"], share, np.random.default_rng(0))
        back = [[word.partition("~")[0] for word in line] for line in found]
        assert back == lines
        of_twins = Counter(word for line in found for word in line if "~" in word)
        assert of_twins == {
            f"{word}~{count}": count if share is None else round(share * counts[word])
            for word in ("the", "of")
            for count in (5, 20, 80, 320)
        }
    again = script.renamed(lines, ["the", "of"], None, np.random.default_rng(0))
    assert again == script.renamed(lines, ["the", "of"], None, np.random.default_rng(0))
    assert again != script.renamed(lines, ["the", "of"], None, np.random.default_rng(1))
    places = [place for place, word in enumerate(word for line in again for word in line) if word == "the~320"]
    assert abs(np.mean(places) - 4_500 / 2) < 4 * 4_500 / np.sqrt(12 * 320)  # all over the text


@pytest.mark.slow
def test_the_treebank_has_its_twins(script: ModuleType, real_data: Path, tmp_path: Path) -> None:
    import subprocess

    command = [sys.executable, str(script.__file__), "--data-dir", str(real_data), "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True)
    words = json.loads((tmp_path / "out/twins.json").read_text())["words"]
    train, valid = (Counter((tmp_path / f"out/{split}.txt").read_text().split()) for split in ("train", "valid"))
    for count in (5, 20, 80, 320):
        assert {train[f"{word}~{count}"] for word in words} == {count}
        assert sum(valid[f"{word}~{count}"] for word in words) > 500
    assert train.total() == 887_521
    assert "<unk>" not in words


def test_leads_are_those_of_the_tokens(script: ModuleType, tmp_path: Path) -> None:
    reader = importlib.import_module("lead_by_twin")
    text = tmp_path / "text"
    text.mkdir()
    for number, (split, num_lines) in enumerate((("train", 500), ("valid", 150), ("test", 100))):
        share = None if split == "train" else 0.05
        found = script.renamed(lines_of(num_lines, number), ["the", "of"], share, np.random.default_rng(number))
        (text / f"{split}.txt").write_text("".join(" ".join(line) + "\n" for line in found))
    twins: dict[str, Any] = {"words": ["the", "of"], "counts": [5, 20, 80, 320]}
    experiment = toy_experiment(**{"corpus.name": str(text)})
    corpus = tokenize(load_corpus(str(text)), experiment.corpus)
    rest = (corpus, Runtime("cpu", "fp32"), tmp_path, "toy", lambda _: None)
    records: dict[tuple[str, int], RunRecord] = {}
    for arm in ("tied", "untied"):
        for seed in (0, 1):
            records[arm, seed] = train_arm(experiment, arm, seed, *rest)
    (tmp_path / "tokenizer.json").write_text(corpus.tokenizer_text())
    groups = reader.groups_of(corpus, twins)
    counts = corpus.token_counts("train")
    assert [sorted(counts[ids]) for ids in list(groups.values())[:4]] == [[count] * 2 for count in (5, 20, 80, 320)]
    everything = groups | {"all": list(range(corpus.vocab_size))}
    rows = {row["group"]: row for row in reader.leads(tmp_path, [0, 1], corpus, everything)}
    for seed in (0, 1):
        for arm in ("tied", "untied"):
            metrics = records[arm, seed].metrics.values()
            nats = sum(split.total_nll_nats for split in metrics) / sum(split.num_tokens for split in metrics)
            assert rows["all"]["loss_nats"][arm][seed] == pytest.approx(nats, rel=1e-6)
    of_split = [corpus.token_counts(split)[groups["twins of 20"]].sum() for split in ("valid", "test")]
    assert rows["twins of 20"]["num_tokens"] == sum(of_split)
    assert "| twins of 320 | " in reader.table(list(rows.values()), [0, 1])

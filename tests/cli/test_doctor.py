"""`tiedlm doctor` says what is, and its self-test can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import toy_experiment
from tiedlm.cli.commands import app
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import tokenize
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.training.state import TrainingState


def findings(exit_code: int, *arguments: str) -> dict[str, tuple[str, str]]:
    """Name → status and text."""
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    assert result.exit_code == exit_code, result.output
    return {finding["name"]: (finding["status"], finding["text"]) for finding in json.loads(result.stdout)["findings"]}


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without corpora and with an empty cache."""
    monkeypatch.delenv("TIEDLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("without_data")
def test_a_machine_without_data_is_healthy_and_told_how_to_give_it(tmp_path: Path) -> None:
    found = findings(0)
    assert found["tie"] == ("ok", found["tie"][1])
    assert "32,000 = V × H" in found["tie"][1]
    assert found["determinism"][0] == "ok"
    assert found["ptb"][0] == "note"
    assert "--data-dir" in found["ptb"][1]
    assert found["cache"] == ("ok", f"{tmp_path / 'cache' / 'tiedlm'}: 0 entries, 0 MB")


@pytest.mark.usefixtures("without_data")
def test_a_damaged_cache_is_noted(corpus_folder: Path) -> None:
    corpus = tokenize(load_corpus(str(corpus_folder), None), toy_experiment().corpus)
    assert "1 entries" in findings(0)["cache"][1]
    (Path(corpus.folder) / "train.ids").write_bytes(b"\0")
    status, text = findings(0)["cache"]
    assert status == "note"
    assert f"damaged, to be made again when needed: {Path(corpus.folder).name}" in text


@pytest.mark.usefixtures("without_data")
def test_a_cache_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    status, text = findings(1)["cache"]
    assert status == "failed"
    assert "set XDG_CACHE_HOME" in text


@pytest.mark.slow
def test_found_data_is_verified(real_data: Path) -> None:
    assert findings(0, "--data-dir", str(real_data))["ptb"][0] == "ok"


@pytest.mark.usefixtures("without_data")
def test_a_state_that_is_not_restored_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = TrainingState.restore

    def forget_the_masks(self: TrainingState, tensors: dict, step: int, train_seconds: float) -> None:  # type: ignore[type-arg]
        generator = self.mask_generator
        restore(self, tensors, step, train_seconds)
        self.mask_generator = generator

    monkeypatch.setattr(TrainingState, "restore", forget_the_masks)
    status, text = findings(1)["determinism"]
    assert status == "failed"
    assert "stopped and taken up again is not equal bit for bit" in text


@pytest.mark.usefixtures("without_data")
def test_a_tie_that_is_lost_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaskedLM, "is_tied", property(lambda _: False))
    sentence = "after build: tie_word_embeddings=True but decoder.weight is not the word-embedding tensor"
    assert findings(1)["tie"] == ("failed", sentence)

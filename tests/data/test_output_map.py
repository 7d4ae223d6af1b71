"""A text's own map of which word's row scores a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import toy_experiment, train_arm
from tiedlm.data.output_map import MAP_FILE, read_output_map
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import TokenizedCorpus, tokenize
from tiedlm.errors import InputError
from tiedlm.masked_batch import SPECIAL_TOKENS
from tiedlm.model.saved_model import load_model
from tiedlm.training.device import Runtime

WORDS = ["a", "bone", "cat", "cow", "dog", "likes", "meadow", "mouse", "sees", "the", "today"]
ROTATED = dict(zip(WORDS, [*WORDS[1:], WORDS[0]], strict=True))


def tokenized(folder: Path, rows: Any) -> TokenizedCorpus:
    """The toy corpus with a map beside it."""
    (folder / MAP_FILE).write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return tokenize(load_corpus(str(folder)), toy_experiment(**{"corpus.name": str(folder)}).corpus)


def test_words_are_scored_as_the_map_says_and_special_tokens_by_themselves(corpus_folder: Path) -> None:
    corpus = tokenized(corpus_folder, ROTATED)
    rows = read_output_map(corpus)
    ids = json.loads(corpus.tokenizer_text())["model"]["vocab"]
    assert sorted(rows) == list(range(corpus.vocab_size))
    assert {word: next(other for other in ids if ids[other] == rows[ids[word]]) for word in WORDS} == ROTATED
    assert [rows[ids[token]] for token in (*SPECIAL_TOKENS, "<eos>")] == [ids[t] for t in (*SPECIAL_TOKENS, "<eos>")]


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        [],
        {word: word for word in WORDS[1:]},
        ROTATED | {"horse": "cat"},
        ROTATED | {"cat": "dog"},
        ROTATED | {"cat": 3},
        ROTATED | {"cat": "[MASK]"},
    ],
)
def test_what_is_no_permutation_of_the_words_is_refused(wrong: Any, corpus_folder: Path) -> None:
    with pytest.raises(InputError, match=r"map\.json: .*give a JSON object that maps each word"):
        read_output_map(tokenized(corpus_folder, wrong))


def test_a_map_to_themselves_is_the_tied_arm_and_another_is_not(corpus_folder: Path, tmp_path: Path) -> None:
    mapped = {"model": {"tie_word_embeddings": True}, "intervention": {"output_rows": "map"}}
    experiment = toy_experiment(arms={"mapped": mapped}, **{"corpus.name": str(corpus_folder)})
    found = {}
    for name, rows in {"itself": {word: word for word in WORDS}, "rotated": ROTATED}.items():
        corpus = tokenized(corpus_folder, rows)
        (tmp_path / name).mkdir()
        rest = (corpus, Runtime("cpu", "fp32"), tmp_path / name, "toy", lambda _: None)
        found[name] = train_arm(experiment, "mapped", 0, *rest)
        model = load_model(tmp_path / name / "mapped-seed0.safetensors")
        assert model.head.output_rows is not None
        assert model.head.output_rows.tolist() == read_output_map(corpus).tolist()
    tied = train_arm(experiment, "tied", 0, corpus, Runtime("cpu", "fp32"), tmp_path, "toy", lambda _: None)
    assert found["itself"].metrics == tied.metrics != found["rotated"].metrics
    pairings = {name: record.pairing for name, record in found.items()}
    assert all(pairing is not None for pairing in pairings.values())
    hashes = {pairing.start_values["head.output_rows"] for pairing in pairings.values() if pairing}
    assert len(hashes) == 2
    assert tied.pairing is not None
    assert "head.output_rows" not in tied.pairing.start_values

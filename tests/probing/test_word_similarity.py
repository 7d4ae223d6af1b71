"""The likeness of words: rows of a model against people's scores, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from tests.cli.test_bad_input import run_tiedlm
from tests.exchange.test_evaluate import saved_model
from tests.exchange.test_export import trained
from tiedlm import InputError, score_similarity
from tiedlm.exchange.trained_run import open_run
from tiedlm.probing.word_similarity import WordPair, read_word_pairs, spearman

PAIRS = (
    ("cat", "dog", 7.5),
    ("cat", "cow", 5.0),
    ("dog", "bone", 4.0),
    ("sees", "likes", 6.0),
    ("mouse", "meadow", 1.5),
)
SIMLEX = "word1\tword2\tPOS\tSimLex999\tconc(w1)\n" + "".join(f"{a}\t{b}\tN\t{score}\t1\n" for a, b, score in PAIRS)


@pytest.mark.usefixtures("corpus_folder")
@pytest.mark.parametrize("arm", ["tied", "untied"])
def test_rows_are_held_to_people(arm: str, tmp_path: Path) -> None:
    path = trained(tmp_path, arm)
    (tmp_path / "simlex.txt").write_text(SIMLEX + "cat\tzebra\tN\t3\t1\n")
    found = score_similarity(path, tmp_path / "simlex.txt")
    assert (found.num_pairs, found.num_with_both_words, found.is_tied) == (6, 5, arm == "tied")
    run = open_run(path)
    matrices = [run.model.embeddings.word_embeddings.weight, run.model.head.decoder.weight]
    for matrix, correlation in zip(matrices, (found.input_rows, found.output_rows), strict=True):
        rows = matrix.detach().double()
        cosines = []
        for first, second, _ in PAIRS:
            one, other = (rows[run.vocabulary.tokenizer.token_to_id(word)] for word in (first, second))
            cosines.append(float(one @ other / one.norm() / other.norm()))
        assert correlation is not None
        assert correlation.spearman == pytest.approx(stats.spearmanr(cosines, [score for *_, score in PAIRS]).statistic)
    assert (found.input_rows == found.output_rows) is (arm == "tied")


def test_a_model_of_transformers_has_the_rows_of_its_tokens(tmp_path: Path) -> None:
    model, tokenizer = saved_model("Bert", tmp_path / "model", tie=False)
    (tmp_path / "own.csv").write_text("one,two,score\ndog,bone,4\nDog,today,1\na,the,3\nlikes,dog,2\nbone,today,2.5\n")
    found = score_similarity(tmp_path / "model", tmp_path / "own.csv")
    assert (found.num_pairs, found.num_with_both_words) == (5, 4)  # "likes" is two tokens
    words = [("dog", "bone"), ("dog", "today"), ("a", "the"), ("bone", "today")]
    for rows, correlation in (
        (model.get_input_embeddings().weight, found.input_rows),  # type: ignore[operator]
        (model.get_output_embeddings().weight, found.output_rows),  # type: ignore[operator]
    ):
        cosines = [
            torch.cosine_similarity(
                *(rows[tokenizer.convert_tokens_to_ids(word)].double() for word in pair), dim=0
            ).item()
            for pair in words
        ]
        assert correlation is not None
        assert correlation.spearman == pytest.approx(stats.spearmanr(cosines, [4, 1, 3, 2.5]).statistic)


def test_the_interval_is_that_of_bonett_and_wright() -> None:
    generator = np.random.default_rng(0)
    first = generator.normal(size=50)
    found = spearman(first.tolist(), (first + generator.normal(size=50)).tolist())
    assert found.spearman is not None
    assert found.ci95 is not None
    half = 1.959964 * math.sqrt((1 + found.spearman**2 / 2) / 47)
    assert np.arctanh(found.ci95) == pytest.approx(
        [math.atanh(found.spearman) - half, math.atanh(found.spearman) + half]
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], (None, None)),
        ([], [], (None, None)),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], (1.0, None)),
        ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], (-1.0, (-1.0, -1.0))),
    ],
)
def test_what_has_no_correlation_has_no_number(first: list[float], second: list[float], expected: object) -> None:
    found = spearman(first, second)
    assert (found.spearman, found.ci95) == expected


@pytest.mark.parametrize(
    ("content", "pairs"),
    [
        (SIMLEX, [WordPair(*pair) for pair in PAIRS]),
        ("cat\tdog\t2\r\ncat\tcow\t3\r\n", [WordPair("cat", "dog", 2.0), WordPair("cat", "cow", 3.0)]),
        (
            "Word 1,Word 2,Human (mean)\ncat,dog,2\n\ncat,cow,3\n",
            [WordPair("cat", "dog", 2.0), WordPair("cat", "cow", 3.0)],
        ),
    ],
)
def test_tables_of_three_layouts_are_read(content: str, pairs: list[WordPair], tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text(content)
    assert read_word_pairs(tmp_path / "pairs.txt") == pairs


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no pair of words"),
        ("one\ttwo\tscore\n", "has no pair of words"),
        ("cat dog 2\n", "line 1: has 1 columns, not 3"),
        ("cat,dog,2\ncat,cow\n", "line 2: has 2 columns, not 3 or more"),
        ("cat,dog,2\ncat,cow,much\n", "line 2: the score 'much' is no finite number"),
        ("cat,dog,2\ncat,cow,nan\n", "line 2: the score 'nan' is no finite number"),
        ("cat,dog,2\ncat,,3\n", "line 2: a word is empty"),
        ("cat,dog,2\ncat,cow,2\n", "all pairs have the score 2"),
    ],
)
def test_a_bad_table_is_refused(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text(content)
    with pytest.raises(InputError) as refused:
        read_word_pairs(tmp_path / "pairs.txt")
    assert words in str(refused.value)


@pytest.mark.usefixtures("corpus_folder")
def test_the_command_shows_both_matrices(tmp_path: Path) -> None:
    trained(tmp_path, "untied")
    (tmp_path / "simlex.txt").write_text(SIMLEX)
    shown = run_tiedlm(tmp_path, "evaluate runs/untied-seed0.safetensors --similarity simlex.txt")
    assert shown.returncode == 0, shown.stderr
    assert "of 5 pairs 5 have both words" in shown.stdout
    assert "input rows" in shown.stdout
    assert "output rows" in shown.stdout
    document = json.loads(
        run_tiedlm(tmp_path, "evaluate runs/untied-seed0.safetensors --similarity simlex.txt --json").stdout
    )
    assert (document["schema_version"], document["num_with_both_words"]) == (1, 5)

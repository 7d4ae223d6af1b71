"""What is explained is what the model computes, and it is shown so that a person can follow."""

from __future__ import annotations

import io
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.cli.test_bad_input import run_tiedlm
from tests.exchange.test_export import MASKED, run_ids, trained
from tiedlm import InputError, explain, export
from tiedlm.cli.explanation_text import render_explanations
from tiedlm.exchange.trained_run import open_run
from tiedlm.explanation.explanation import Explanation

pytestmark = pytest.mark.usefixtures("corpus_folder")


@pytest.mark.parametrize("encoder", ["bert", "modernbert"])
@pytest.mark.parametrize("arm", ["tied", "untied", "permuted"])
def test_the_parts_are_those_of_the_models_own_prediction(arm: str, encoder: str, tmp_path: Path) -> None:
    path = trained(tmp_path, arm, **{"model.encoder": encoder, "model.hidden_dropout_prob": 0.1})
    (one,) = explain(MASKED, path)
    run = open_run(path)
    ids = run_ids(run, MASKED)
    place = ids.index(1)
    with torch.no_grad():
        logits = run.model.eval()(torch.tensor([ids]), torch.tensor([[place]]))[0, 0]
    assert one.place == place
    assert one.log_sum_exp == pytest.approx(logits.logsumexp(0).item(), abs=1e-5)
    assert [word.token_id for word in one.candidates] == logits.topk(len(one.candidates)).indices.tolist()
    for word in one.candidates:
        assert word.score == pytest.approx(logits[word.token_id].item(), abs=1e-5)
        assert word.product == pytest.approx(one.guess.norm * word.row_norm * word.cosine, rel=1e-4, abs=1e-5)
        assert word.score == pytest.approx(word.product + word.bias, abs=1e-5)
        assert word.probability == pytest.approx(math.exp(word.score - one.log_sum_exp), rel=1e-4)
    assert one.is_tied == (arm == "tied")
    assert (one.input_row == one.output_row) == (arm == "tied")
    assert one.cosine_of_rows == pytest.approx(1.0, abs=1e-6) if one.is_tied else one.cosine_of_rows < 0.9


@pytest.mark.parametrize("arm", ["tied", "untied"])
def test_a_model_of_transformers_is_explained_alike(arm: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    path = trained(tmp_path, arm)
    (ours,), (theirs,) = explain(MASKED, path), explain(MASKED, export(path, tmp_path / "exported"))
    assert numbers(theirs) == pytest.approx(numbers(ours), abs=1e-4)
    assert [word.token for word in theirs.candidates] == [word.token for word in ours.candidates]
    assert replace(theirs, **same(ours)) == ours


def test_a_bias_that_the_class_adds_after_its_matrix_is_part_of_a_score(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tests.exchange.every_class import save

    tokenizer = save("esm", tmp_path / "esm")
    (one,) = explain("the dog likes a [MASK]", tmp_path / "esm")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "esm").eval()
    ids = tokenizer("the dog likes a [MASK]", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, one.place]
    bias = model.lm_head.bias.tolist()
    for word in one.candidates:
        assert word.score == pytest.approx(logits[word.token_id].item(), abs=1e-5)
        assert word.bias == pytest.approx(bias[word.token_id], abs=1e-5)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("family", ["mobilebert", "reformer"])
def test_a_class_that_scores_by_more_than_one_row_is_refused(family: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.exchange.every_class import save

    save(family, tmp_path / family)
    with pytest.raises(InputError, match="does not score a token by the product with one row"):
        explain("the dog likes a [MASK]", tmp_path / family)


def test_scores_that_are_no_numbers_are_not_explained(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.exchange.test_evaluate import saved_model
    from tests.exchange.test_foreign_loading import change_weights

    saved_model("Bert", tmp_path / "model", tie=True)
    names = ("cls.predictions.transform.LayerNorm.weight", "bert.embeddings.word_embeddings.weight")
    change_weights(tmp_path / "model", lambda all_: all_ | {name: all_[name] * 1e30 for name in names})
    with pytest.raises(InputError, match="its scores are not finite numbers; the model is damaged"):
        explain("the dog likes a [MASK]", tmp_path / "model")


def numbers(one: Explanation) -> list[float]:
    """Every number of an explanation that a device may round."""
    words = [[word.row_norm, word.cosine, word.bias, word.score, word.probability] for word in one.candidates]
    vectors = [one.hidden, one.guess, one.output_row.vector, one.input_row.vector]
    parts = [*words, *([vector.norm, *vector.begins] for vector in vectors), [one.log_sum_exp]]
    return list(itertools.chain.from_iterable(parts))


def same(one: Explanation) -> dict[str, object]:
    """The parts that hold those numbers, and the name."""
    parts = ("model", "hidden", "guess", "candidates", "log_sum_exp", "output_row", "input_row", "cosine_of_rows")
    return {part: getattr(one, part) for part in parts}


def test_the_shipped_pair_answers_in_words_that_fit_a_terminal(tmp_path: Path) -> None:
    answer = run_tiedlm(tmp_path, "explain")
    assert answer.returncode == 0, answer.stderr
    for words in ("the company said its [MASK] rose", "Tied: E is the word-embedding table itself.", "weight tying"):
        assert words in answer.stdout
    assert "Untied: W is a matrix of its own." in answer.stdout
    answer = run_tiedlm(tmp_path, 'explain "shares of the company [MASK]" --json')
    tied, untied = json.loads(answer.stdout)["explanations"]
    assert (tied["is_tied"], untied["is_tied"]) == (True, False)
    assert tied["vocab_size"] == untied["vocab_size"]
    assert tied["candidates"][0]["probability"] > 3 / tied["vocab_size"]


@pytest.mark.parametrize(
    ("sentence", "told"),
    [("the dog", r"has \[MASK\] 0 times"), ("[MASK] [MASK]", "2 times"), (f"[MASK] {'a ' * 40}", "the model reads 32")],
)
def test_a_sentence_that_cannot_be_explained_is_refused(sentence: str, told: str, tmp_path: Path) -> None:
    path = trained(tmp_path)
    with pytest.raises(InputError, match=told):
        explain(sentence, path)


def test_it_is_said_what_the_model_does_not_know_and_which_guess_is_followed(tmp_path: Path) -> None:
    path = trained(tmp_path)
    (one,) = explain("the Zeppelin [MASK] a", path)
    (theirs,) = explain("the Zeppelin [MASK] a", export(path, tmp_path / "exported"))
    assert one.unknown == theirs.unknown == ["Zeppelin"]
    first = replace(one.best, token="<unk>", token_id=-1, probability=0.75)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_explanations([replace(one, candidates=[first, *one.candidates])]))
    shown = console.export_text()
    assert "“Zeppelin” is not in its vocabulary" in shown
    assert "The likeliest guess is <unk> (75.0%), which is no word." in shown

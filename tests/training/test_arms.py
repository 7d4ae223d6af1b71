"""The arms that separate the causes: each is what it says, and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import toy_experiment, toy_model, train_arm, write_toy_corpus
from tests.training.test_run import FP32, outcome, run_toy, tokenized
from tiedlm.config.experiment import Experiment
from tiedlm.config.interventions import Intervention
from tiedlm.data.frequency_bands import LEAST_COUNTS, frequency_bands
from tiedlm.data.masking import fold_batch, fold_ranks
from tiedlm.errors import InputError
from tiedlm.masked_batch import SPECIAL_TOKENS
from tiedlm.model.head import masked_lm_loss
from tiedlm.model.masked_lm import build_model
from tiedlm.model.output_rows import BAND_SIZE, draw_output_rows
from tiedlm.model.saved_model import load_model, save_model
from tiedlm.record.run_record import RunRecord
from tiedlm.training.gradient_sides import gradient_sides
from tiedlm.training.progress import Progress
from tiedlm.training.resume import CheckpointPolicy, Interrupted

ARMS: dict[str, Any] = {
    "tied-identity": {"model": {"tie_word_embeddings": True}, "intervention": {"output_rows": "identity"}},
    "tied-permuted": {"model": {"tie_word_embeddings": True}, "intervention": {"output_rows": "band:0"}},
    "untied-copied-start": {
        "model": {"tie_word_embeddings": False},
        "intervention": {"output_matrix_start": "copied"},
    },
    "untied-from-step-0": {"model": {"tie_word_embeddings": True}, "intervention": {"tied_fraction": 0.0}},
    "untied-half-way": {"model": {"tie_word_embeddings": True}, "intervention": {"tied_fraction": 0.5}},
    "untied-at-the-end": {"model": {"tie_word_embeddings": True}, "intervention": {"tied_fraction": 0.99}},
}
OTHER_VALUES: dict[str, tuple[Any, bool]] = {  # of each field, and whether it is for a tied model
    "output_rows": ("band:0", True),
    "output_matrix_start": ("copied", False),
    "input_gradient_scale": (2.0, True),
    "output_matrix_rate_scale": (2.0, False),
    "tied_fraction": (0.5, True),
}
V = 200
COUNTS = np.arange(V)[::-1] ** 2


def experiment_with_arms(**settings: Any) -> Experiment:
    return toy_experiment(arms=ARMS, **{"model.hidden_dropout_prob": 0.1, **settings})


def learned(record: RunRecord) -> dict[str, Any]:
    """What a run has come to, without what makes it: every loss, count and hash of its batches."""
    whole = outcome(record)
    return {"metrics": whole["metrics"], "curve": whole["curve"], "pairing": whole["pairing"]}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunRecord]:
    """One run of each arm."""
    folder = tmp_path_factory.mktemp("arms")
    write_toy_corpus(folder / "corpus")
    return {
        arm: run_toy(experiment_with_arms(), folder / "corpus", folder / "out", arm)
        for arm in experiment_with_arms().arm_names
    }


def test_a_permutation_that_moves_nothing_gives_the_tied_run(records: dict[str, RunRecord]) -> None:
    assert learned(records["tied-identity"]) == learned(records["tied"])
    assert learned(records["tied-permuted"])["metrics"] != learned(records["tied"])["metrics"]
    assert records["tied-permuted"].parameters == records["tied"].parameters
    assert records["tied-permuted"].pairing == records["tied"].pairing  # the same start values, batches and masks


def test_a_copied_start_is_the_table_s(records: dict[str, RunRecord]) -> None:
    pairing, tied = records["untied-copied-start"].pairing, records["tied"].pairing
    assert pairing is not None
    assert tied is not None
    table = tied.start_values["embeddings.word_embeddings.weight"]
    assert pairing.start_values == tied.start_values | {"head.decoder.weight": table}


def test_a_tied_run_that_is_untied_at_once_is_one_of_a_copied_start(records: dict[str, RunRecord]) -> None:
    at_once, copied = learned(records["untied-from-step-0"]), learned(records["untied-copied-start"])
    assert at_once["metrics"] == copied["metrics"]
    assert at_once["curve"][1:] == copied["curve"][1:]
    assert records["untied-from-step-0"].parameters == records["untied"].parameters


def test_one_that_is_untied_at_the_end_is_the_tied_run(records: dict[str, RunRecord]) -> None:
    assert learned(records["untied-at-the-end"])["metrics"] == learned(records["tied"])["metrics"]
    assert records["untied-at-the-end"].parameters["decoder_weight"] > 0
    half_way = learned(records["untied-half-way"])["metrics"]
    assert half_way not in [learned(records[arm])["metrics"] for arm in ("tied", "untied-copied-start")]


def test_every_intervention_has_another_value_here() -> None:
    assert OTHER_VALUES.keys() == Intervention.model_fields.keys()


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_no_intervention_is_dead(field: str, corpus_folder: Path, tmp_path: Path) -> None:
    value, ties = OTHER_VALUES[field]
    plain = "tied" if ties else "untied"
    arm = {"model": {"tie_word_embeddings": ties}, "intervention": {field: value}}
    experiment = toy_experiment(arms={"changed": arm})
    unchanged, changed = (outcome(run_toy(experiment, corpus_folder, tmp_path, name)) for name in (plain, "changed"))
    for found in (unchanged, changed):
        for key in ("arm", "config", "overrides"):
            del found[key]
    assert changed != unchanged


@pytest.mark.parametrize("step", [2, 3, 4])
def test_an_untied_run_goes_on_where_it_was(step: int, corpus_folder: Path, tmp_path: Path) -> None:
    """Interrupted before, at and after the step at which it is untied."""
    experiment = experiment_with_arms()
    whole = run_toy(experiment, corpus_folder, tmp_path / "whole", "untied-half-way")
    reached = 0

    def note(progress: Progress) -> None:
        nonlocal reached
        reached = progress.step

    def go(policy: CheckpointPolicy) -> RunRecord:
        corpus = tokenized(experiment, corpus_folder)
        return train_arm(experiment, "untied-half-way", 0, corpus, FP32, tmp_path, "tiedlm train", note, policy)

    with pytest.raises(Interrupted):
        go(CheckpointPolicy(should_stop=lambda: reached == step))
    assert outcome(go(CheckpointPolicy())) == outcome(whole)


@pytest.mark.parametrize(
    "wrong",
    [
        {"intervention": {"tied_fraction": 0.5}, "model": {"tie_word_embeddings": False}},
        {"model": {"tie_word_embeddings": True}, "intervention": {"output_matrix_start": "copied"}},
    ],
)
def test_an_arm_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InputError), match=r"applies only to (un)?tied models; set it under arms\.NAME"):
        toy_experiment(arms={"wrong": wrong}).run_config("wrong")


@pytest.mark.parametrize("kind", ["band:0", "band:1", "any:0"])
def test_a_permutation_moves_every_ordinary_token_within_its_band(kind: str) -> None:
    rows = draw_output_rows(kind, COUNTS)
    special = len(SPECIAL_TOKENS)
    assert rows.sort().values.equal(torch.arange(V))
    assert rows[:special].equal(torch.arange(special))
    moved = (rows - torch.arange(V))[special:].abs()
    assert (moved > 0).all()
    assert (moved.max() < 2 * BAND_SIZE) == kind.startswith("band")
    assert not rows.equal(draw_output_rows("band:2", COUNTS))


def test_a_permuted_head_scores_a_token_by_another_s_row(tmp_path: Path) -> None:
    model = build_model(toy_model(), V, 0, COUNTS, Intervention(output_rows="band:0"))
    plain = build_model(toy_model(), V, 0)
    rows = model.head.output_rows
    assert rows is not None
    blocks = torch.randint(len(SPECIAL_TOKENS), V, (3, 16))
    batch = fold_batch(blocks, fold_ranks(blocks, 0), 0)
    logits = model(batch.input_ids, batch.masked_lm_positions)
    assert logits.equal(plain(batch.input_ids, batch.masked_lm_positions)[..., rows])
    expected = masked_lm_loss(logits, batch.masked_lm_ids, batch.masked_lm_weights)
    assert model.loss(batch).item() == pytest.approx(expected.item(), rel=1e-6)
    nll, is_correct = model.score(batch)
    of_each = torch.nn.functional.cross_entropy(logits.mT, batch.masked_lm_ids, reduction="none")
    torch.testing.assert_close(nll, of_each.detach())
    assert is_correct.equal(logits.argmax(-1) == batch.masked_lm_ids)
    save_model(model, V, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded(batch.input_ids, batch.masked_lm_positions).equal(logits)


@pytest.mark.parametrize(("tied", "scale"), [(True, 1.0), (True, 3.0), (False, 3.0), (False, 0.0)])
def test_the_two_sides_of_the_gradient_are_those_of_autograd(tied: bool, scale: float) -> None:
    """Against a plain forward pass with two matrices of its own."""
    model = build_model(
        toy_model(tie_word_embeddings=tied), V, 0, None, Intervention(input_gradient_scale=scale)
    ).double()
    blocks = torch.randint(len(SPECIAL_TOKENS), V, (3, 16))
    batch = fold_batch(blocks, fold_ranks(blocks, 0), 0)
    table = model.embeddings.word_embeddings.weight.detach().clone().requires_grad_()
    output_matrix = model.head.decoder.weight.detach().clone().requires_grad_()
    vectors = model.embeddings.norm(table[batch.input_ids])
    hidden = model.head.transform(model.encoder(vectors, batch.masked_lm_positions, None))
    logits = hidden @ output_matrix.T + model.head.decoder.bias
    masked_lm_loss(logits, batch.masked_lm_ids, batch.masked_lm_weights).backward()
    of_input, of_output = table.grad, output_matrix.grad
    assert of_input is not None
    assert of_output is not None
    model.zero_grad()

    found = gradient_sides(model, batch, torch.autocast("cpu", enabled=False))
    assert found.input_norm == pytest.approx(of_input.norm().item())
    assert found.output_norm == pytest.approx(of_output.norm().item())
    assert found.cosine == pytest.approx((of_input * of_output).sum().item() / found.input_norm / found.output_norm)
    assert all(parameter.grad is None for parameter in model.parameters())

    model.loss(batch).backward()
    expected = scale * of_input + (of_output if tied else 0.0)
    torch.testing.assert_close(model.embeddings.word_embeddings.weight.grad, expected)


def test_bands_are_of_the_tokens_as_often_as_train_has_them(corpus_folder: Path, tmp_path: Path) -> None:
    record = run_toy(toy_experiment(), corpus_folder, tmp_path / "out")
    corpus = tokenized(toy_experiment(), corpus_folder)
    counts = corpus.token_counts("train")
    assert frequency_bands(np.array([0, 9, 10, 99, 100, 9_999, 10_000, 10**7])).tolist() == [0, 0, 1, 1, 2, 3, 4, 4]
    for split in ("valid", "test"):
        bands = record.metrics[split].bands
        assert bands is not None
        assert [band.least_count for band in bands] == list(LEAST_COUNTS)
        of_tokens = counts[corpus.token_ids(split)]
        for band, top in zip(bands, (*LEAST_COUNTS[1:], 10**9), strict=True):
            assert band.num_tokens == ((band.least_count <= of_tokens) & (of_tokens < top)).sum()


def test_a_smaller_fraction_is_a_part_of_a_larger_one(corpus_folder: Path) -> None:
    found = []
    for fraction in (0.1, 0.5, 1.0):
        experiment = toy_experiment(**{"corpus.fraction": fraction})
        found.append(tokenized(experiment, corpus_folder).blocks("train", experiment.corpus))
    assert [len(blocks) for blocks in found] == [round(len(found[2]) * fraction) for fraction in (0.1, 0.5, 1.0)]
    for small, large in itertools.pairwise(found):
        assert all((row == large).all(1).any() for row in small)

"""The arms that separate the causes: each is what it says, and nothing else."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import toy_experiment, toy_model, train_arm, write_toy_corpus
from tests.training.test_run import FP32, KNOBS, outcome, run_toy, tokenized
from tiedlm.comparison.comparability import check_comparable
from tiedlm.config.experiment import Experiment
from tiedlm.config.interventions import ONLY_UNTIED, Intervention
from tiedlm.config.train_config import SHARED_TRAIN_KEYS
from tiedlm.data.frequency_bands import LEAST_COUNTS, frequency_bands
from tiedlm.data.masking import fold_batch, fold_ranks
from tiedlm.errors import InputError
from tiedlm.masked_batch import SPECIAL_TOKENS
from tiedlm.model.head import masked_lm_loss
from tiedlm.model.masked_lm import build_model
from tiedlm.model.output_rows import BAND_SIZE, draw_output_rows, draw_rotation
from tiedlm.model.saved_model import load_model, save_model
from tiedlm.record.run_record import RunRecord
from tiedlm.training.cost import expected_cost
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
    "tied-rotated": {"model": {"tie_word_embeddings": True}, "intervention": {"output_rows": "rotated:0"}},
    "tied-below-all": {"model": {"tie_word_embeddings": False}, "intervention": {"tied_below": 10**9}},
    "tied-from-none": {"model": {"tie_word_embeddings": False}, "intervention": {"tied_from": 0}},
    "tied-below-none": {"model": {"tie_word_embeddings": False}, "intervention": {"tied_below": 0}},
    "tied-from-all": {"model": {"tie_word_embeddings": False}, "intervention": {"tied_from": 10**9}},
    "tied-below-some": {"model": {"tie_word_embeddings": False}, "intervention": {"tied_below": 30}},
    "tied-scaled-none": {
        "model": {"tie_word_embeddings": True},
        "intervention": {"output_gradient_scale": 0.5, "input_gradient_scale": 0.5, "gradient_scales_below": 0},
    },
    "untied-halved": {"model": {"tie_word_embeddings": False}, "intervention": {"halved": True}},
    "untied-frozen-input": {"model": {"tie_word_embeddings": False}, "intervention": {"freeze": "input"}},
    "untied-frozen-output": {"model": {"tie_word_embeddings": False}, "intervention": {"freeze": "output"}},
    "untied-no-bias": {"model": {"tie_word_embeddings": False}, "intervention": {"decoder_bias": False}},
    "untied-at-the-end": {"model": {"tie_word_embeddings": True}, "intervention": {"tied_fraction": 0.99}},
}
OTHER_VALUES: dict[str, tuple[dict[str, Any], bool]] = {  # of each field, and whether it is for a tied model
    "output_rows": ({"output_rows": "band:0"}, True),
    "halved": ({"halved": True}, False),
    "tied_below": ({"tied_below": 30}, False),
    "tied_from": ({"tied_from": 30}, False),
    "output_matrix_start": ({"output_matrix_start": "copied"}, False),
    "input_gradient_scale": ({"input_gradient_scale": 2.0}, True),
    "output_gradient_scale": ({"output_gradient_scale": 0.0}, True),
    "gradient_scales_below": ({"gradient_scales_below": 30, "output_gradient_scale": 0.0}, True),
    "input_matrix_rate_scale": ({"input_matrix_rate_scale": 2.0}, False),
    "output_matrix_rate_scale": ({"output_matrix_rate_scale": 2.0}, False),
    "freeze": ({"freeze": "input"}, False),
    "pull": ({"pull": 0.1}, False),
    "decoder_bias": ({"decoder_bias": False}, False),
    "tied_fraction": ({"tied_fraction": 0.5}, True),
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


def with_same_start(record: RunRecord) -> dict[str, Any]:
    """What a run has come to, where its parameters have other names than those of the other."""
    whole = learned(record)
    return {"metrics": whole["metrics"], "curve": whole["curve"]}


@pytest.mark.parametrize(
    ("arm", "plain"),
    [
        ("tied-below-all", "tied"),
        ("tied-from-none", "tied"),
        ("tied-below-none", "untied"),
        ("tied-from-all", "untied"),
        ("tied-scaled-none", "tied"),
    ],
)
def test_an_intervention_at_its_end_is_the_plain_run(arm: str, plain: str, records: dict[str, RunRecord]) -> None:
    assert with_same_start(records[arm]) == with_same_start(records[plain])
    assert records[arm].parameters == records[plain].parameters


def test_a_model_tied_for_rare_tokens_has_rows_of_its_own_for_the_others(records: dict[str, RunRecord]) -> None:
    some, untied = records["tied-below-some"].parameters, records["untied"].parameters
    assert 0 < some["decoder_weight"] < untied["decoder_weight"]
    assert some["decoder_weight"] % 32 == 0
    found = learned(records["tied-below-some"])["metrics"]
    assert found not in [learned(records[arm])["metrics"] for arm in ("tied", "untied")]


def test_a_halved_model_has_as_many_parameters_as_a_tied_one_and_two_maps(records: dict[str, RunRecord]) -> None:
    halved, tied = records["untied-halved"].parameters, records["tied"].parameters
    assert halved["word_embeddings"] == halved["decoder_weight"]
    assert halved["word_embeddings"] + halved["decoder_weight"] == tied["word_embeddings"] + 32 * 32
    assert sum(halved.values()) == sum(tied.values()) + 32 * 32


def test_the_parameters_of_every_arm_are_known_before_it_is_trained(
    records: dict[str, RunRecord], corpus_folder: Path
) -> None:
    corpus = tokenized(experiment_with_arms(), corpus_folder)
    for record in records.values():
        assert expected_cost(record.config, corpus).parameters == sum(record.parameters.values()), record.arm
    check_comparable(list(records.values()))


def test_a_rotation_by_the_identity_gives_the_tied_run(
    records: dict[str, RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert learned(records["tied-rotated"])["metrics"] != learned(records["tied"])["metrics"]
    assert records["tied-rotated"].pairing == records["tied"].pairing
    assert records["tied-rotated"].parameters == records["tied"].parameters
    monkeypatch.setattr("tiedlm.model.masked_lm.draw_rotation", lambda _, size: torch.eye(size))
    write_toy_corpus(tmp_path / "corpus")
    by_identity = run_toy(experiment_with_arms(), tmp_path / "corpus", tmp_path / "out", "tied-rotated")
    assert learned(by_identity) == learned(records["tied"])


def test_a_rotation_turns_and_does_nothing_else() -> None:
    rotation = draw_rotation("rotated:0", 32)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(32))
    assert not rotation.equal(draw_rotation("rotated:1", 32))
    turned = build_model(toy_model(), V, 0, None, Intervention(output_rows="rotated:0"))
    plain = build_model(toy_model(), V, 0)
    table = plain.embeddings.word_embeddings.weight
    hidden = torch.randn(2, 3, 32)
    expected = plain.head.transform(hidden) @ (table @ rotation).T
    torch.testing.assert_close(turned.head(hidden), expected)
    torch.testing.assert_close(turned.head.rows_by_token()[0], table @ rotation)
    assert not turned.scores_by_input_rows


@pytest.mark.parametrize(
    ("arm", "frozen", "free"),
    [
        ("untied-frozen-input", "embeddings.word_embeddings.weight", "head.decoder.weight"),
        ("untied-frozen-output", "head.decoder.weight", "embeddings.word_embeddings.weight"),
    ],
)
def test_a_frozen_matrix_stays_as_it_was_drawn(arm: str, frozen: str, free: str, tmp_path: Path) -> None:
    write_toy_corpus(tmp_path / "corpus")
    record = run_toy(experiment_with_arms(), tmp_path / "corpus", tmp_path, arm)
    drawn = build_model(toy_model(tie_word_embeddings=False), record.data.vocab_size, 0).state_dict()
    trained = load_model(tmp_path / record.run.model_file).state_dict()
    assert trained[frozen].equal(drawn[frozen])
    assert not trained[free].equal(drawn[free])


def test_a_pull_adds_the_distance_of_the_two_matrices_to_the_loss_in_training_alone() -> None:
    plain = build_model(toy_model(tie_word_embeddings=False), V, 0)
    pulled = build_model(toy_model(tie_word_embeddings=False), V, 0, None, Intervention(pull=0.5))
    blocks = torch.randint(len(SPECIAL_TOKENS), V, (3, 16))
    batch = fold_batch(blocks, fold_ranks(blocks, 0), 0)
    apart = plain.head.decoder.weight - plain.embeddings.word_embeddings.weight
    assert pulled.loss(batch).item() == pytest.approx((plain.loss(batch) + 0.5 * apart.square().sum()).item())
    plain.loss(batch).backward()
    pulled.loss(batch).backward()
    for found, expected, sign in (
        (pulled.head.decoder.weight, plain.head.decoder.weight, 1.0),
        (pulled.embeddings.word_embeddings.weight, plain.embeddings.word_embeddings.weight, -1.0),
    ):
        assert expected.grad is not None
        torch.testing.assert_close(found.grad, expected.grad + sign * apart.detach())
    assert pulled.eval().loss(batch).item() == pytest.approx(plain.eval().loss(batch).item())


def test_an_output_without_a_bias_has_none_to_count_or_learn(records: dict[str, RunRecord]) -> None:
    assert records["untied-no-bias"].parameters == records["untied"].parameters | {"decoder_bias": 0}


@pytest.mark.parametrize("arm", ["tied-below-some", "untied-halved", "untied-no-bias", "tied-rotated"])
def test_what_an_intervention_made_is_saved_and_loaded_whole(arm: str, tmp_path: Path) -> None:
    config = experiment_with_arms().run_config(arm)
    model = build_model(config.model, V, 0, COUNTS, config.intervention).eval()
    save_model(model, V, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors").eval()
    ids, places = torch.randint(len(SPECIAL_TOKENS), V, (2, 16)), torch.tensor([[0], [3]])
    assert loaded(ids, places).equal(model(ids, places))
    rows, bias = loaded.head.rows_by_token()
    guess = loaded.head.transform(loaded.hidden_states(ids, places))
    torch.testing.assert_close(guess @ rows.T + bias, model(ids, places))


def test_every_intervention_has_another_value_here() -> None:
    assert OTHER_VALUES.keys() == Intervention.model_fields.keys()


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_no_intervention_is_dead(field: str, corpus_folder: Path, tmp_path: Path) -> None:
    value, ties = OTHER_VALUES[field]
    plain = "tied" if ties else "untied"
    arm = {"model": {"tie_word_embeddings": ties}, "intervention": value}
    arms = {"changed": arm}
    if others := {key: of_key for key, of_key in value.items() if key != field}:  # what it says something more of
        arms[plain := "others"] = {"model": {"tie_word_embeddings": ties}, "intervention": others}
    experiment = toy_experiment(arms=arms)
    records = [run_toy(experiment, corpus_folder, tmp_path, name) for name in (plain, "changed")]
    check_comparable(records)
    unchanged, changed = map(outcome, records)
    for found in (unchanged, changed):
        for key in ("arm", "config", "overrides"):
            del found[key]
    assert changed != unchanged


OF_ARMS = [(section, key) for section in ("model", "train") for key in KNOBS[section] if key not in SHARED_TRAIN_KEYS]


@pytest.mark.parametrize(("section", "key"), OF_ARMS)
def test_an_arm_that_changes_a_key_is_a_pair_with_the_plain_one(
    section: str, key: str, corpus_folder: Path, tmp_path: Path
) -> None:
    """Also where the key decides the start values."""
    arm: dict[str, Any] = {"model": {"tie_word_embeddings": True}}
    arm[section] = arm.get(section, {}) | {key: KNOBS[section][key]}
    experiment = toy_experiment(arms={"changed": arm} if key != "tie_word_embeddings" else {})
    check_comparable(
        [run_toy(experiment, corpus_folder, tmp_path, name) for name in ("tied", experiment.arm_names[-1])]
    )


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
        *({"model": {"tie_word_embeddings": True}, "intervention": OTHER_VALUES[key][0]} for key in ONLY_UNTIED),
    ],
)
def test_an_arm_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InputError), match=r"applies only to (un)?tied models; set it under arms\.NAME"):
        toy_experiment(arms={"wrong": wrong}).run_config("wrong")


@pytest.mark.parametrize(
    ("intervention", "remedy"),
    [
        ({"gradient_scales_below": 30}, "set one of these, or leave it out"),
        ({"halved": True, "pull": 0.1}, "leave one of them out"),
        ({"tied_below": 30, "tied_from": 30}, "give one of them"),
    ],
)
def test_interventions_that_do_not_go_together_are_refused(intervention: dict[str, Any], remedy: str) -> None:
    wrong = {"model": {"tie_word_embeddings": False}, "intervention": intervention}
    with pytest.raises((ValueError, InputError), match=rf"; {remedy}(?!;)"):
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


@pytest.mark.parametrize("below", [None, 10_000])
@pytest.mark.parametrize("output_scale", [1.0, 0.0, 0.5])
@pytest.mark.parametrize(("tied", "scale"), [(True, 1.0), (True, 3.0), (False, 3.0), (False, 0.0)])
def test_the_two_sides_of_the_gradient_are_those_of_autograd(
    tied: bool, scale: float, output_scale: float, below: int | None
) -> None:
    """Against a plain forward pass with two matrices of its own."""
    scales = {"input_gradient_scale": scale, "output_gradient_scale": output_scale, "gradient_scales_below": below}
    model = build_model(toy_model(tie_word_embeddings=tied), V, 0, COUNTS, Intervention.model_validate(scales)).double()
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
    is_rare = torch.from_numpy((below or 10**9) > COUNTS).unsqueeze(1)
    of_input, of_output = (
        torch.where(is_rare, factor * side, side) for factor, side in ((scale, of_input), (output_scale, of_output))
    )
    torch.testing.assert_close(model.embeddings.word_embeddings.weight.grad, of_input + (of_output if tied else 0.0))
    if not tied:
        torch.testing.assert_close(model.head.decoder.weight.grad, of_output)


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

"""Training: what the arms share, what the knobs do, and that a run can be repeated."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import toy_experiment, train_arm
from tiedlm.config.experiment import Experiment
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import TokenizedCorpus, tokenize
from tiedlm.generators import make_generator
from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.masked_lm import build_model
from tiedlm.record.run_record import RunRecord
from tiedlm.training.device import Runtime, peak_memory_bytes
from tiedlm.training.fold_evaluation import evaluate
from tiedlm.training.loop import RunFailed, train
from tiedlm.training.optim import build_optimizers, schedule
from tiedlm.training.progress import Progress
from tiedlm.training.state import TrainingState

FP32 = Runtime("cpu", "fp32")


def ignore(_: object) -> None:
    """Watch nothing."""


def tokenized(experiment: Experiment, folder: Path) -> TokenizedCorpus:
    """The corpus of a folder under an experiment's tokenizer."""
    return tokenize(load_corpus(str(folder), None), experiment.corpus)


def run_toy(
    experiment: Experiment,
    folder: Path,
    out: Path,
    arm: str = "tied",
    seed: int = 0,
    on_progress: Callable[[Progress], None] = ignore,
) -> RunRecord:
    """One run of the toy experiment, record and all."""
    out.mkdir(exist_ok=True)
    return train_arm(experiment, arm, seed, tokenized(experiment, folder), FP32, out, "tiedlm train", on_progress)


def outcome(record: RunRecord) -> dict[str, Any]:
    """A record without what no two runs share: times and memory."""
    kept = record.model_dump(exclude={"cost", "provenance", "sha256"})
    for point in kept["curve"]:
        del point["train_seconds"]
    return kept


def test_the_same_run_twice_is_equal_bit_for_bit(corpus_folder: Path, tmp_path: Path) -> None:
    experiment = toy_experiment(**{"model.hidden_dropout_prob": 0.1})
    first, second = (run_toy(experiment, corpus_folder, tmp_path / name) for name in ("a", "b"))
    assert outcome(first) == outcome(second)
    assert (tmp_path / "a/tied-seed0.safetensors").read_bytes() == (tmp_path / "b/tied-seed0.safetensors").read_bytes()


def test_another_seed_is_another_run(corpus_folder: Path, tmp_path: Path) -> None:
    first, second = (run_toy(toy_experiment(), corpus_folder, tmp_path, seed=seed) for seed in (0, 1))
    assert first.metrics["valid"].total_nll_nats != second.metrics["valid"].total_nll_nats
    one, other = first.pairing, second.pairing
    assert one is not None
    assert other is not None
    assert (one.order_sha256, one.masks_sha256) != (other.order_sha256, other.masks_sha256)
    assert one.eval_masks_sha256 == other.eval_masks_sha256
    matrices = {name for name, value in one.start_values.items() if "×" in value.partition(" ")[0]}
    assert {name for name in one.start_values if one.start_values[name] != other.start_values[name]} == matrices


def test_the_arms_of_a_seed_have_the_hashes_of_what_they_share(corpus_folder: Path, tmp_path: Path) -> None:
    """By an independent reckoning of the first batch, and equal in both arms whatever only one of them has."""
    experiment = toy_experiment(**{"train.num_steps": 1, "train.num_evaluations": 1})
    tied, untied = (run_toy(experiment, corpus_folder, tmp_path, arm=arm).pairing for arm in ("tied", "untied"))
    assert tied is not None
    assert untied is not None
    assert untied.start_values.keys() - tied.start_values.keys() == {"head.decoder.weight"}
    assert {name: untied.start_values[name] for name in tied.start_values} == tied.start_values
    assert untied.model_copy(update={"start_values": {}}) == tied.model_copy(update={"start_values": {}})
    blocks = tokenized(experiment, corpus_folder).blocks("train", experiment.corpus)
    order = torch.randperm(len(blocks), generator=make_generator(0, "order"))[:4]
    digest = hashlib.sha256(hashlib.sha256().hexdigest().encode() + b"(torch.int64, (4,))" + order.numpy().tobytes())
    assert tied.order_sha256 == digest.hexdigest()


def test_both_arms_see_the_same_batches_and_masks(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[MaskedBatch]] = {"tied": [], "untied": []}
    for arm, batches in seen.items():

        def keep(batch: MaskedBatch, _device: str, batches: list[MaskedBatch] = batches) -> MaskedBatch:
            batches.append(batch)
            return batch

        monkeypatch.setattr(MaskedBatch, "to", keep)
        run_toy(toy_experiment(), corpus_folder, tmp_path, arm=arm)
    assert len(seen["tied"]) == len(seen["untied"]) > toy_experiment().train.num_steps  # evaluation's masks too
    for tied, untied in zip(seen["tied"], seen["untied"], strict=True):
        assert all(torch.equal(tensor, getattr(untied, name)) for name, tensor in vars(tied).items())


def test_a_record_proves_its_arm(corpus_folder: Path, tmp_path: Path) -> None:
    tied, untied = (run_toy(toy_experiment(), corpus_folder, tmp_path, arm=arm) for arm in ("tied", "untied"))
    saved = sum(untied.parameters.values()) - sum(tied.parameters.values())
    assert saved == untied.parameters["decoder_weight"] == tied.data.vocab_size * 32
    assert (tied.parameters["decoder_weight"], tied.config.model.tie_word_embeddings) == (0, True)
    lying = {**tied.model_dump(), "parameters": untied.parameters}
    with pytest.raises(ValueError, match="decoder_weight"):
        RunRecord.model_validate(lying)


def test_the_curve_begins_at_the_uniform_guess_and_learns(corpus_folder: Path, tmp_path: Path) -> None:
    experiment = toy_experiment(**{"train.num_steps": 200})
    record = run_toy(experiment, corpus_folder, tmp_path)
    assert [point.step for point in record.curve] == [0, 100, 200]
    assert record.curve[0].valid_loss_nats == pytest.approx(math.log(record.data.vocab_size), rel=0.05)
    valid = record.metrics["valid"]
    assert valid.masked_lm_perplexity < 0.7 * valid.unigram_perplexity
    corpus = tokenized(experiment, corpus_folder)
    for split, metrics in record.metrics.items():
        assert metrics.num_tokens == corpus.num_tokens[split] == sum(metrics.block_num_tokens)
        assert metrics.unigram_perplexity == corpus.unigram_perplexity(split)
    last = record.curve[-1]
    assert last.num_tokens == 200 * experiment.train.batch_size * experiment.corpus.seq_length
    assert last.train_loss_nats != last.valid_loss_nats
    assert sum(valid.block_nll_nats) == pytest.approx(valid.total_nll_nats)


@pytest.mark.parametrize("arm", ["tied", "untied"])
def test_one_batch_can_be_learned_by_heart(arm: str) -> None:
    experiment = toy_experiment(**{"train.num_steps": 500, "train.weight_decay": 0.0})
    config = experiment.run_config(arm)
    blocks = torch.randint(3, 40, (4, 16), generator=torch.Generator().manual_seed(0))
    model = build_model(config.model, 40, seed=0)
    state = TrainingState(model, len(blocks), config.train, seed=0)
    train(state, blocks, config.train, 40, FP32.autocast(), ignore)
    assert evaluate(model, blocks, 0, FP32.autocast()).masked_lm_loss_nats < 0.1 * math.log(40)


def test_a_diverged_run_is_an_error_with_its_step(corpus_folder: Path, tmp_path: Path) -> None:
    experiment = toy_experiment(**{"train.learning_rate": 1e30, "train.num_steps": 10})
    with pytest.raises(RunFailed, match=r"^step \d+: loss .*lower the learning rates"):
        run_toy(experiment, corpus_folder, tmp_path)
    assert list(tmp_path.glob("*-seed*")) == []


def test_a_tied_matrix_is_one_parameter_of_one_group() -> None:
    for arm, expected in (("tied", 1), ("untied", 2)):
        config = toy_experiment().run_config(arm)
        model = build_model(config.model, 50, seed=0)
        adam, muon = build_optimizers(model, config.train, torch.float32)
        listed = [
            id(parameter)
            for optimizer in (adam, muon)
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())  # each once, none left out
        wide = [sum(parameter.shape == (50, 32) for parameter in group["params"]) for group in adam.param_groups]
        assert wide == [1, 0, 0, expected - 1]
        assert adam.param_groups[0]["weight_decay"] == adam.param_groups[3]["weight_decay"] == 0.1
        assert {parameter.dim() for parameter in adam.param_groups[2]["params"]} == {1}
        assert adam.param_groups[2]["weight_decay"] == 0.0
        assert adam.defaults["betas"] == (0.9, 0.98)
        assert (muon.defaults["lr"], muon.defaults["weight_decay"]) == (0.02, 0.1)


def test_the_schedule_warms_up_and_decays_and_never_stands_still() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors.index(max(factors)) in (9, 10)
    assert max(factors) == 1.0
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert min(factors) > 0


# One other value for each key; the text says what must change when the key does.
KNOBS: dict[str, dict[str, Any]] = {
    "model": {
        "encoder": "bert",
        "hidden_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 24,
        "hidden_dropout_prob": 0.3,
        "attention_probs_dropout_prob": 0.3,
        "initializer_range": 0.05,
        "rope_theta": 100.0,
        "tie_word_embeddings": False,
        "head_transform": False,
        "head_dense_identity": 0.25,
    },
    "corpus": {
        "name": "other",
        "tokenizer": "bpe:270",
        "seq_length": 12,
        "fraction": 0.5,
        "fraction_seed": 1,
        "vocabulary": "fraction",
    },
    "train": {
        "num_steps": 9,
        "batch_size": 3,
        "mlm_probability": 0.5,
        "learning_rate": 0.02,
        "norm_and_bias_learning_rate": 0.02,
        "muon_learning_rate": 0.0,
        "adam_beta1": 0.5,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-3,
        "weight_decay": 0.5,
        "warmup_fraction": 0.6,
        "max_grad_norm": 0.05,
        "num_evaluations": 3,
        "eval_mask_seed": 1,
    },
}


def trace(experiment: Experiment, folder: Path, out: Path) -> dict[str, Any]:
    """Everything that a configuration can change in a run, without the configuration itself."""
    arm = "tied" if experiment.model.tie_word_embeddings else "untied"  # so that the key is seen, not the built-in arm
    found = outcome(run_toy(experiment, folder / experiment.corpus.name, out, arm))
    for key in ("config", "overrides", "arm"):
        del found[key]
    del found["data"]["corpus"], found["data"]["text_sha256"]
    return found


def test_the_list_of_knobs_is_complete() -> None:
    experiment = toy_experiment()
    for section, knobs in KNOBS.items():
        assert knobs.keys() == type(getattr(experiment, section)).model_fields.keys()
    assert set(Experiment.model_fields) == {
        *KNOBS,
        *("name", "seeds", "arms", "contrasts", "tune", "resources"),  # tested through the commands
        "intervention",  # in test_arms.py
    }


def test_peak_memory_is_told_where_the_kernel_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under gVisor, whose /proc/self/status has no VmHWM."""
    here = peak_memory_bytes(FP32)
    monkeypatch.setattr("pathlib.Path.read_text", lambda _: "Name:\tpython\nVmRSS:\t  100 kB\n")
    assert peak_memory_bytes(FP32) == pytest.approx(here, rel=0.5)


@pytest.mark.parametrize(("section", "key"), [(section, key) for section in KNOBS for key in KNOBS[section]])
def test_no_knob_is_dead(section: str, key: str, corpus_folder: Path, tmp_path: Path) -> None:
    place = f"{section}.{key}"
    other = corpus_folder.parent / "other"
    other.mkdir()
    for path in corpus_folder.iterdir():
        (other / path.name).write_text(path.read_text().replace("cow", "ox"))
    needs: dict[str, dict[str, Any]] = {
        "max_position_embeddings": {"model.encoder": "bert"},
        "fraction_seed": {"corpus.fraction": 0.5},
        "vocabulary": {"corpus.fraction": 0.02},
    }
    base = needs.get(key, {})
    changed = toy_experiment(**{**base, place: KNOBS[section][key]})
    before = trace(toy_experiment(**base), corpus_folder.parent, tmp_path)
    assert trace(changed, corpus_folder.parent, tmp_path) != before


def test_max_position_embeddings_is_a_limit_where_positions_are_rotary() -> None:
    with pytest.raises(ValueError, match=r"corpus\.seq_length=16 exceeds model\.max_position_embeddings=15"):
        toy_experiment(**{"model.max_position_embeddings": 15})

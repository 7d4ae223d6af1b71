"""Statistics, refusals, and what a comparison says."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.conftest import toy_experiment
from tiedlm.comparison.comparability import check_reusable, missing_runs
from tiedlm.comparison.compare import compare
from tiedlm.comparison.folder import compare_folder
from tiedlm.comparison.paired_statistics import paired_t
from tiedlm.comparison.text_notes import text_notes
from tiedlm.config.experiment import Experiment
from tiedlm.counting.closed_forms.parameters import count_config
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_record, save_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import SCHEMA_VERSION, RunRecord

NUM_BLOCKS = 60
BLOCK = 16  # tokens
VOCAB_SIZE = 100
OF_TEXT = {"num_unk": 0, "unk_nll_nats": 0.0, "num_words": 400, "num_bytes": 2_000}


def made_up(
    arm: str, seed: int, nats: float, noise: float = 0.02, of: Experiment | None = None, **changes: Any
) -> RunRecord:
    """A record with the given loss a token; block sums scatter around it the same way in every arm."""
    experiment = of or toy_experiment()
    config = experiment.run_config(arm)
    generator = random.Random(seed)
    blocks = [BLOCK * (nats + noise * generator.gauss(0, 1)) for _ in range(NUM_BLOCKS)]
    split = {
        "num_tokens": BLOCK * NUM_BLOCKS,
        "total_nll_nats": math.fsum(blocks),
        "num_correct": 320,
        "unigram_perplexity": 90.0,
        "bands": None,
        "block_nll_nats": blocks,
        "block_num_tokens": [BLOCK] * NUM_BLOCKS,
        **OF_TEXT,
    }
    point: dict[str, Any] = {
        "step": 0,
        "num_tokens": 0,
        "train_seconds": 0.0,
        "train_loss_nats": 4.6,
        "valid_loss_nats": 4.6,
    }
    point["gradients"] = None
    raw = {
        "schema_version": SCHEMA_VERSION,
        "experiment": "toy",
        "arm": arm,
        "seed": seed,
        "overrides": experiment.overrides(arm),
        "config": config.model_dump(),
        "data": {
            "corpus": "corpus",
            "text_sha256": {"train": "a" * 64, "valid": "b" * 64, "test": "c" * 64},
            "num_tokens": {"train": 1000},
            "tokenizer_sha256": "d" * 64,
            "vocab_size": VOCAB_SIZE,
        },
        "text_source": "corpus",
        "pairing": {
            "start_values": {"head.decoder.bias": "100 " + "e" * 64},
            "order_sha256": f"{seed:064x}",
            "masks_sha256": f"{seed + 1:064x}",
            "eval_masks_sha256": {"valid": "f" * 64, "test": "0" * 64},
        },
        "parameters": count_config("toy", config.model.config_json(VOCAB_SIZE)).groups,
        "metrics": {"valid": split, "test": split},
        "curve": [
            point,
            {**point, "step": 6, "num_tokens": 384, "valid_loss_nats": nats, "train_loss_nats": nats - 0.1},
        ],
        "model_sha256": None,
        "cost": {
            "train_seconds": 10.0,
            "tokens_per_second": 1e4,
            "total_seconds": 12.0,
            "peak_memory_bytes": 2**28,
            "checkpoint_bytes": 2**22,
        },
        "provenance": {
            "command": "tiedlm compare toy.toml",
            "finished_at": "2026-01-01T00:00:00+00:00",
            "tiedlm_version": "0.1.0",
            "git_commit": None,
            "git_dirty": None,
            "python": "3.11.7",
            "torch": "2.13.0",
            "device": "cpu",
            "processor": "a processor",
            "precision": "fp32",
            "num_threads": 1,
        },
    }
    for place, value in changes.items():
        target: Any = raw
        *path, key = place.split("__")
        for part in path:
            target = target[part]
        target[key] = value
    for split, metrics in raw["metrics"].items():
        raw["data"]["num_tokens"].setdefault(split, metrics["num_tokens"])
    return RunRecord.model_validate(raw).sealed()


def pairs(tied: list[float], untied: list[float]) -> list[RunRecord]:
    """Records of both arms, a pair a seed; the blocks of a seed scatter equally, so they cancel."""
    return [
        made_up(arm, seed, nats)
        for arm, losses in (("tied", tied), ("untied", untied))
        for seed, nats in enumerate(losses)
    ]


def test_the_interval_over_seeds_is_the_paired_t_of_scipy() -> None:
    tied, untied = [4.10, 4.30, 4.20, 4.05], [4.25, 4.41, 4.38, 4.11]
    valid = compare(pairs(tied, untied)).differences[0]
    test = stats.ttest_rel(untied, tied)
    assert valid.delta_nats.mean == pytest.approx(np.mean(untied) - np.mean(tied))
    assert valid.delta_nats.ci95 == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert valid.delta_nats.p_value == pytest.approx(test.pvalue)
    assert valid.perplexity_ratio == pytest.approx(math.exp(valid.delta_nats.mean))
    assert (valid.arms, valid.verdict, valid.delta_nats.method) == (
        ("tied", "untied"),
        "tied better",
        "paired t over 4 seeds",
    )


@pytest.mark.parametrize(
    ("untied", "verdict"),
    [([4.2, 4.1, 4.3], "inconclusive"), ([4.0, 3.99, 4.02], "untied better"), ([4.3, 4.31, 4.29], "tied better")],
)
def test_the_verdict_may_be_inconclusive(untied: list[float], verdict: str) -> None:
    assert compare(pairs([4.2, 4.2, 4.2], untied)).differences[0].verdict == verdict


def test_the_t_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(0.1, 1.0, size=(1_000, 4)).tolist()
    covered = sum(low <= 0.1 <= high for low, high in (paired_t(values).ci95 for values in draws))
    assert 930 <= covered <= 968  # 950 expected, standard deviation 6.9


def one_pair(differences: np.ndarray[Any, Any]) -> list[RunRecord]:
    """Both arms of one seed, with these differences of their blocks of ten tokens."""
    blocks = np.full(len(differences), 40.0)
    return [
        made_up(
            arm,
            0,
            4.0,
            metrics__valid={
                **made_up(arm, 0, 4.0).metrics["valid"].model_dump(),
                "num_tokens": BLOCK * len(values),
                "block_nll_nats": values.tolist(),
                "block_num_tokens": [BLOCK] * len(values),
                "total_nll_nats": math.fsum(values),
            },
        )
        for arm, values in (("tied", blocks), ("untied", blocks + differences))
    ]


def test_one_seed_gives_no_verdict_and_its_interval_is_that_of_the_text() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1.0, size=2_000)
    comparison = compare(one_pair(differences))
    valid = next(item for item in comparison.differences if item.split == "valid")
    expected = stats.bootstrap((differences / BLOCK,), np.mean, method="percentile", rng=np.random.default_rng(0))
    assert valid.delta_nats.ci95 == pytest.approx(tuple(expected.confidence_interval), abs=0.001)
    assert valid.delta_nats.mean == pytest.approx(differences.mean() / BLOCK)
    assert (valid.verdict, valid.delta_nats.p_value) == ("no verdict", None)
    assert valid.reason == "one seed: no verdict; --seeds 3 trains two more"
    assert "the choice of text, not the choice of seed" in valid.delta_nats.method
    assert comparison.arms["tied"].metrics["valid"].masked_lm_perplexity.std is None


def test_the_interval_of_the_text_knows_that_neighbouring_blocks_resemble_each_other() -> None:
    """Blocks of sums of five neighbours: the standard error of their mean is √5 times that of independent ones."""
    noise = np.random.default_rng(2).normal(size=4_004)
    differences = np.convolve(noise, np.ones(5) / 5**0.5, mode="valid")
    valid = next(item for item in compare(one_pair(differences)).differences if item.split == "valid")
    low, high = valid.delta_nats.ci95
    assert high - low == pytest.approx(2 * 1.96 * 5**0.5 / 4_000**0.5 / BLOCK, rel=0.15)


@pytest.mark.parametrize("worse", ["tied", "untied"])
def test_an_arm_at_the_unigram_level_gets_no_verdict(worse: str) -> None:
    losses = {"tied": [4.0, 4.1, 4.05], "untied": [4.3, 4.4, 4.36]} | {worse: [4.55, 4.56, 4.4]}
    valid = compare(pairs(losses["tied"], losses["untied"])).differences[0]  # the unigram level is ln 90 = 4.4998
    why = "it has hardly learned anything yet, so train longer"
    assert valid.verdict == "no verdict"
    assert valid.reason == f"no verdict: {worse} is worse than token frequencies alone; {why}"


@pytest.mark.parametrize(
    ("train_loss_nats", "why"),
    [
        (1.0, "it has overfit, so train for fewer steps or on more text"),
        (4.44, "it has hardly learned anything yet, so train longer"),  # on the plateau train is a little below valid
    ],
)
def test_an_arm_that_has_overfit_is_told_so_and_one_on_the_plateau_is_not(train_loss_nats: float, why: str) -> None:
    records = pairs([4.6, 4.4, 4.6], [4.0, 4.1, 4.05])
    last = records[0].curve[-1].model_copy(update={"train_loss_nats": train_loss_nats})
    comparison = compare([record.model_copy(update={"curve": [last]}) for record in records])
    worse = f"tied is worse than token frequencies alone on valid and test (seed 0, 2): {why}"
    assert comparison.notes == [worse, *text_notes(comparison.trained_on, may_cut_paragraphs=False)]
    assert comparison.differences[0].reason == f"no verdict: tied is worse than token frequencies alone; {why}"


def test_arms_that_compute_the_same_are_inconclusive() -> None:
    same = compare(pairs([4.0, 4.1], [4.0, 4.1])).differences[0]
    assert (same.delta_nats.mean, same.delta_nats.p_value, same.verdict) == (0.0, 1.0, "inconclusive")


@pytest.mark.parametrize(
    ("change", "value", "field"),
    [
        ("config__train__learning_rate", 0.5, "train.learning_rate (0.01, 0.5)"),
        ("config__corpus__tokenizer", "word:9", "corpus.tokenizer ('word', 'word:9')"),
        ("data__tokenizer_sha256", "1" * 64, f"data.tokenizer_sha256 ('{'d' * 64}', '{'1' * 64}')"),
        ("data__vocab_size", 7, "data.vocab_size (100, 7)"),
        ("provenance__precision", "bf16", "precision ('fp32', 'bf16')"),
        ("provenance__device", "cuda", "device ('cpu', 'cuda')"),
        ("experiment", "other", "experiment ('toy', 'other')"),
    ],
)
def test_runs_that_differ_in_more_than_arm_and_seed_are_refused(change: str, value: object, field: str) -> None:
    with pytest.raises(InputError) as refusal:
        compare([made_up("tied", 0, 4.0), made_up("untied", 0, 4.1, **{change: value})])
    assert str(refusal.value).startswith(
        f"tied-seed0.json and untied-seed0.json differ in {field}; only arm and seed may"
    )


def test_a_seed_without_a_partner_is_left_out_and_named() -> None:
    comparison = compare([*pairs([4.0, 4.1], [4.2, 4.3]), made_up("tied", 7, 3.0)])
    assert comparison.seeds == [0, 1]
    assert comparison.notes[0] == "seed 7 of tied has no partner and is left out"
    comparison = compare([*pairs([4.0, 4.1], [4.2, 4.3]), made_up("untied", 7, 3.0)])
    assert comparison.notes[0] == "seed 7 of untied has no run of tied beside it and is left out"
    with pytest.raises(InputError, match="nothing can be paired"):
        compare([made_up("tied", 0, 4.0), made_up("untied", 1, 4.0)])


def test_runs_of_which_none_has_a_record_are_told(tmp_path: Path) -> None:
    save_record(made_up("tied", 0, 4.0), tmp_path)
    with pytest.raises(InputError, match="none of these runs has a record"):
        compare_folder(tmp_path, [RunId("tied", 5), RunId("untied", 5)])


def test_only_what_is_missing_is_trained() -> None:
    records = [made_up("tied", 0, 4.0), made_up("untied", 1, 4.0)]
    assert missing_runs(records, [("tied", 0), ("untied", 0), ("tied", 1), ("untied", 1)]) == [
        ("untied", 0),
        ("tied", 1),
    ]


def test_records_of_another_configuration_are_not_reused() -> None:
    records = [made_up("tied", 0, 4.0), made_up("untied", 1, 4.0)]
    check_reusable(records, toy_experiment())
    changed = toy_experiment(**{"train.batch_size": 5})
    with pytest.raises(InputError, match=r"tied-seed0\.json .* train\.batch_size=4, now it is 5; choose another --out"):
        check_reusable(records, changed)


def test_the_document_has_the_promised_keys() -> None:
    document = json.loads(compare(pairs([4.0, 4.1], [4.2, 4.35])).model_dump_json())
    promised = {"schema_version", "experiment", "corpus", "seeds", "arms", "saved", "differences"}
    assert promised <= document.keys()
    arm = document["arms"]["untied"]
    costs = {"train_seconds", "tokens_per_second", "peak_memory_bytes", "checkpoint_bytes"}
    assert {"parameters", "metrics", *costs} <= arm.keys()
    assert arm["parameters"]["total"] == sum(count for group, count in arm["parameters"].items() if group != "total")
    valid = arm["metrics"]["valid"]
    assert {
        "masked_lm_perplexity",
        "masked_lm_loss_nats",
        "masked_lm_accuracy",
        "num_tokens",
        "unigram_perplexity",
    } <= valid.keys()
    assert valid["masked_lm_perplexity"].keys() == {"mean", "std", "values"}
    assert document["saved"] == {
        "parameters": 3200,
        "fraction": 3200 / arm["parameters"]["total"],
        "formula": "100 × 32 = 3,200",
    }
    promised = {"arms", "split", "delta_nats", "perplexity_ratio", "verdict"}
    assert document["differences"][0].keys() == promised | {
        *("is_exploratory", "p_holm", "detectable_nats", "bands", "ahead", "reason")
    }
    assert document["differences"][0]["delta_nats"].keys() == {"mean", "ci95", "p_value", "values", "method"}


def test_the_perplexity_is_that_of_all_tokens_not_a_mean_of_means() -> None:
    blocks = {"block_nll_nats": [5.0 * 16, 5.0 * 16, 7.0 * 10], "block_num_tokens": [16, 16, 10]}
    split = {
        "num_tokens": 42,
        "total_nll_nats": sum(blocks["block_nll_nats"]),
        "num_correct": 1,
        "bands": None,
        "unigram_perplexity": 1.0,
        **OF_TEXT,
    }
    record = made_up("tied", 0, 4.0, metrics__valid={**split, **blocks})
    assert record.metrics["valid"].masked_lm_perplexity == pytest.approx(math.exp(230 / 42))


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = made_up("untied", 3, 4.123456789)
    assert load_record(save_record(record, tmp_path)) == record
    assert len((tmp_path / "untied-seed3.json").read_text().splitlines()) < 160  # a person can scroll through it
    assert [path.name for path in tmp_path.iterdir()] == ["untied-seed3.json"]


@pytest.mark.parametrize("num_blocks", [1, 5, 19])
def test_a_few_blocks_decide_nothing(num_blocks: int) -> None:
    split = {
        "num_tokens": BLOCK * num_blocks,
        "num_correct": 1,
        "bands": None,
        "unigram_perplexity": 90.0,
        "block_num_tokens": [BLOCK] * num_blocks,
        **OF_TEXT,
    }
    records = [
        made_up(
            arm,
            0,
            4.0,
            metrics__valid=split | {"block_nll_nats": [nll] * num_blocks, "total_nll_nats": nll * num_blocks},
        )
        for arm, nll in (("tied", 40.0), ("untied", 41.0))
    ]
    comparison = compare(records)
    verdicts = {item.split: item.verdict for item in comparison.differences}
    assert verdicts["valid"] == "no verdict"
    assert f"a split has {num_blocks} blocks, too few to bootstrap; give more text or more seeds" in comparison.notes


def test_a_third_arm_with_fewer_seeds_costs_the_others_nothing() -> None:
    third = made_up("tied", 0, 4.05).model_copy(update={"arm": "third"})
    comparison = compare([*pairs([4.0, 4.1, 4.2], [4.2, 4.35, 4.4]), third])
    assert comparison.seeds == [0, 1, 2]
    untied, bare = (item for item in comparison.differences if item.split == "valid")
    assert (untied.arms, len(untied.delta_nats.values)) == (("tied", "untied"), 3)
    assert (bare.arms, len(bare.delta_nats.values)) == (("tied", "third"), 1)
    assert any("the arms have not the same seeds" in note for note in comparison.notes)


def test_an_arm_has_one_definition() -> None:
    first, second = (made_up("tied", seed, 4.0) for seed in (0, 1))
    other = second.model_copy(update={"overrides": {"train": {"learning_rate": 0.2}}})
    with pytest.raises(InputError, match=r"tied-seed0\.json and tied-seed1\.json define arm 'tied' differently"):
        compare([first, other, made_up("untied", 0, 4.0)])


def test_the_difference_over_training_is_paired_by_seed_and_leaves_out_the_untrained_models() -> None:
    tied, untied = [4.1, 4.3, 4.2], [4.25, 4.41, 4.38]
    (curve,) = compare(pairs(tied, untied)).difference_curves
    expected = paired_t(np.subtract(untied, tied).tolist())
    assert (curve.arms, curve.num_tokens) == (("tied", "untied"), [384])
    assert curve.mean == pytest.approx([expected.mean])
    assert curve.ci95 is not None
    assert curve.ci95[0] == pytest.approx(expected.ci95)
    (of_one_seed,) = compare(pairs([4.1], [4.25])).difference_curves
    assert (of_one_seed.mean, of_one_seed.ci95) == (pytest.approx([0.15]), None)

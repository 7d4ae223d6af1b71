"""A random search: which trials are drawn, what is expected of fewer, and what lies at an edge."""

from __future__ import annotations

import itertools
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.comparison.test_compare import made_up
from tests.conftest import toy_experiment
from tiedlm.comparison.designs import TUNE_FILE, check_designs, load_tune
from tiedlm.comparison.sealed_design import save_decision, seal
from tiedlm.comparison.trials import tuned_folders
from tiedlm.comparison.tuning_table import FIRST_TUNING_SEED, TUNE_FOLDER, Tuning, expected_lowest, read_tuning
from tiedlm.config.ranges import Range
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import validated
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.record.divergence import Divergence, load_divergences, save_divergence
from tiedlm.record.record_file import save_record
from tiedlm.reporting.tuning_report import lowest_sentence
from tiedlm.reporting.write import update_report

RATES = {"train.learning_rate": {"low": 1e-3, "high": 2e-2, "scale": "log"}}
RANGES: dict[str, Any] = {**RATES, "intervention.output_matrix_rate_scale": {"low": 0.25, "high": 4, "scale": "log"}}


def search(trials: int | None = None, seeds: int = 1, **more: Any) -> Tune:
    """Over `RANGES`, or others."""
    return validated(Tune, {"seeds": seeds, "ranges": RANGES, "trials": trials} | more, "test")


# ---- what is drawn


def test_a_search_can_be_prolonged() -> None:
    trials = {number: list(tuned_folders(search(number)).items()) for number in (3, 8)}
    assert trials[8][:3] == trials[3]
    assert [name for name, _ in trials[8]] == [f"trial=000{number}" for number in range(1, 9)]
    assert search(8).prolongs(search(3))
    assert not search(3).prolongs(search(8))
    assert not search(8, seeds=2).prolongs(search(3))
    assert not search(8, ranges=RATES).prolongs(search(3))


def test_a_key_more_leaves_the_values_of_the_others() -> None:
    rates = {
        ranges: [values["train.learning_rate"] for values in tuned_folders(search(5, ranges=given)).values()]
        for ranges, given in (("one", RATES), ("two", RANGES))
    }
    assert rates["one"] == rates["two"]


@pytest.mark.parametrize(
    ("scale", "law"), [("log", stats.loguniform(0.01, 0.3)), ("linear", stats.uniform(0.01, 0.29))]
)
def test_trials_are_drawn_evenly_in_their_scale(scale: str, law: Any) -> None:
    tune = search(1_000, ranges={"train.weight_decay": {"low": 0.01, "high": 0.3, "scale": scale}})
    values = [values["train.weight_decay"] for values in tuned_folders(tune).values()]
    assert stats.kstest(values, law.cdf).pvalue > 0.01
    assert all(value == float(f"{value:.4g}") for value in values)
    assert min(values) >= 0.01
    assert max(values) <= 0.3


def test_choices_are_drawn_equally_often() -> None:
    tune = search(900, ranges={"train.max_grad_norm": {"choices": [0.3, 1.0, 3.0]}})
    values = [values["train.max_grad_norm"] for values in tuned_folders(tune).values()]
    assert stats.chisquare([values.count(choice) for choice in (0.3, 1.0, 3.0)]).pvalue > 0.01


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ({}, "neither values nor ranges"),
        ({"trials": 3, "values": {"train.learning_rate": [1e-3]}}, "tune.trials=3 has no ranges"),
        ({"ranges": {"train.learning_rate": {"low": 1e-3}}}, "tune.ranges.train.learning_rate lacks one of"),
        ({"ranges": {"train.learning_rate": {}}}, "either low, high and scale or choices"),
        ({"ranges": {"train.learning_rate": {"low": 2.0, "high": 1.0, "scale": "log"}}}, "low=2, which is not below"),
        ({"ranges": {"train.learning_rate": {"low": 0, "high": 1.0, "scale": "log"}}}, "low=0, which no logarithm has"),
        ({"ranges": {"rate": {"choices": [1.0]}}}, "is not a key of the experiment"),
    ],
)
def test_a_tuning_that_cannot_be_is_refused(tune: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        validated(Tune, {"seeds": 1} | tune, "test")


def test_a_grid_is_written_as_it_was_before_there_were_searches() -> None:
    values = {"train.learning_rate": [1e-3, 2e-3]}
    assert search(ranges=RANGES, values=values).design(None, "toy").model_dump() == {"seeds": 1, "values": values}


def test_trials_and_ranges_go_together() -> None:
    grid = Tune(seeds=1, values={"train.learning_rate": [1e-3]})
    with pytest.raises(InputError, match=r"--trials 4: experiment 'toy' has no \[tune.ranges\]"):
        grid.design(4, "toy")
    with pytest.raises(InputError, match=r"the number of trials is missing; give --trials N"):
        search().design(None, "toy")
    with pytest.raises(InputError, match=r"--trials 0 is not a number from 1 to 1,000"):
        search().design(0, "toy")
    assert search(5).design(None, "toy") == search(5)
    assert search(5).design(7, "toy") == search(7)


# ---- what fewer trials find


@pytest.mark.parametrize("losses", [[4.2], [4.0, 5.0], [5.1, 4.3, 4.3, 4.9], [6.5, 6.5, 4.1, 4.7, 4.5]])
def test_the_expected_lowest_is_that_of_all_draws(losses: list[float]) -> None:
    for number, expected in enumerate(expected_lowest(losses), 1):
        draws = itertools.product(losses, repeat=number)
        assert expected == pytest.approx(statistics.fmean(map(min, draws)), abs=1e-9)


def test_the_expected_lowest_of_many_is_that_of_simulated_searches() -> None:
    generator = np.random.default_rng(0)
    losses = generator.normal(4.5, 0.3, size=24)
    found = expected_lowest(losses.tolist())
    lowest = generator.choice(losses, size=(100_000, 8)).min(axis=1)
    assert found[7] == pytest.approx(lowest.mean(), abs=4 * lowest.std() / math.sqrt(len(lowest)))
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(losses.mean(), abs=1e-12)


# ---- edges


@pytest.mark.parametrize(
    ("key", "of", "value", "edge"),
    [
        ("train.learning_rate", {"low": 1e-3, "high": 1e-1, "scale": "log"}, 1.25e-3, "lowest"),
        ("train.learning_rate", {"low": 1e-3, "high": 1e-1, "scale": "log"}, 1.3e-3, None),
        ("train.learning_rate", {"low": 1e-3, "high": 1e-1, "scale": "log"}, 8e-2, "highest"),
        ("train.learning_rate", {"low": 0.0, "high": 1.0, "scale": "linear"}, 0.04, "lowest"),
        ("train.learning_rate", {"low": 0.0, "high": 1.0, "scale": "linear"}, 0.06, None),
        ("model.hidden_dropout_prob", {"low": 0.0, "high": 0.3, "scale": "linear"}, 0.001, None),  # none is below 0
        ("model.hidden_dropout_prob", {"low": 0.1, "high": 0.3, "scale": "linear"}, 0.101, "lowest"),
        ("intervention.tied_fraction", {"low": 0.5, "high": 1.0, "scale": "linear"}, 1.0, None),
        ("train.max_grad_norm", {"choices": [0.3, 3.0, 1.0]}, 3.0, "highest"),
        ("train.max_grad_norm", {"choices": [0.3, 3.0, 1.0]}, 1.0, None),
        ("train.max_grad_norm", {"choices": [0.3]}, 0.3, None),
        ("model.encoder", {"choices": ["bert", "modernbert"]}, "bert", None),
        ("model.head_transform", {"choices": [True, False]}, True, None),
    ],
)
def test_an_edge_is_where_a_better_value_may_lie_beyond(
    key: str, of: dict[str, Any], value: Any, edge: str | None
) -> None:
    assert validated(Range, of, "test").edge(key, value) == edge


def test_the_ends_of_a_grid_are_edges() -> None:
    grid = Tune(seeds=1, values={"train.learning_rate": [1e-3, 2e-3, 4e-3], "train.weight_decay": [0.0, 0.1]})
    assert [grid.edge("train.learning_rate", value) for value in (1e-3, 2e-3, 4e-3)] == ["lowest", None, "highest"]
    assert [grid.edge("train.weight_decay", value) for value in (0.0, 0.1)] == [None, "highest"]


# ---- what the records say


def write_search(folder: Path, tune: Tune, losses: dict[str, list[float | None]]) -> None:
    """A record of each arm for each trial, or that it has diverged."""
    (folder / TUNE_FOLDER).mkdir(parents=True)
    save_decision(seal(tune), folder / TUNE_FOLDER / TUNE_FILE)
    for number, (name, values) in enumerate(tuned_folders(tune).items()):
        place = folder / TUNE_FOLDER / name
        place.mkdir()
        for arm, of_arm in losses.items():
            experiment = toy_experiment(**values)
            record = made_up(arm, FIRST_TUNING_SEED, of_arm[number] or 4.0, of=experiment)
            if of_arm[number] is None:
                save_divergence(
                    Divergence(
                        schema_version=1,
                        experiment=record.experiment,
                        arm=arm,
                        seed=record.seed,
                        config=record.config,
                        data=record.data,
                        sentence="step 3: loss nan",
                        design_sha256=None,
                        provenance=record.provenance,
                    ),
                    place,
                )
            else:
                save_record(record, place)


def read(folder: Path) -> Tuning:
    tune = load_tune(folder)
    assert tune is not None
    return read_tuning(folder / TUNE_FOLDER, tune, check_designs)


def test_a_search_tells_the_lowest_loss_its_edges_and_what_does_nothing(tmp_path: Path) -> None:
    """The rates of trials 1 to 4 are 0.002266, 0.001721, 0.01771 and 0.01016, so that of the third is at the edge."""
    write_search(tmp_path, search(4), {"tied": [4.2, 4.3, None, 4.1], "untied": [4.4, None, 4.3, 4.5]})
    tuning = read(tmp_path)
    rates = [cell.values["train.learning_rate"] for cell in tuning.cells]
    assert [cell.losses_nats["tied"] for cell in tuning.cells][2] == [None]
    assert tuning.lowest["tied"].values == {"train.learning_rate": rates[3]}
    assert tuning.lowest["tied"].edges == {}
    assert tuning.lowest["untied"].folder == "trial=0003"
    assert tuning.lowest["untied"].edges["train.learning_rate"] == "highest"
    told = {arm: lowest_sentence(tuning, arm) for arm in ("tied", "untied")}
    assert told["tied"].endswith(
        "the best of what was searched; intervention.output_matrix_rate_scale does nothing in this arm"
    )
    assert "does nothing" not in told["untied"]
    assert "the lowest of what was searched; it lies at the edge of train.learning_rate (highest)" in told["untied"]
    assert "best" not in told["untied"]


def test_a_diverged_trial_counts_as_token_frequencies_in_what_is_expected(tmp_path: Path) -> None:
    write_search(tmp_path, search(4), {"tied": [4.2, 4.3, None, 4.1], "untied": [4.4, None, 4.3, 4.5]})
    unigram = math.log(made_up("tied", 0, 4.0).metrics["valid"].unigram_perplexity)
    tuning = read(tmp_path)
    means = [cell.mean_nats("tied") for cell in tuning.cells]
    assert [math.isinf(mean) for mean in means] == [False, False, True, False]
    assert tuning.expected_lowest_nats is not None
    assert tuning.expected_lowest_nats["tied"] == pytest.approx(
        expected_lowest([*means[:2], unigram, means[3]]), abs=1e-9
    )


def test_a_search_is_shown_in_the_report_and_drawn(tmp_path: Path) -> None:
    write_search(tmp_path, search(4), {"tied": [4.2, 4.3, None, 4.1], "untied": [4.4, None, 4.3, 4.5]})
    rates = {arm: read(tmp_path).lowest[arm].values for arm in ("tied", "untied")}
    for arm, loss in (("tied", 4.1), ("untied", 4.3)):
        experiment = toy_experiment(**rates[arm])
        for seed in (0, 1):
            overrides = {"model": {"tie_word_embeddings": arm == "tied"}}
            for key, value in rates[arm].items():
                section, _, name = key.partition(".")
                overrides.setdefault(section, {})[name] = value
            save_record(made_up(arm, seed, loss, of=experiment, overrides=overrides), tmp_path)
    comparison = update_report(tmp_path)
    assert not any("tuning" in note for note in comparison.notes)
    page = (tmp_path / "REPORT.md").read_text()
    assert "| trial | learning\\_rate | output\\_matrix\\_rate\\_scale | tied | untied |" in page
    assert page.count("diverged |") == 2
    assert "| trials | tied | untied | untied − tied |" in page
    assert "![expected lowest loss by trials](search.png)" in page
    assert (tmp_path / "search.png").stat().st_size > 1_000


def test_an_arm_that_always_diverged_is_told(tmp_path: Path) -> None:
    write_search(tmp_path, search(2), {"tied": [4.2, 4.3], "untied": [None, None]})
    with pytest.raises(InputError, match=r"untied has diverged in every cell"):
        read(tmp_path)


def test_a_changed_divergence_is_refused(tmp_path: Path) -> None:
    write_search(tmp_path, search(2), {"tied": [4.2, None], "untied": [4.1, 4.2]})
    place = tmp_path / TUNE_FOLDER / "trial=0002"
    (divergence,) = load_divergences(place)
    assert isinstance(divergence.config, RunConfig)
    path = place / divergence.file_name
    path.write_text(path.read_text().replace("step 3", "step 4"))
    with pytest.raises(InputError, match=r"tied-seed1000000-diverged.json: was changed after it was written"):
        read(tmp_path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"is damaged"):
        read(tmp_path)

"""The pages' numbers of minimal pairs, each by another computation: of a toy folder, and of every committed file."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic_core import to_json

from tests.conftest import REPOSITORY, toy_experiment
from tests.training.test_run import run_toy, tokenized
from tiedlm import InputError, compare_pairs
from tiedlm.exchange.trained_run import TOKENIZER_FILE

sys.path.insert(0, str(REPOSITORY / "experiments" / "results_page"))
import loaded
import pair_numbers

COMMITTED = [path for path in sorted((REPOSITORY / "results/pairs").glob("*.json")) if '"runs"' in path.read_text()]
BANDS = ["0 to 9", "10 to 99", "100 to 999", "1,000 to 9,999", "10,000 or more"]
NOUNS = "cat dog cow bird frog goat duck hen lamb pig fox pony".split()
PLURALS = "cats dogs cows birds frogs goats ducks hens lambs pigs foxes ponies".split()


def toy_pairs(folder: Path) -> dict[str, Any]:
    """What `evaluate --pairs --json` writes of two arms and three seeds; nouns are rare, middling and frequent."""
    generator, corpus, runs = random.Random(0), folder / "corpus", folder / "runs"
    corpus.mkdir()
    weights = [1 / (1 + rank) ** 1.5 for rank in range(len(NOUNS))] * 2
    for split, number in (("train", 400), ("valid", 80), ("test", 60)):
        drawn = [generator.choices(NOUNS + PLURALS, weights, k=2) for _ in range(number)]
        (corpus / f"{split}.txt").write_text("".join(f"the {one} sees a {two} today\n" for one, two in drawn))
    experiment = toy_experiment(**{"train.num_steps": 3})
    for arm in ("tied", "untied"):
        for seed in range(3):
            run_toy(experiment, corpus, runs, arm, seed)
    (runs / TOKENIZER_FILE).write_text(tokenized(experiment, corpus).tokenizer_text())
    return dict(json.loads(to_json(compare_pairs(runs, corpus=str(corpus)))))


@pytest.fixture(params=["toy", *(path.stem for path in COMMITTED)])
def named(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, Any]]:
    """A file of results/pairs/: its name, and what it says."""
    if request.param == "toy":
        said = toy_pairs(tmp_path)
        (tmp_path / "results/pairs").mkdir(parents=True)
        (tmp_path / "results/pairs/toy.json").write_text(json.dumps(said))
        monkeypatch.setattr(loaded, "RESULTS", tmp_path / "results")
    else:
        said = json.loads((REPOSITORY / f"results/pairs/{request.param}.json").read_text())
    loaded.document.cache_clear()
    return request.param, said


def shares(said: dict[str, Any], arm: str, band: int | None = None) -> npt.NDArray[np.float64]:
    """In points: how often each run of an arm is right, in a band or at all."""
    runs = [run for run in said["runs"] if re.search(rf"(^|/){arm}-seed\d+\.", run["model"])]
    return 100 * np.array([run["accuracy"] if band is None else run["by_right_form"][band]["accuracy"] for run in runs])


def test_numbers_are_those_of_the_runs(named: tuple[str, dict[str, Any]]) -> None:
    name, said = named
    (one,) = said["differences"]
    kept = [place for place, band in enumerate(one["by_right_form"]) if band["num_items"]]
    sizes = [one["by_right_form"][place]["num_items"] for place in kept]
    assert len(kept) >= 3
    assert pair_numbers.pair_bands(name) == " | ".join(BANDS[place] for place in kept)
    assert pair_numbers.pair_band_items(name) == " | ".join(f"{size:,}" for size in sizes)
    assert pair_numbers.num_pair_items(name) == f"{sum(sizes):,}"
    for arm in ("tied", "untied"):
        found = shares(said, arm)
        assert len(found) == len(one["seeds"])
        assert pair_numbers.pair_rate(name, arm) == f"{found.mean():.1f} ± {found.std(ddof=1):.1f} %"
        of_bands = [shares(said, arm, place) for place in kept]
        expected = " | ".join(f"{band.mean():.1f} ± {band.std(ddof=1):.1f}" for band in of_bands)
        assert pair_numbers.pair_rates(name, arm) == expected
        floor = sum(
            part["num_items"] * part["frequency_accuracy"]
            for part in said["runs"][0]["by_right_form"]
            if part["num_items"]
        )
        assert pair_numbers.pair_floor(name) == f"{100 * floor / sum(sizes):.1f} %"
        assert pair_numbers.pair_over_floor(name, arm) == f"{found.mean() - 100 * floor / sum(sizes):+.1f}"


def test_differences_are_those_of_the_arms(named: tuple[str, dict[str, Any]]) -> None:
    name, said = named
    (one,) = said["differences"]
    low, high = (100 * end for end in one["ci95"])
    mean = (shares(said, "untied") - shares(said, "tied")).mean()
    assert low < mean < high
    assert pair_numbers.pair_difference(name) == f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
    kept = [place for place, band in enumerate(one["by_right_form"]) if band["num_items"]]
    means = {place: (shares(said, "untied", place) - shares(said, "tied", place)).mean() for place in kept}
    shown = pair_numbers.pair_differences(name).split(" | ")
    assert [cell.partition(" ")[0] for cell in shown] == [f"{means[place]:+.2f}" for place in kept]
    sizes = {place: one["by_right_form"][place]["num_items"] for place in kept}
    for least, below, places in ((0, 100, {0, 1}), (100, None, {2, 3, 4}), (10, 1_000, {1, 2})):
        weights = [sizes[place] for place in kept if place in places]
        expected = np.average([means[place] for place in kept if place in places], weights=weights)
        assert pair_numbers.pair_difference_of(name, least, below) == f"{expected:+.2f}"
    assert pair_numbers.num_pair_groups(name) == f"{one['num_groups']:,}"
    assert pair_numbers.num_pair_seeds(name) == len(one["seeds"])
    assert pair_numbers.pair_verdict(name) == one["verdict"]
    assert pair_numbers.pair_p(name) == (f"p = {one['p_holm']:.3f}" if one["p_holm"] >= 0.001 else "p < 0.001")


def test_what_a_file_does_not_say_is_refused(named: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"differences: has no tied; give one of untied"):
        pair_numbers.pair_difference(named[0], "tied")
    with pytest.raises(InputError, match=r"runs: has no tide; give one of tied, untied"):
        pair_numbers.pair_rate(named[0], "tide")
    with pytest.raises(InputError, match=r"has no band from 20000 on"):
        pair_numbers.pair_difference_of(named[0], 20_000)
    with pytest.raises(InputError, match=r"results/pairs/none\.json: is no file"):
        pair_numbers.pair_rate("none", "tied")


def test_runs_of_other_items_have_no_one_floor(
    named: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.loads(json.dumps(named[1]))
    said["runs"][0]["frequency_accuracy"] += 0.01
    monkeypatch.setattr(pair_numbers, "document", lambda _: said)
    with pytest.raises(InputError, match="its runs were not asked the same items"):
        pair_numbers.pair_floor("own")


def test_the_prediction_is_quoted_word_by_word() -> None:
    words = "between −0.3 and −2 points, and its interval over five seeds excludes 0"
    assert pair_numbers.pair_predicted(words) == words
    with pytest.raises(InputError, match=r"does not say '−0\.4 points'"):
        pair_numbers.pair_predicted("−0.4 points")

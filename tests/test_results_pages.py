"""The pages of results/ and the README's first screen have no number that does not follow from the records."""

from __future__ import annotations

import functools
import json
import math
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.comparison.test_differences import many_arms
from tests.conftest import REPOSITORY
from tiedlm.comparison.compare import compare
from tiedlm.comparison.tuning_table import LowestCell, TunedCell, Tuning, expected_lowest
from tiedlm.config.ranges import Range
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError

sys.path.insert(0, str(REPOSITORY / "experiments" / "results_page"))
import contrast_numbers
import draw_numbers
import file_numbers
import map_numbers
import record_numbers
import search_numbers
import size_numbers
from make_pages import PAGE, SOURCE, page_of, render, with_minus
from wrapping import NO_BREAK, wrapped

SOURCES = sorted((REPOSITORY / "results").rglob(SOURCE))
README = (REPOSITORY / "README.md").read_text()

EXPRESSIONS = r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"
FENCES = r"^```.*?^```$|^    .*?$"
CODE = r"`[A-Za-z-][^`]*`"  # a name or a command, and no number alone
LINKS = r"\]\([^)]*\)"
ALLOWED = ["95 %", "Chung et al. 2021"]
NAMES = r"\b(bf16|fp32|avx2|AVX2|beta2|WikiText-2|wikitext-2-tuned|wikitext-2-sharing)\b"

FIRST_SCREEN = [
    *(
        f"| {models}, {{{{ seeds('{folder}') }}}} seeds | {{{{ ppl('{folder}', 'tied') }}}} | "
        f"{{{{ ppl('{folder}', 'untied') }}}} | {{{{ delta('{folder}') }}}} | {{{{ verdict('{folder}') }}}} |"
        for folder, models in {
            "ptb-tuned": "Penn Treebank, fast encoder",
            "wikitext-2-tuned": "WikiText-2, fast encoder",
            "ptb-bert-tuned": "Penn Treebank, BERT's own layers",
        }.items()
    ),
    "loss by {{ delta('ptb-tuned') | unsigned }} and {{ delta('wikitext-2-tuned') | unsigned }} nats",
    "{{ band_share('ptb-tuned', 1000) }} and {{ band_share('wikitext-2-tuned', 1000) }} of that lies with tokens that "
    "train has fewer than 1,000 times",
    "ahead: untied − tied is {{ over_cells('ptb-flip', vocabulary='whole') }} over three draws",
    "changes by {{ contrast('ptb-flip-steps', 'lead-goes-with-steps') }} with each doubling of the steps (on test by "
    "{{ contrast('ptb-flip-steps', 'lead-goes-with-steps', 'test') }}",
    "cut into {{ vocab('ptb-subwords/tokenizer=bpe_512') }} subwords, hardly any of which is rare, no lead is found "
    "({{ delta('ptb-subwords/tokenizer=bpe_512') }}",
    "untied is {{ contrast('ptb-own-best', 'lead') | unsigned }} behind over ten fresh seeds",
    "untied is {{ contrast('ptb-mechanism', 'tying-helps') | unsigned }} nats behind tied",
    "differs from untied by {{ contrast('ptb-mechanism', 'holding-together-helps') }}",
    "half the columns in each matrix, is {{ contrast('ptb-mechanism', 'saving-alone-hurts') | unsigned }} behind "
    "untied, and {{ contrast('wikitext-2-sharing', 'saving-alone-hurts') | unsigned }} on WikiText-2",
    "*another*, about as frequent, is {{ contrast('wikitext-2-sharing', 'conflict-hurts') | unsigned }} behind.",
    "differs from a shared one by {{ contrast('ptb-rotation', 'direction-is-learned') }} over twenty fresh seeds",
    "({{ contrast_p('ptb-mechanism', 'rare-rows-suffice') }}; "
    "{{ contrast_verdict('ptb-mechanism', 'rare-rows-suffice', 'test') }} on test)",
    "BERT-base has {{ model_params('bert-base-uncased') }} and would have {{ model_saved('bert-base-uncased') }} more",
    "Token frequencies alone reach {{ '%.0f' | format(unigram('ptb-tuned') | float) }} on the Penn Treebank",
]
"""Every sentence with a number before the README's second heading."""


def numbers_left(text: str) -> list[str]:
    """The words with a digit that stand in prose or a table: not in an expression, code, a link or an allowed name."""
    for pattern in (EXPRESSIONS, FENCES, CODE, LINKS, NAMES, "|".join(map(re.escape, ALLOWED))):
        text = re.sub(pattern, " ", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\S*\d\S*", text)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.parent.name)
def test_a_page_equals_what_its_source_makes(source: Path) -> None:
    again = "python experiments/results_page/make_pages.py makes it again; look at what changed before you commit it"
    assert source.with_name(PAGE).read_text() == page_of(source), again


def test_a_p_value_of_exactly_zero_tells_arms_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(many_arms({"tied": [4.0, 4.0], "arm-1": [4.25, 4.25], "arm-2": [4.0, 4.0]}))
    monkeypatch.setattr(record_numbers, "comparison", lambda _: found)
    assert record_numbers.told_apart("a folder") == "`arm-1`"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.parent.name)
def test_a_source_has_no_number_of_its_own(source: Path) -> None:
    assert numbers_left(source.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("is {{ ppl('ptb-tuned', 'tied') }}, not 51.3 ± 0.9", ["51.3", "0.9"]),
        ("`51.3` | +0.099 |", ["`51.3`", "+0.099"]),
        ("`tiedlm compare --seeds 10` of 95 % in [map](ptb-map/1,2) on WikiText-2 in bf16", []),
        ("text\n    tiedlm compare --seeds 10\n5 seeds", ["5"]),
    ],
)
def test_a_number_is_found(text: str, found: list[str]) -> None:
    assert numbers_left(text) == found


def test_the_page_names_every_folder_with_a_report() -> None:
    page = (REPOSITORY / "results" / PAGE).read_text()
    folders = [path.parent.name for path in (REPOSITORY / "results").glob("*/REPORT.md")]
    assert [name for name in folders if f"]({name}/REPORT.md)" not in page] == []


def test_the_readme_s_first_screen_has_the_numbers_of_the_records() -> None:
    first_screen = re.sub(r"\s+", " ", re.sub(FENCES, " ", README.partition("\n## ")[0], flags=re.MULTILINE))
    shown = first_screen.replace("−", "-")
    for sentence in FIRST_SCREEN:
        said = render(sentence).replace(NO_BREAK, " ").replace("−", "-")
        assert said in shown, sentence
        shown = shown.replace(said, " ")
    assert numbers_left(shown) == []


# ---- the functions, each by another computation


@functools.cache
def losses(folder: str, arm: str, split: str = "valid") -> np.ndarray[Any, Any]:
    """Of each seed, from the records' JSON."""
    found = [
        json.loads(path.read_text()) for path in sorted((REPOSITORY / "results" / folder).glob(f"{arm}-seed*.json"))
    ]
    return np.array([raw["metrics"][split]["total_nll_nats"] / raw["metrics"][split]["num_tokens"] for raw in found])


def shown(mean: float, low: float, high: float) -> str:
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


@pytest.mark.parametrize(("second", "first"), [("untied", "tied"), ("tied-permuted", "untied")])
def test_a_difference_is_that_of_scipy(second: str, first: str) -> None:
    test = stats.ttest_rel(losses("ptb-arms", second), losses("ptb-arms", first))
    mean = (losses("ptb-arms", second) - losses("ptb-arms", first)).mean()
    assert record_numbers.delta("ptb-arms", second, first) == shown(mean, *test.confidence_interval())
    assert record_numbers.p("ptb-arms", second, first) == f"p = {test.pvalue:.3f}"


def test_a_difference_in_nats_a_word_is_over_the_words_of_the_text() -> None:
    """Which are as many as the tokens of a run that takes each word as one."""
    cell = "ptb-subwords/tokenizer=bpe_512"
    cut, whole = (
        json.loads((REPOSITORY / f"results/{folder}/tied-seed10.json").read_text())["metrics"]["valid"]["num_tokens"]
        for folder in (cell, "ptb-sharing")
    )
    first, second = (losses(cell, arm) * cut / whole for arm in ("tied", "untied"))
    test = stats.ttest_rel(second, first)
    assert record_numbers.word_delta(cell) == shown((second - first).mean(), *test.confidence_interval())
    assert record_numbers.tokens_a_word(cell) == f"{cut / whole:.1f}"


def test_the_share_of_rare_tokens_in_the_text_is_that_of_the_rarer_bands() -> None:
    bands = json.loads((REPOSITORY / "results/ptb-sharing/tied-seed10.json").read_text())["metrics"]["valid"]["bands"]
    sizes = [band["num_tokens"] for band in bands]
    assert [band["least_count"] for band in bands] == [0, 10, 100, 1_000, 10_000]
    assert record_numbers.rare_share("ptb-sharing", 1_000) == f"{100 * sum(sizes[:3]) / sum(sizes):.1f} %"


def test_a_loss_is_the_mean_of_the_records() -> None:
    cell = "likeness/name=runs_texts_likeness-0"
    assert record_numbers.loss(cell, "tied") == f"{losses(cell, 'tied').mean():.2f}"


def test_a_seed_is_left_out() -> None:
    values = (losses("ptb-tuned", "untied") - losses("ptb-tuned", "tied"))[1:]
    interval = stats.ttest_1samp(values, 0).confidence_interval()
    assert record_numbers.delta("ptb-tuned", without=0) == shown(values.mean(), *interval)


def test_the_width_of_pairs_is_over_that_of_welch() -> None:
    pair = losses("ptb-tuned", "untied"), losses("ptb-tuned", "tied")
    paired, welch = stats.ttest_rel(*pair), stats.ttest_ind(*pair, equal_var=False)
    widths = [test.confidence_interval().high - test.confidence_interval().low for test in (paired, welch)]
    assert record_numbers.paired_width("ptb-tuned") == f"{100 * (widths[0] / widths[1] - 1):.0f} %"
    assert record_numbers.correlation("ptb-tuned") == f"{stats.pearsonr(*pair).statistic:+.2f}"


@pytest.mark.parametrize("of", ["mean", "slope"])
def test_a_row_of_a_map_is_that_of_least_squares(of: str) -> None:
    """A line, or a mean, through cells of one variance: by the normal equations, with the scatter inside the cells."""
    steps = [600, 1200, 2400, 4800]
    cells = [f"ptb-map-steps/fraction=0.3,num_steps={number}" for number in steps]
    values = np.array([losses(cell, "untied") - losses(cell, "tied") for cell in cells])
    design = np.column_stack([np.ones(4), np.log2(steps)] if of == "slope" else [np.ones(4)])
    inverse = np.linalg.inv(design.T @ design)
    estimate = (inverse @ design.T @ values.mean(axis=1))[-1]
    error = math.sqrt(inverse[-1, -1] * values.var(axis=1, ddof=1).mean() / values.shape[1])
    ends = stats.t.interval(0.95, values.size - len(values), loc=estimate, scale=error)
    found = (
        map_numbers.slope("ptb-map-steps", "num_steps", fraction=0.3)
        if of == "slope"
        else map_numbers.over_cells("ptb-map-steps", fraction=0.3)
    )
    assert found == shown(estimate, *ends)


def test_the_share_of_rare_tokens_is_that_of_the_records() -> None:
    folder, shares = REPOSITORY / "results/ptb-tuned", []
    for below in (100, 10**9):
        total = 0.0
        for path in folder.glob("*tied-seed?.json"):
            raw = json.loads(path.read_text())
            bands = [band for band in raw["metrics"]["valid"]["bands"] if band["least_count"] < below]
            total += (1 if raw["arm"] == "untied" else -1) * sum(band["total_nll_nats"] for band in bands)
        shares.append(total)
    assert record_numbers.band_share("ptb-tuned", 100) == f"{100 * shares[0] / shares[1]:.0f} %"


def test_the_end_of_the_curves_on_train_is_that_of_the_records() -> None:
    ends = [
        [
            json.loads(path.read_text())["curve"][-1]["train_loss_nats"]
            for path in sorted(folder.glob(f"{arm}-seed*.json"))
        ]
        for folder in [REPOSITORY / "results/wikitext-2-tuned"]
        for arm in ("untied", "tied")
    ]
    assert record_numbers.train_end("wikitext-2-tuned") == f"{np.mean(ends[0]) - np.mean(ends[1]):+.2f}"


def test_accuracy_on_frequent_tokens_is_that_of_the_records() -> None:
    shares: dict[str, list[float]] = {"tied": [], "untied": []}
    for path in sorted((REPOSITORY / "results/ptb-tuned").glob("*tied-seed?.json")):
        raw = json.loads(path.read_text())
        last = raw["metrics"]["valid"]["bands"][-1]
        shares[raw["arm"]].append(100 * last["num_correct"] / last["num_tokens"])
    test = stats.ttest_rel(shares["untied"], shares["tied"])
    low, high = test.confidence_interval()
    mean = np.mean(shares["untied"]) - np.mean(shares["tied"])
    assert record_numbers.accuracy_delta("ptb-tuned", 10_000) == f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def test_holm_leaves_the_arms_that_a_step_down_test_leaves() -> None:
    arms = sorted({path.name.rpartition("-seed")[0] for path in (REPOSITORY / "results/ptb-arms").glob("*-seed0.json")})
    others = [arm for arm in arms if arm != "tied"]
    p_values = {arm: stats.ttest_rel(losses("ptb-arms", arm), losses("ptb-arms", "tied")).pvalue for arm in others}
    found = []
    for place, arm in enumerate(sorted(p_values, key=p_values.__getitem__)):
        if p_values[arm] >= 0.05 / (len(p_values) - place):
            break
        found.append(f"`{arm}`")
    assert record_numbers.told_apart("ptb-arms") == ", ".join(found)


def test_the_runs_of_a_map_are_counted_once() -> None:
    digests = [
        {
            (raw := json.loads(path.read_text()))["sha256"]: raw["cost"]["total_seconds"]
            for path in folder.rglob("*-seed?.json")
        }
        for folder in (REPOSITORY / "results/ptb-map-steps", REPOSITORY / "results/ptb-map-width")
    ]
    own = digests[0].keys() - digests[1].keys()
    assert size_numbers.num_runs("ptb-map-steps", "ptb-map-width") == len(own)
    minutes = sum(digests[0][digest] for digest in own) / 60
    assert size_numbers.run_minutes("ptb-map-steps", "ptb-map-width") == f"{minutes:.0f} minutes"


@pytest.mark.parametrize("folder", ["throughput", "throughput/amx", "throughput/avx2"])
def test_ratios_of_speed_are_those_of_the_benchmark_s_table(folder: str) -> None:
    table = (REPOSITORY / "results" / folder / "cpu.md").read_text().partition("\n\n| size | variant")[0]
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines() if line.startswith("| H")]
    best, gathered, plain, _, bound, *_ = (
        [cell.split(" ")[0] for cell in column if cell != "–"] for column in zip(*rows, strict=True)
    )
    assert file_numbers.speed_ratios(folder, "best") == " | ".join(best)
    assert file_numbers.speed_ratios(folder, "compiled, gathered") == " | ".join(gathered)
    assert file_numbers.speed_ratios(folder, "transformers fp32") == " | ".join(plain)
    assert file_numbers.speed_bounds(folder) == " | ".join(bound)


def test_planned_contrasts_are_shown_with_what_was_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = {
        "mean": 0.0612,
        "ci95": (0.0241, 0.0983),
        "p_holm": 0.0191,
        "seeds": [10, 11, 12],
        "verdict": "as predicted",
    }
    sign = {
        "name": "lead",
        "formula": "untied − tied",
        "contrast": {"predicted": "positive"},
        "split": "valid",
        **tested,
    }
    equal = {"name": "equal", "contrast": {"predicted": None, "equal_within_nats": 0.03}, "verdict": "inconclusive"}
    untested = {"name": "none", "mean": None, "ci95": None, "p_holm": None, "seeds": [], "verdict": "no verdict"}
    results = [sign, {**sign, "split": "test", "mean": 0.5}, {**sign, **equal}, {**sign, **untested}]
    monkeypatch.setattr(contrast_numbers, "results_of", lambda folder: results if folder == "planned" else [])
    assert contrast_numbers.contrast_rows("planned").splitlines() == [
        "| lead | untied − tied | above 0 | +0.061 [+0.024, +0.098] | p = 0.019 | as predicted | 3 |",
        "| equal | untied − tied | within ± 0.03 | +0.061 [+0.024, +0.098] | p = 0.019 | inconclusive | 3 |",
        "| none | untied − tied | above 0 | – | – | no verdict | 0 |",
    ]
    assert contrast_numbers.contrast("planned", "lead", "test") == "+0.500 [+0.024, +0.098]"
    assert contrast_numbers.contrast_p("planned", "lead") == "p = 0.019"
    assert contrast_numbers.contrast_verdict("planned", "equal") == "inconclusive"
    assert contrast_numbers.contrast_seeds("planned", "lead") == 3
    with pytest.raises(InputError, match="contrasts of planned: has no gain; give one of lead, equal, none"):
        contrast_numbers.contrast("planned", "gain")
    with pytest.raises(InputError, match="results/pydoc: plans no contrasts on valid"):
        contrast_numbers.contrast_rows("pydoc")


def test_the_scatter_of_contrasts_is_that_of_the_records() -> None:
    plan = tomllib.loads((REPOSITORY / "experiments/ptb-why.toml").read_text())["contrasts"]
    values = [
        sum(weight * losses("ptb-why", arm) for arm, weight in contrast["weights"].items())
        for contrast in plan.values()
    ]
    found = [np.std(of_seeds, ddof=1) for of_seeds in values]
    assert contrast_numbers.contrast_std("ptb-why") == f"{min(found):.2f} to {max(found):.2f}"


def test_the_scatter_in_the_cells_of_a_map_is_their_standard_deviation_over_seeds() -> None:
    cells = [f"ptb-flip/fraction_seed={draw},vocabulary={words}" for draw in "123" for words in ("whole", "fraction")]
    found = [np.std(losses(cell, "untied") - losses(cell, "tied"), ddof=1) for cell in cells]
    assert map_numbers.cell_std("ptb-flip") == f"{min(found):.2f} to {max(found):.2f}"


def of_draws(measured: Callable[[dict[str, Any]], float], vocabulary: str = "fraction") -> np.ndarray[Any, Any]:
    """(draws, seeds): untied − tied of ptb-flip, from the records' JSON."""
    folders = [REPOSITORY / f"results/ptb-flip/fraction_seed={draw},vocabulary={vocabulary}" for draw in (1, 2, 3)]
    losses_of = [
        [
            [
                measured(json.loads((folder / f"{arm}-seed{seed}.json").read_text())["metrics"]["valid"])
                for seed in (10, 11, 12)
            ]
            for folder in folders
        ]
        for arm in ("untied", "tied")
    ]
    return np.subtract(*losses_of)


def interval_of(values: np.ndarray[Any, Any]) -> str:
    return shown(values.mean(), *stats.ttest_1samp(values, 0).confidence_interval())


def test_cells_of_several_draws_are_taken_together() -> None:
    found = of_draws(lambda text: text["total_nll_nats"] / text["num_tokens"])
    assert draw_numbers.over_seeds("ptb-flip", vocabulary="fraction") == interval_of(found.mean(axis=0))
    assert draw_numbers.over_draws("ptb-flip", vocabulary="fraction") == interval_of(found.mean(axis=1))
    assert draw_numbers.draw_std("ptb-flip", vocabulary="fraction") == f"{found.mean(axis=1).std(ddof=1):.3f}"
    planned = contrast_numbers.contrast("ptb-flip", "flips-with-its-own-words", "test")
    assert draw_numbers.over_seeds("ptb-flip", "test", vocabulary="fraction") == planned


def test_words_that_the_vocabulary_does_not_have_are_told_apart() -> None:
    def known(text: dict[str, Any]) -> float:
        return (text["total_nll_nats"] - text["unk_nll_nats"]) / (text["num_tokens"] - text["num_unk"])

    def rarest(text: dict[str, Any]) -> float:
        (band,) = (band for band in text["bands"] if band["least_count"] == 0)
        return (band["total_nll_nats"] - text["unk_nll_nats"]) / (band["num_tokens"] - text["num_unk"])

    def second(text: dict[str, Any]) -> float:
        (band,) = (band for band in text["bands"] if band["least_count"] == 10)
        return band["total_nll_nats"] / band["num_tokens"]

    cells = {"vocabulary": "fraction"}
    assert draw_numbers.without_unk("ptb-flip", **cells) == interval_of(of_draws(known).mean(axis=0))
    assert draw_numbers.known_band("ptb-flip", 0, **cells) == interval_of(of_draws(rarest).mean(axis=0))
    assert draw_numbers.known_band("ptb-flip", 10, **cells) == interval_of(of_draws(second).mean(axis=0))
    unk, whole = (of_draws(lambda text, key=key: text[key]).sum() for key in ("unk_nll_nats", "total_nll_nats"))  # type: ignore[misc]
    assert draw_numbers.unk_share("ptb-flip", **cells) == f"{100 * unk / whole:.0f} %"


def test_the_share_of_rare_words_is_over_all_cells() -> None:
    def rare(text: dict[str, Any]) -> float:
        return sum(band["total_nll_nats"] for band in text["bands"] if band["least_count"] < 100)

    share = of_draws(rare, "whole").sum() / of_draws(lambda text: text["total_nll_nats"], "whole").sum()
    assert draw_numbers.share_below("ptb-flip", 100, vocabulary="whole") == f"{100 * share:.0f} %"


def test_contrasts_of_all_experiments_stand_by_holm() -> None:
    """The smallest p against 0.05 over their number, the next against 0.05 over one less, to the first that fails."""
    names, p_values = [], []
    for path in (REPOSITORY / "results").glob("*/contrasts.json"):
        for result in contrast_numbers.results_of(path.parent.name):
            if result["split"] == "valid" and result["p_value"] is not None:
                names.append(f"`{result['name']}` of `{path.parent.name}`")
                p_values.append(result["p_value"])
    standing = set()
    for rank, place in enumerate(np.argsort(p_values)):
        if p_values[place] >= 0.05 / (len(names) - rank):
            break
        standing.add(names[place])
    assert contrast_numbers.num_tested() == len(names)
    assert set(contrast_numbers.standing_over_all().split(", ")) == standing
    assert 0 < len(standing) < len(names)


def test_the_best_of_a_search_says_where_it_touches_an_edge() -> None:
    assert map_numbers.best("ptb-tuned", "untied") == "learning_rate 0.005, adam_epsilon 1e-05 (edge)"
    assert map_numbers.best("ptb-tuned", "tied") == "learning_rate 0.01 (edge), adam_epsilon 1e-05 (edge)"


def test_a_search_is_told_by_its_lowest_trials_and_by_what_fewer_would_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two trials the expected lowest loss is the mean over all pairs, each trial drawn again."""
    draws = [(1e-3, [4.0, 4.5]), (1e-2, [4.2, 4.1]), (5e-3, [4.4, 4.3])]
    design = Tune(seeds=1, trials=3, ranges={"train.learning_rate": Range(low=1e-3, high=1e-1, scale="log")})
    found = Tuning(
        design=design,
        cells=[
            TunedCell(
                folder=f"trial={number}",
                values={"train.learning_rate": rate},
                losses_nats={arm: [loss] for arm, loss in zip(("tied", "untied"), losses, strict=True)},
            )
            for number, (rate, losses) in enumerate(draws)
        ],
        lowest={
            "tied": LowestCell(
                folder="trial=0",
                values={"train.learning_rate": 1e-3},
                loss_nats=4.0,
                edges={"train.learning_rate": "lowest"},
            ),
            "untied": LowestCell(folder="trial=1", values={}, loss_nats=4.1, edges={}),
        },
        expected_lowest_nats={
            arm: expected_lowest([losses[place] for _, losses in draws]) for place, arm in enumerate(("tied", "untied"))
        },
    )
    monkeypatch.setattr(search_numbers, "comparison", lambda _: SimpleNamespace(tuning=found))
    assert search_numbers.num_trials("any") == 3
    assert search_numbers.trial_numbers("any") == [1, 2, 3]
    assert search_numbers.searched_keys("any") == ["learning_rate"]
    assert search_numbers.searched_range("any", "learning_rate") == "from 0.001 to 0.1 (log)"
    assert search_numbers.lowest_value("any", "tied", "learning_rate") == "0.001 (lowest end)"
    assert search_numbers.lowest_value("any", "untied", "learning_rate") == "–"
    assert search_numbers.lowest_ppl("any", "untied") == f"{math.exp(4.1):.1f}"
    means = []
    for place in (0, 1):
        of_arm = np.array([losses[place] for _, losses in draws])
        means.append(np.minimum.outer(of_arm, of_arm).mean())
    assert search_numbers.expected_loss("any", "tied", 2) == f"{means[0]:.2f}"
    assert search_numbers.expected_lead("any", 2) == f"{means[1] - means[0]:+.2f}"
    found = found.model_copy(update={"design": Tune(seeds=1, values={"train.learning_rate": [1e-3, 1e-2]})})
    with pytest.raises(InputError, match="results/any: has no random search"):
        search_numbers.num_trials("any")


def test_a_prediction_is_quoted_word_by_word() -> None:
    assert file_numbers.predicted("ptb-arms", "tied 64.5; untied 75") == "tied 64.5; untied 75"
    with pytest.raises(InputError, match=r"does not say 'tied 64\.6'"):
        file_numbers.predicted("ptb-arms", "tied 64.6")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("ppl('ptb-tuned', 'tide')", "ptb-tuned: has no tide; give one of tied, untied"),
        ("over_cells('ptb-map-width', fraction=0.2)", "has no cell of {'fraction': 0.2}"),
        ("cells('ptb-map-width', width=64)", "has no width; give one of fraction, hidden_size"),
        ("tuned('pydoc', 'tied')", "results/pydoc/tune/tune.json: is no file"),
        ("tuned('ptb-tuned', 'tied', learning_rate=1)", "its tuning has no cell of {'learning_rate': 1}"),
        ("delta('ptb-tuned', split='train')", "has no untied"),
        ("speed_ratio('speed', 'best')", "results/speed/cpu.json: is no file"),
    ],
)
def test_an_expression_without_records_is_refused(expression: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        render(f"{{{{ {expression} }}}}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("-0.046", "−0.046"),
        ("+0.1 [-0.2, -0.1]", "+0.1 [−0.2, −0.1]"),
        ("(-0.3)", "(−0.3)"),
        ("ptb-2 1e-05", "ptb-2 1e-05"),
    ],
)
def test_a_hyphen_before_a_number_is_a_minus(value: str, text: str) -> None:
    assert with_minus(value).replace(NO_BREAK, " ") == text


def test_prose_is_in_lines_of_one_width_and_the_rest_as_it_was() -> None:
    number, words = f"+0.1{NO_BREAK}[-0.2,{NO_BREAK}-0.1]", " ".join(["word"] * 23)
    prose = f"{words} {number}\nlast\n- one\n  item {words}\n- two\n"
    text = f"# head\n\n{prose}\n| {words} {words} |\n    code\n\n```sh\n- a\nb\n```\n"
    assert wrapped(text).splitlines() == [
        "# head",
        "",
        words,
        "+0.1 [-0.2, -0.1] last",
        f"- one item {' '.join(['word'] * 22)}",
        "  word",
        "- two",
        "",
        f"| {words} {words} |",
        "    code",
        "",
        "```sh",
        "- a",
        "b",
        "```",
    ]

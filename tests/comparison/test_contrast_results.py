"""Planned contrasts: values, intervals and tests against SciPy's, verdicts, and their errors by simulation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from tests.comparison.test_compare import made_up, pairs
from tests.comparison.test_differences import many_arms
from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.compare import compare
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.outlook import outlook
from tiedlm.comparison.paired_statistics import equality_p, holm, paired_t
from tiedlm.comparison.scan_result import Scan, ScanDesign, make_scan
from tiedlm.comparison.sealed_design import seal
from tiedlm.comparison.stages import check_seeds
from tiedlm.comparison.tested_differences import ContrastResult
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.contrasts import Contrast, Contrasts
from tiedlm.errors import InputError
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.closing import closing_sentence, scan_command
from tiedlm.reporting.markdown import render_markdown
from tiedlm.reporting.short_answer import short_answer

Values = npt.NDArray[np.float64]
LEAD = {"untied": 1.0, "tied": -1.0}
LOSSES = {
    "tied": [4.00, 4.02, 4.01, 4.03, 4.00],
    "arm-1": [4.10, 4.13, 4.10, 4.12, 4.14],
    "arm-2": [4.20, 4.18, 4.21, 4.25, 4.22],
}


def planned(**contrasts: dict[str, Any]) -> dict[str, Contrast]:
    return {name.replace("_", "-"): Contrast.model_validate(raw) for name, raw in contrasts.items()}


def compared(
    records: list[RunRecord],
    contrasts: dict[str, Contrast],
    design: TwoStage | None = None,
    num_seeds: int | None = None,
    **options: Any,
) -> Comparison:
    return compare(records, design, planned=seal(Contrasts(contrasts=contrasts, num_seeds=num_seeds)), **options)


def on_valid(comparison: Comparison) -> dict[str, ContrastResult]:
    return {item.name: item for item in comparison.contrasts if item.split == "valid"}


def two_one_sided(values: Any, margin: float) -> float:
    """TOST by SciPy's own one-sided tests."""
    below = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    above = stats.ttest_1samp(values, margin, alternative="less").pvalue
    return float(max(below, above))


def test_values_intervals_and_tests_are_scipy_s() -> None:
    contrasts = planned(
        mean_of_two={"weights": {"arm-1": 0.5, "arm-2": 0.5, "tied": -1.0}, "predicted": "positive"},
        same={"weights": {"arm-2": 1.0, "arm-1": -1.0}, "equal_within_nats": 0.12},
        wrong_sign={"weights": {"tied": 1.0, "arm-1": -1.0}, "predicted": "positive"},
    )
    found = on_valid(compared(many_arms(LOSSES), contrasts))
    losses = {
        arm: np.array([record.metrics["valid"].masked_lm_loss_nats for record in many_arms({arm: values})])
        for arm, values in LOSSES.items()
    }
    values = {
        "mean-of-two": (losses["arm-1"] + losses["arm-2"]) / 2 - losses["tied"],
        "same": losses["arm-2"] - losses["arm-1"],
        "wrong-sign": losses["tied"] - losses["arm-1"],
    }
    expected = {
        "mean-of-two": stats.ttest_1samp(values["mean-of-two"], 0.0).pvalue,
        "same": two_one_sided(values["same"], 0.12),
        "wrong-sign": stats.ttest_1samp(values["wrong-sign"], 0.0).pvalue,
    }
    for name, result in found.items():
        assert result.values == pytest.approx(values[name].tolist(), rel=1e-9)
        interval = stats.ttest_1samp(values[name], 0.0).confidence_interval(0.95)
        assert result.ci95 == pytest.approx(tuple(interval), rel=1e-9)
        assert result.p_value == pytest.approx(expected[name], rel=1e-9)
        assert result.seeds == [0, 1, 2, 3, 4]
    adjusted = stats_holm(list(expected.values()))
    assert [result.p_holm for result in found.values()] == pytest.approx(adjusted, rel=1e-9)
    assert [result.verdict for result in found.values()] == [
        "as predicted",
        "inconclusive",
        "contrary to the prediction",
    ]
    assert found["same"].reason == "the 95 % interval reaches beyond ± 0.12"


def stats_holm(p_values: list[float]) -> list[float]:
    """Holm's p-values by their definition: max over the smaller ones of (m − rank) · p, at most 1."""
    return [min(1.0, max((sum(other >= q for other in p_values)) * q for q in p_values if q <= p)) for p in p_values]


@pytest.mark.parametrize(
    ("shift", "margin", "verdict", "reason"),
    [
        (0.0, 0.03, "equal within ± 0.03", None),
        (0.1, 0.03, "inconclusive", "the 95 % interval lies wholly outside ± 0.03"),
        (0.03, 0.03, "inconclusive", "the 95 % interval reaches beyond ± 0.03"),
    ],
)
def test_a_margin_is_decided_on_or_its_interval_says_why_not(
    shift: float, margin: float, verdict: str, reason: str | None
) -> None:
    tied = [4.0, 4.01, 4.02, 4.01]
    untied = [value + shift + noise for value, noise in zip(tied, (0.004, -0.003, 0.002, -0.002), strict=True)]
    contrasts = planned(same={"weights": LEAD, "equal_within_nats": margin})
    found = on_valid(compared(pairs(tied, untied), contrasts))["same"]
    assert (found.verdict, found.reason) == (verdict, reason)


def test_no_seeds_are_advised_where_none_would_decide() -> None:
    tied = [4.0, 4.01, 4.02, 4.01]
    untied = [value + 0.1 + noise for value, noise in zip(tied, (0.004, -0.003, 0.002, -0.002), strict=True)]
    refuted = outlook(compared(pairs(tied, untied), planned(same={"weights": LEAD, "equal_within_nats": 0.03})))
    assert (refuted.state, refuted.advice) == ("decided", None)
    alike = compared(pairs(tied, tied), planned(lead={"weights": LEAD, "predicted": "positive"}))
    assert outlook(alike).state == "equal"
    assert closing_sentence(alike) == (
        "On valid, inconclusive: lead. Every seed gives lead the same value, so no number of seeds would decide."
    )


def test_beside_contrasts_every_difference_is_exploratory() -> None:
    contrasts = planned(lead={"weights": {"arm-1": 1.0, "tied": -1.0}, "predicted": "positive"})
    comparison = compared(many_arms(LOSSES), contrasts)
    plain = compare(many_arms(LOSSES))
    for item, before in zip(comparison.differences, plain.differences, strict=True):
        assert (item.verdict, item.ahead, item.p_holm) == ("exploratory", None, None)
        assert item.delta_nats == before.delta_nats
    page = render_markdown(comparison)
    assert page.index("## Planned contrasts") < page.index("exploratory")
    assert "| lead | arm-1 − tied | above 0 | +0.106 [" in page
    assert short_answer(comparison) == "1 of 1 as predicted"
    in_a_cell = compared(many_arms(LOSSES), contrasts, is_cell=True)
    assert in_a_cell.contrasts == []
    assert {item.verdict for item in in_a_cell.differences} == {"exploratory"}


@pytest.mark.parametrize(
    ("tied", "untied", "weights", "words"),
    [
        ([4.0], [4.1], LEAD, "too few seeds; --seeds 3"),
        ([4.0, 4.0, 4.0], [4.1, 4.1, 4.9], LEAD, "untied is worse than token frequencies alone"),
        ([4.0, 4.0, 4.0], [4.1, 4.1, 4.2], {"other": 1.0, "tied": -1.0}, "other has no runs"),
    ],
)
def test_a_contrast_without_a_verdict_says_why(
    tied: list[float], untied: list[float], weights: dict[str, float], words: str
) -> None:
    contrasts = planned(lead={"weights": weights, "predicted": "positive"})
    found = on_valid(compared(pairs(tied, untied), contrasts))["lead"]
    assert (found.verdict, found.p_value, found.p_holm) == ("no verdict", None, None)
    assert words in (found.reason or "")


def test_a_contrast_without_a_test_counts_in_the_family() -> None:
    """Else a verdict could go when the runs of another contrast come."""
    lead = {"weights": LEAD, "predicted": "positive"}
    records = pairs([4.0, 4.0, 4.0], [4.1, 4.12, 4.09])
    alone = on_valid(compared(records, planned(lead=lead)))["lead"]
    unasked = {
        f"other_{number}": {"weights": {f"arm-{number}": 1.0, "tied": -1.0}, "predicted": "positive"}
        for number in range(4)
    }
    among = on_valid(compared(records, planned(lead=lead, **unasked)))
    assert alone.p_value is not None
    assert among["lead"].p_value == alone.p_value == alone.p_holm
    assert among["lead"].p_holm == pytest.approx(5 * alone.p_value)
    assert {among[f"other-{number}"].p_holm for number in range(4)} == {None}


def test_contrasts_are_tested_once_all_planned_seeds_are_there() -> None:
    """And not at each look, by which a difference that is not there is found ever more often."""
    tied, untied = [4.0, 4.0, 4.0, 4.0], [4.1, 4.12, 4.09, 4.11]
    contrasts = planned(lead={"weights": LEAD, "predicted": "positive"})
    for number in (1, 2, 3):
        early = compared(pairs(tied[:number], untied[:number]), contrasts, num_seeds=4)
        found = on_valid(early)["lead"]
        assert (found.verdict, found.p_holm, found.num_planned_seeds) == ("no verdict", None, 4)
        assert found.reason == f"no verdict: {number} of the 4 seeds that were planned are trained"
        assert (found.ci95 is None) == (number == 1)
        missing = outlook(early)
        assert missing.state == "unfinished"
        assert missing.advice is not None
        assert (missing.advice.seeds, missing.advice.num_runs) == ([0, 1, 2, 3], 2 * (4 - number))
        told = f"On valid, no verdict: lead. Verdicts come once all 4 planned seeds are trained; {number} are."
        assert closing_sentence(early) == told
    whole = compared(pairs(tied, untied), contrasts, num_seeds=4)
    assert on_valid(whole)["lead"].verdict == "as predicted"
    assert not any("were planned over" in note for note in whole.notes)
    more = compared(pairs(tied, untied), contrasts, num_seeds=3)
    assert on_valid(more)["lead"].verdict == "as predicted"
    assert any("were planned over 3 seeds, and 4 are there" in note for note in more.notes)
    older = compared(pairs(tied[:3], untied[:3]), contrasts)
    assert on_valid(older)["lead"].verdict == "as predicted"


def test_a_two_stage_design_has_its_own_number_of_seeds() -> None:
    design = TwoStage(half_width_nats=0.05, first_stage_seeds=[0, 1, 2], max_seeds=20)
    contrasts = planned(lead={"weights": LEAD, "predicted": "positive"})
    found = compared(pairs([4.0, 4.0, 4.0], [4.1, 4.12, 4.09]), contrasts, design, num_seeds=10)
    assert on_valid(found)["lead"].verdict == "as predicted"
    assert outlook(found).state != "unfinished"


def test_a_contrast_over_cells_has_no_value_without_a_scan() -> None:
    raw = {"weights": LEAD, "predicted": "negative", "where": {"train.num_steps": [6]}}
    found = on_valid(compared(pairs([4.0, 4.1], [4.2, 4.2]), planned(slope=raw)))["slope"]
    assert found.mean is None
    assert "give --scan" in (found.reason or "")


VALUES: dict[str, list[Any]] = {"train.learning_rate": [0.01, 0.04, 0.16], "train.adam_epsilon": [1e-8, 1e-6]}


def scanned(
    leads: dict[tuple[float, float], list[float]], contrasts: dict[str, Contrast], num_seeds: int | None = None
) -> dict[str, ContrastResult]:
    """The results on valid of `scan_of`."""
    found = scan_of(leads, contrasts, num_seeds).contrasts
    return {item.name: item for item in found if item.split == "valid"}


def scan_of(
    leads: dict[tuple[float, float], list[float]], contrasts: dict[str, Contrast], num_seeds: int | None
) -> Scan:
    """A scan in which untied is behind by so many nats in each cell, seed by seed."""
    found = {}
    for folder, values in cell_folders(VALUES).items():
        changes = {f"config__train__{key.partition('.')[2]}": value for key, value in values.items()}
        of_cell = leads.get((values["train.learning_rate"], values["train.adam_epsilon"]))
        if of_cell is not None:
            records = [made_up("tied", seed, 4.0, **changes) for seed in range(len(of_cell))]
            records += [made_up("untied", seed, 4.0 + lead, **changes) for seed, lead in enumerate(of_cell)]
            found[folder] = compared(records, contrasts, is_cell=True)
    scan = make_scan(
        ScanDesign(experiment="toy", values=VALUES), found, Contrasts(contrasts=contrasts, num_seeds=num_seeds)
    )
    assert {cell.verdict for test in scan.tests for cell in test.cells.values()} <= {"exploratory", "no verdict"}
    return scan


def test_a_scan_goes_on_until_all_planned_seeds_are_there() -> None:
    cells = [(rate, epsilon) for rate in VALUES["train.learning_rate"] for epsilon in VALUES["train.adam_epsilon"]]
    contrasts = planned(lead={"weights": LEAD, "predicted": "positive"})
    whole = {cell: [0.1, 0.12, 0.11] for cell in cells}
    assert scan_command(scan_of(whole, contrasts, 3), Path("map")) is None
    assert scan_command(scan_of(whole, contrasts, None), Path("map")) is None
    for leads, num_seeds in ((whole, 4), (whole | {cells[0]: [0.1, 0.12]}, 3)):
        command = scan_command(scan_of(leads, contrasts, num_seeds), Path("map"))
        assert command is not None
        assert f" --seeds {num_seeds} --scan train.learning_rate=" in command.command


def test_a_contrast_over_cells_is_their_mean_or_a_least_squares_slope() -> None:
    generator = np.random.default_rng(0)
    leads = {
        (rate, epsilon): generator.normal(0.1 - 0.02 * math.log2(rate), 0.01, 3).tolist()
        for rate in VALUES["train.learning_rate"]
        for epsilon in VALUES["train.adam_epsilon"]
    }
    contrasts = planned(
        everywhere={"weights": LEAD, "predicted": "positive"},
        small={"weights": LEAD, "predicted": "positive", "where": {"train.learning_rate": [0.01, 0.04]}},
        slope={"weights": LEAD, "predicted": "negative", "slope_per_doubling_of": "train.learning_rate"},
        at_one={
            "weights": LEAD,
            "predicted": "negative",
            "where": {"train.adam_epsilon": [1e-6]},
            "slope_per_doubling_of": "train.learning_rate",
        },
    )
    found = scanned(leads, contrasts)
    table = np.array([leads[rate, eps] for rate in VALUES["train.learning_rate"] for eps in (1e-8, 1e-6)])
    logs = np.repeat(np.log2(VALUES["train.learning_rate"]), 2)
    slopes = [np.polyfit(logs, of_seed, 1)[0] for of_seed in table.T]
    of_one = [np.polyfit(logs[1::2], of_seed[1::2], 1)[0] for of_seed in table.T]
    expected = {
        "everywhere": table.mean(0),
        "small": table[:4].mean(0),
        "slope": slopes,
        "at-one": of_one,
    }
    for name, values in expected.items():
        assert found[name].values == pytest.approx(list(values), rel=1e-9, abs=1e-9)
        assert found[name].p_value == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, rel=1e-6)
    assert scanned(leads, contrasts, 3)["everywhere"].p_value == found["everywhere"].p_value
    assert scanned(leads, contrasts, 4)["everywhere"].reason == (
        "no verdict: 3 of the 4 seeds that were planned are trained"
    )
    leads.pop((0.16, 1e-8))
    assert scanned(leads, contrasts)["everywhere"].reason == "no verdict: 1 of its 6 cells are not trained yet"
    assert scanned(leads, contrasts)["small"].p_value == pytest.approx(found["small"].p_value)


def test_a_two_stage_design_takes_its_seeds_from_the_contrasts() -> None:
    design = TwoStage(half_width_nats=0.05, first_stage_seeds=[0, 1, 2], max_seeds=20)
    losses = {"tied": [4.0, 4.0, 4.0], "arm-1": [4.1, 4.5, 4.3], "arm-2": [4.1, 4.12, 4.11]}
    calm = planned(calm={"weights": {"arm-2": 1.0, "tied": -1.0}, "predicted": "positive"})
    records = many_arms(losses)
    path = Path("two-stage.json")
    check_seeds(records, design, path, asked_for=range(20))  # by arm-1's differences
    check_seeds(records, design, path, asked_for=[0, 1, 2], contrasts=calm)
    with pytest.raises(InputError, match="takes the seeds 0–2, not 3"):
        check_seeds(records, design, path, asked_for=[3], contrasts=calm)
    found = on_valid(compared(records, calm, design))["calm"]
    assert "two-stage" in (found.method or "")
    assert outlook(compared(records, calm, design)).state != "unfinished"


# ---- error and coverage, by simulation

NUM_DRAWS = 200_000
SEEN: dict[str, tuple[float, float, float]] = {
    "equal scatters": (0.05, 0.05, 0.05),
    "10-fold unequal scatters": (0.05, 0.05, 0.05),
    "both arms bimodal": (0.041, 0.045, 0.053),
    "one arm bimodal": (0.127, 0.070, 0.054),
    "one arm with a rare mode": (0.157, 0.223, 0.112),
}
"""The error of the paired t-test at 0.05 with 3, 5 and 10 seeds.

It is 5 % ± 1, but for one arm whose seeds fall into two modes that are far apart beside the scatter within each: if
all seeds fall into one mode, the interval is narrow and far from the mean. With 3 seeds a true zero is then found
different in 13 % of cases, and with a rare mode (a fifth of the seeds) in 16 to 22 %. So a bimodal arm needs 10 seeds
and more, or a recipe without the second mode."""


def draws(kind: str, num_seeds: int) -> Values:
    """Values of a null contrast untied − tied: (draws, seeds), of mean 0."""
    generator = np.random.default_rng(num_seeds)
    tied, untied = generator.normal(size=(2, NUM_DRAWS, num_seeds))
    modes = generator.choice([-3.0, 3.0], size=(2, NUM_DRAWS, num_seeds))  # 3 deviations from the mean
    rare = 10.0 * ((generator.random((NUM_DRAWS, num_seeds)) < 0.2) - 0.2)
    match kind:
        case "10-fold unequal scatters":
            untied = 10 * untied
        case "both arms bimodal":
            tied, untied = tied + modes[0], untied + modes[1]
        case "one arm bimodal":
            untied = untied + modes[1]
        case "one arm with a rare mode":
            untied = untied + rare
    return np.asarray(untied - tied)


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
@pytest.mark.parametrize("kind", SEEN)
def test_a_null_contrast_is_found_as_often_as_is_said(kind: str, num_seeds: int) -> None:
    """The interval misses zero as often as p is below 0.05, so its coverage is one minus that."""
    values = draws(kind, num_seeds)
    means, errors = values.mean(1), values.std(1, ddof=1) / math.sqrt(num_seeds)
    p_values = 2 * stats.t.sf(np.abs(means / errors), num_seeds - 1)
    for place in range(0, NUM_DRAWS, NUM_DRAWS // 50):  # our own formulas, on some of the draws
        own = paired_t(values[place].tolist())
        assert own.p_value == pytest.approx(p_values[place], rel=1e-9)
        assert (own.ci95[0] > 0 or own.ci95[1] < 0) == (p_values[place] < 0.05)
    expected = SEEN[kind][{3: 0, 5: 1, 10: 2}[num_seeds]]
    assert (p_values < 0.05).mean() == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
@pytest.mark.parametrize("std", [0.3, 1.0, 10.0])
def test_equality_at_the_margin_s_edge_is_found_in_at_most_5_of_100_cases(num_seeds: int, std: float) -> None:
    values = np.random.default_rng(num_seeds).normal(1.0, std, (NUM_DRAWS, num_seeds))  # the margin is 1
    errors = values.std(1, ddof=1) / math.sqrt(num_seeds)
    p_values = stats.t.cdf((np.abs(values.mean(1)) - 1.0) / errors, num_seeds - 1)
    some = range(0, NUM_DRAWS, NUM_DRAWS // 50)
    for place in some:
        own = equality_p(values[place].mean(), errors[place], num_seeds - 1, 1.0)
        assert own == pytest.approx(p_values[place], rel=1e-9)
        assert own == pytest.approx(two_one_sided(values[place], 1.0), rel=1e-9)
    error = (p_values < 0.05).mean()
    assert error <= 0.052
    if std < 1.0:  # a margin that is wide beside the standard error: exact
        assert error == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_five_null_contrasts_have_any_verdict_in_at_most_5_of_100_cases(num_seeds: int) -> None:
    """Five contrasts that share an arm, whose scatters differ 10-fold: Holm's family-wise error."""
    generator = np.random.default_rng(num_seeds)
    number = 20_000
    shared = generator.normal(size=(number, 1, num_seeds))
    own = generator.normal(size=(number, 5, num_seeds)) * np.array([0.3, 1.0, 1.0, 1.0, 3.0])[:, None]
    p_values = stats.ttest_1samp(own - shared, 0.0, axis=2).pvalue
    families = p_values[:2_000].tolist()
    any_found = [min(holm(of_family)) < 0.05 for of_family in families]
    assert any_found == (5 * p_values[:2_000].min(1) < 0.05).tolist()  # the smallest decides whether there is any
    assert 0.02 < (5 * p_values.min(1) < 0.05).mean() <= 0.06

"""Several arms at once: adjusted p-values, what could have been found, and where a difference lies."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from tests.comparison.test_compare import BLOCK, NUM_BLOCKS, made_up, pairs
from tests.conftest import toy_experiment
from tiedlm.comparison.compare import compare
from tiedlm.comparison.paired_statistics import detectable_nats, holm, paired_t
from tiedlm.data.frequency_bands import LEAST_COUNTS
from tiedlm.errors import InputError
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.markdown import render_markdown
from tiedlm.reporting.terminal import render_comparison

ARMS: dict[str, Any] = {f"arm-{number}": {"train": {"learning_rate": 0.01 + number / 1e3}} for number in range(1, 10)}


def many_arms(losses: dict[str, list[float]]) -> list[RunRecord]:
    """Records of arms that differ in their learning rates, beside tied."""
    experiment = toy_experiment(arms=ARMS)
    return [
        made_up(arm, seed, value, of=experiment) for arm, values in losses.items() for seed, value in enumerate(values)
    ]


def test_holm_s_p_values_are_those_of_the_step_down_procedure() -> None:
    """Against its definition: sorted, the k-th smallest of m is rejected at 0.05 if all before it are (Holm 1979)."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        p_values = (generator.random(6) ** 3).tolist()
        rejected: set[int] = set()
        for rank, index in enumerate(np.argsort(p_values).tolist()):
            if p_values[index] * (len(p_values) - rank) >= 0.05:
                break
            rejected.add(index)
        assert {index for index, p in enumerate(holm(p_values)) if p < 0.05} == rejected
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_a_verdict_of_many_arms_is_holm_s() -> None:
    comparison = compare(many_arms({"tied": [4.0, 4.01, 4.02], "arm-1": [4.1, 4.12, 4.17]}))
    alone = next(item for item in comparison.differences if item.split == "valid")
    assert alone.p_holm == alone.delta_nats.p_value
    assert alone.verdict == "tied better"
    others = {f"arm-{number}": [4.0, 4.02, 4.01] for number in range(2, 10)}
    crowd = compare(many_arms({"tied": [4.0, 4.01, 4.02], "arm-1": [4.1, 4.12, 4.17], **others}))
    among = next(item for item in crowd.differences if item.arms[1] == "arm-1" and item.split == "valid")
    assert among.delta_nats == alone.delta_nats
    assert among.p_holm == pytest.approx(min(1.0, 9 * alone.delta_nats.p_value))
    assert among.verdict == "inconclusive"


@pytest.mark.parametrize("number", [2, 3, 5, 20, 200])
def test_the_tests_are_those_of_scipy(number: int) -> None:
    """Whose own functions take long to import, and long for each call."""
    generator = np.random.default_rng(number)
    groups = [generator.normal(0.1, std, number).tolist() for std in (0.001, 0.01, 0.02)]
    for values in groups:
        delta, expected = paired_t(values), stats.ttest_1samp(values, 0.0)
        assert delta.p_value == pytest.approx(expected.pvalue, rel=1e-12)
        assert delta.ci95 == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-12)
        power = stats.nct.sf(
            stats.t.ppf(0.975, number - 1),
            number - 1,
            detectable_nats(values) / np.std(values, ddof=1) * np.sqrt(number),
        )
        assert power == pytest.approx(0.8, rel=1e-6)


@pytest.mark.parametrize("number", [3, 5, 10])
def test_what_could_have_been_found_is_found_in_four_cases_of_five(number: int) -> None:
    values = np.random.default_rng(1).normal(0, 1, number)
    values /= values.std(ddof=1)
    effect = detectable_nats(values.tolist())
    draws = np.random.default_rng(2).normal(effect, 1, (40_000, number))
    p_values = stats.ttest_1samp(draws, 0.0, axis=1).pvalue
    assert (p_values < 0.05).mean() == pytest.approx(0.8, abs=0.01)
    assert detectable_nats((10 * values).tolist()) == pytest.approx(10 * effect)


def test_many_arms_are_rows_at_80_columns() -> None:
    comparison = compare(many_arms({arm: [4.0, 4.1] for arm in ("tied", *ARMS)}))
    output = io.StringIO()
    Console(width=80, file=output, color_system=None).print(render_comparison(comparison))
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert sum(line.split()[:1] == ["arm-9"] for line in lines) == 2  # a row a split
    assert "verdicts are by Holm's p-values, over the 9 tests of a split" in lines


def with_bands(record: RunRecord, nats: list[float]) -> RunRecord:
    """The record with bands of equal size that have these losses a token."""
    raw = record.model_dump()
    for metrics in raw["metrics"].values():
        number = metrics["num_tokens"] // len(nats)
        sums = [number * of_band for of_band in nats]
        rest = metrics["num_tokens"] - number * (len(nats) - 1)
        sums[-1] = metrics["total_nll_nats"] - math.fsum(sums[:-1])
        metrics["bands"] = [
            {
                "least_count": least,
                "num_tokens": rest if least == LEAST_COUNTS[-1] else number,
                "total_nll_nats": total,
                "num_correct": metrics["num_correct"] if least == 0 else 0,
            }
            for least, total in zip(LEAST_COUNTS, sums, strict=True)
        ]
        metrics["num_correct"] = metrics["bands"][0]["num_correct"] = min(metrics["num_correct"], number)
    return RunRecord.model_validate(raw).sealed()


def test_a_difference_is_told_by_frequency() -> None:
    tied, untied = pairs([4.0, 4.0], [4.0, 4.0])[:2], pairs([4.0, 4.0], [4.0, 4.0])[2:]
    records = [with_bands(record, [5.0, 4.5, 4.0, 3.5, 3.0]) for record in tied]
    records += [with_bands(record, [5.0 + 0.1 * (record.seed + 1), 4.5, 4.0, 3.5, 3.0]) for record in untied]
    comparison = compare(records)
    bands = comparison.differences[0].bands
    assert bands is not None
    assert bands[0].mean == pytest.approx(0.15)
    assert bands[1].mean == pytest.approx(0.0)
    assert sum(band.num_tokens for band in bands) == BLOCK * NUM_BLOCKS
    assert "| valid | untied − tied | +0.150 [" in render_markdown(comparison)


def test_bands_that_do_not_add_up_are_no_record() -> None:
    record = with_bands(made_up("tied", 0, 4.0), [5.0, 4.5, 4.0, 3.5, 3.0])
    for field in ("num_tokens", "num_correct", "total_nll_nats"):
        raw = record.model_dump()
        raw["metrics"]["valid"]["bands"][1][field] += 1
        with pytest.raises(ValueError, match="is not the sum of those of the bands"):
            RunRecord.model_validate(raw)


def test_records_of_other_bands_are_of_another_text() -> None:
    records = [with_bands(record, [5.0, 4.5, 4.0, 3.5, 3.0]) for record in pairs([4.0, 4.1], [4.2, 4.3])]
    raw = records[-1].model_dump()
    for metrics in raw["metrics"].values():
        metrics["bands"][0]["num_tokens"] -= 1
        metrics["bands"][1]["num_tokens"] += 1
        metrics["bands"][0]["num_correct"] -= 1
        metrics["num_correct"] -= 1
    with pytest.raises(InputError, match="differ in the frequency bands of valid"):
        compare([*records[:-1], RunRecord.model_validate(raw).sealed()])

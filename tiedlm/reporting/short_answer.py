"""The answer of a comparison or a scan, on valid, in a cell of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tiedlm.comparison.cell_tests import CellResult
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.tested_differences import CONTRARY, EXPLORATORY, NO_VERDICT, ContrastResult, Difference
from tiedlm.reporting.wording import percent_more

NOT_DECIDED = "not decided"


def short_answer(comparison: Comparison) -> str:
    """`tied ahead +10.5 %`: how far the second arm's perplexity is above the first's. Of many arms, how many differ."""
    if comparison.contrasts:
        return of_contrasts(comparison.contrasts)
    if comparison.is_exploratory:
        return EXPLORATORY
    found = [item for item in comparison.differences if item.split == "valid"]
    if none := _nothing_found(found):
        return none
    if len(found) == 1:
        return f"{found[0].ahead} ahead {percent_more(found[0].delta_nats.mean)} %"
    return _how_many(found, found[0].arms[0])


def short_scan_answer(scan: Scan) -> str:
    """`tied 6, untied 3 of 12 cells`: in how many each is ahead. Of many arms, how many differ in all cells."""
    if scan.contrasts:
        return of_contrasts(scan.contrasts)
    tests = [test for test in scan.tests if test.split == "valid"]
    found = [result for test in tests for result in test.cells.values()]
    if none := _nothing_found(found):
        return none
    if len(tests) > 1:
        return _how_many(found, tests[0].arms[0])
    number = Counter(result.ahead for result in found if result.ahead is not None)
    ahead = ", ".join(f"{arm} {number[arm]}" for arm in tests[0].arms if arm in number)
    return f"{ahead} of {len(found)} cells"


def of_contrasts(results: Sequence[ContrastResult]) -> str:
    """`3 of 5 as predicted, 1 contrary`."""
    on_valid = [item for item in results if item.split == "valid"]
    if all(item.verdict == NO_VERDICT for item in on_valid):
        return NO_VERDICT
    if not any(item.is_decided for item in on_valid):
        return NOT_DECIDED
    number = sum(item.is_as_predicted for item in on_valid)
    contrary = sum(item.verdict == CONTRARY for item in on_valid)
    return f"{number} of {len(on_valid)} as predicted" + (f", {contrary} contrary" if contrary else "")


def _nothing_found(found: Sequence[Difference | CellResult]) -> str | None:
    if all(item.verdict == NO_VERDICT for item in found):
        return NO_VERDICT
    return NOT_DECIDED if all(item.ahead is None for item in found) else None


def _how_many(found: Sequence[Difference | CellResult], first: str) -> str:
    return f"{sum(item.ahead is not None for item in found)} of {len(found)} differ from {first}"

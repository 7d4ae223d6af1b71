"""Every language-model class of the installed `transformers`, each way of stating the flag, counted in each way.

A class passes where the answers from its folder and its configuration equal the unique parameters of the class, tell
its tie as the built model has it, and see no mismatch. What does not pass is listed with its reason, and nothing else
may; wrong in silence may nothing be. In the ordinary suite each class is asked under one statement of the flag, chosen
by its name; with TIEDLM_FULL_SWEEP=1 under all. `python -m tests.counting.sweep` prints the same as a table.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

transformers = pytest.importorskip("transformers")

from tests.counting.shrunk_models import WORD_KINDS, classes  # noqa: E402 (they need transformers)
from tests.counting.sweep import BARE_TOO, Result, line_of, quieten, sweep_class, table_of  # noqa: E402
from tests.counting.sweep_truths import BY_NAME, VARIANTS  # noqa: E402

IS_FULL = os.environ.get("TIEDLM_FULL_SWEEP") == "1"
TIMM = "its images need the timm package"
UNBUILT = {  # class, or class and statement → why transformers cannot build it here
    "DbrxForCausalLM tied": "its configuration refuses the flag",
    "FastVlmForConditionalGeneration": TIMM,
    "Gemma3nForConditionalGeneration": TIMM,
    "PerceptionLMForConditionalGeneration": TIMM,
    "Qwen3OmniMoeForConditionalGeneration tied": "its class looks for a table that its part has not",
}
FORCED = "its class ties whatever its flag says: counted as the flag says, and the class's total is among the others"
EXCEPTIONS: dict[str, str] = {  # class → why an answer for it differs from the class, and that it says so
    "LongT5ForConditionalGeneration": FORCED,
    "MT5ForConditionalGeneration": FORCED,
    "MarianMTModel": "has its sinusoidal positions as parameters, and does not store them; a note tells the difference",
    "Mistral3ForConditionalGeneration": "released untied, with no flag; the class's total is among the others",
    "T5ForConditionalGeneration": FORCED,
    "UMT5ForConditionalGeneration": FORCED,
    "UdopForConditionalGeneration": FORCED,
}
ROUTING = "counts a routing bias where there is no configuration: its name is a parameter's in other classes"
BARE_EXCEPTIONS = {  # class → why its file alone, of which no class is known, is counted otherwise
    "DeepseekV4ForCausalLM": ROUTING,
    "HYV3ForCausalLM": ROUTING,
    "Inkling2ForCausalLM": ROUTING,
    "Inkling2LoopForCausalLM": ROUTING,
}


PARTS = [classes()] if IS_FULL else [classes()[0::2], classes()[1::2]]
"""Swept side by side."""


def _asked(name: str, cache: Path) -> Iterator[Result | str]:
    """All answers for a class, or why it is not built; a model is gone once it has been asked about."""
    yield from sweep_class(name, cache, list(VARIANTS) if IS_FULL else [BY_NAME], BARE_TOO)
    shutil.rmtree(cache)
    cache.mkdir()


@pytest.mark.parametrize("names", PARTS, ids=[str(place) for place in range(len(PARTS))])
def test_every_class_is_counted_as_itself_or_explained(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quieten()
    (tmp_path / "cache").mkdir()
    swept = [found for name in names for found in _asked(name, tmp_path / "cache")]
    unbuilt = [found for found in swept if isinstance(found, str)]
    answers = [found for found in swept if isinstance(found, Result)]
    results = [result for result in answers if result.way != "bare"]
    with capsys.disabled():
        print(f"\ntransformers {transformers.__version__}", *table_of(results), sep="\n")
    _check_built(unbuilt, results, len(names))
    _check_explained(results)
    _check_basis(results)
    _check_bare([result for result in answers if result.way == "bare"])
    if IS_FULL:
        _check_page(results)


def _check_built(unbuilt: list[str], results: list[Result], num_classes: int) -> None:
    assert [sentence for sentence in unbuilt if not sentence.startswith(tuple(UNBUILT))] == []
    unlisted = {words for words in UNBUILT if not any(sentence.startswith(words) for sentence in unbuilt)}
    assert not unlisted or not IS_FULL, f"can be built now: {unlisted}"
    assert len({result.class_name for result in results}) >= 0.95 * num_classes


def _check_explained(results: list[Result]) -> None:
    wrong = [line_of(result) for result in results if result.verdict in ("silent", "crash")]
    assert not wrong, "\n".join(["wrong in silence:", *wrong])
    unequal = [result for result in results if result.verdict != "equal"]
    unexplained = [line_of(result) for result in unequal if result.class_name not in EXCEPTIONS]
    assert not unexplained, "\n".join(unexplained)
    assert len(unequal) <= 0.03 * len(results)
    needless = EXCEPTIONS.keys() - {result.class_name for result in unequal}
    assert not needless or not IS_FULL, f"come out as the class now: {needless}"


def _check_basis(results: list[Result]) -> None:
    others = [
        line_of(result)
        for result in results
        if result.verdict != "refused" and result.basis not in ("class", None) and result.class_name not in EXCEPTIONS
    ]
    assert not others, "\n".join(["not told by the class:", *others])


def _check_bare(bare: list[Result]) -> None:
    names = set(classes(WORD_KINDS))
    wrong = [result for result in bare if result.class_name in names and result.difference != 0]
    explained = BARE_EXCEPTIONS.keys() | EXCEPTIONS.keys()
    unexplained = [line_of(result) for result in wrong if result.class_name not in explained]
    assert not unexplained, "\n".join(unexplained)
    needless = BARE_EXCEPTIONS.keys() - {result.class_name for result in wrong}
    assert not needless or not IS_FULL, f"come out as the class now: {needless}"


def _check_page(results: list[Result]) -> None:
    if not transformers.__version__.startswith("5.24."):  # of which the page tells
        return
    names = {result.class_name for result in results}
    equal = names - {result.class_name for result in results if result.verdict != "equal"}
    page = " ".join((REPOSITORY / "docs" / "counting.md").read_text(encoding="utf-8").split())
    assert f"Of {len(names)} classes, {len(equal)} come out as the class itself counts" in page
    assert f"{len(names - equal)} are listed in the test with a reason each" in page

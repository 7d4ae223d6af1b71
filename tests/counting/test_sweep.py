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

from tests.counting.shrunk_models import classes  # noqa: E402 (they need transformers)
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
    "DbrxForCausalLM": "its configuration refuses a flag, so that no class is built",
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
WORD_KINDS = ("MASKED_LM", "CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM")
"""Whose files are counted without a configuration too; those of other kinds hold models of sounds and images."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> list[Result | str]:
    """All answers; a model is gone once it has been asked about."""
    quieten()
    cache = tmp_path_factory.mktemp("sweep")
    return [found for name in classes() for found in _asked(name, cache)]


def _asked(name: str, cache: Path) -> Iterator[Result | str]:
    yield from sweep_class(name, cache, list(VARIANTS) if IS_FULL else [BY_NAME], BARE_TOO)
    shutil.rmtree(cache)
    cache.mkdir()


@pytest.fixture(scope="module")
def results(swept: list[Result | str]) -> list[Result]:
    """Of folders and configurations."""
    return [found for found in swept if isinstance(found, Result) and found.way != "bare"]


def test_all_classes_are_built_but_those_listed(swept: list[Result | str], results: list[Result]) -> None:
    sentences = [found for found in swept if isinstance(found, str)]
    listed = [sentence for sentence in sentences if any(sentence.startswith(words) for words in UNBUILT)]
    assert listed == sentences
    unlisted = {words for words in UNBUILT if not any(sentence.startswith(words) for sentence in sentences)}
    assert not unlisted or not IS_FULL, f"can be built now: {unlisted}"
    assert len({result.class_name for result in results}) >= 0.95 * len(classes())


def test_nothing_is_wrong_in_silence(results: list[Result]) -> None:
    wrong = [line_of(result) for result in results if result.verdict in ("silent", "crash")]
    assert not wrong, "\n".join(wrong)


def test_answers_equal_the_class_or_are_explained(results: list[Result], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\ntransformers {transformers.__version__}", *table_of(results), sep="\n")
    unequal = [result for result in results if result.verdict != "equal"]
    unexplained = [line_of(result) for result in unequal if result.class_name not in EXCEPTIONS]
    assert not unexplained, "\n".join(unexplained)
    assert len(unequal) <= 0.03 * len(results)
    needless = EXCEPTIONS.keys() - {result.class_name for result in unequal}
    assert not needless or not IS_FULL, f"come out as the class now: {needless}"


def test_the_class_itself_is_asked_where_it_can_be_built(results: list[Result]) -> None:
    others = [
        line_of(result)
        for result in results
        if result.verdict != "refused" and result.basis not in ("class", None) and result.class_name not in EXCEPTIONS
    ]
    assert not others, "\n".join(others)


def test_files_alone_are_counted_or_explained(swept: list[Result | str]) -> None:
    names = set(classes(WORD_KINDS))
    bare = [found for found in swept if isinstance(found, Result) and found.way == "bare" and found.class_name in names]
    wrong = [result for result in bare if result.difference != 0]
    explained = BARE_EXCEPTIONS.keys() | EXCEPTIONS.keys()
    unexplained = [line_of(result) for result in wrong if result.class_name not in explained]
    assert not unexplained, "\n".join(unexplained)
    needless = BARE_EXCEPTIONS.keys() - {result.class_name for result in wrong}
    assert not needless or not IS_FULL, f"come out as the class now: {needless}"


@pytest.mark.skipif(not IS_FULL, reason="the page tells of the full sweep")
def test_the_page_tells_what_the_sweep_finds(results: list[Result]) -> None:
    if not transformers.__version__.startswith("5.24."):
        pytest.skip("the page tells of 5.24")
    names = {result.class_name for result in results}
    equal = names - {result.class_name for result in results if result.verdict != "equal"}
    page = " ".join((REPOSITORY / "docs" / "counting.md").read_text(encoding="utf-8").split())
    assert f"Of {len(names)} classes, {len(equal)} come out as the class itself counts" in page
    assert f"{len(names - equal)} are listed in the test with a reason each" in page

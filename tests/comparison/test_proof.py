"""Records prove what they say, or are refused: what was changed, what contradicts itself, what is no pair."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from tests.comparison.test_compare import made_up, pairs
from tiedlm.comparison.compare import compare
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_record, load_records, save_record
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.markdown import render_markdown
from tiedlm.reporting.terminal import render_comparison, render_record

NUM_CASES = int(os.environ.get("TIEDLM_CASES", "1000"))
HUGE = 10**400
VALUES = st.one_of(
    st.sampled_from([0, -1, 1, 2, 10, HUGE, -HUGE, 2**63, True, False, None, "", "x", "0" * 64, [], {}, [0], {"a": 1}]),
    st.sampled_from([0.0, -0.5, 0.5, 1e5, 1e308, -1e308, 5e-324, float("inf"), float("nan")]),
    st.text(max_size=4),
    st.integers(),
    st.floats(),
)


def places(value: Any, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of everything in a document, but for what is in the middle of a long list."""
    found = [prefix] if prefix else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if not (isinstance(key, int) and 1 < key < len(value) - 1):
            found += places(inner, (*prefix, key))
    return found


def changed(raw: dict[str, Any], place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(raw))
    target: Any = copy
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return copy


RAW = made_up("untied", 0, 4.2).model_dump()
PLACES = places(RAW)


def show_all(records: list[RunRecord]) -> None:
    """Everything that is made of records, but for the plots."""
    comparison = compare(records)
    comparison.model_dump_json()
    render_markdown(comparison)
    console = Console(width=80, file=io.StringIO())
    console.print(render_comparison(comparison))
    for record in records:
        console.print(render_record(record))


@settings(
    max_examples=NUM_CASES,
    deadline=None,
    phases=[Phase.generate],
    derandomize=NUM_CASES == 1000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_any_edit_is_refused_and_one_that_is_sealed_anew_is_refused_or_shown(
    place: tuple[str | int, ...], value: Any, tmp_path: Path
) -> None:
    raw = changed(RAW, place, value)
    path = tmp_path / "untied-seed0.json"
    path.write_text(json.dumps(raw))
    if refusal(lambda: load_record(path)) is None:
        assert RunRecord.model_validate(raw) == RunRecord.model_validate(RAW)  # as 1.0 is for 1
    try:
        sealed = RunRecord.model_validate(raw).sealed()
    except (ValidationError, ValueError):  # as it is refused above
        return
    folder = tmp_path / "sealed"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    if refusal(lambda: save_record(sealed, folder)) is None:
        refusal(lambda: show_all([made_up("tied", 0, 4.0), *load_records(folder)]))


def test_half_of_a_character_is_in_no_record(tmp_path: Path) -> None:
    """A surrogate, which JSON can write and UTF-8 cannot."""
    path = tmp_path / "untied-seed0.json"
    path.write_text(json.dumps(changed(RAW, ("provenance", "processor"), "\ud800")))
    assert refusal(lambda: load_record(path)) == f"{path}: holds half of a character; delete it and train again"


def refusal(act: Callable[[], object]) -> str | None:
    """The sentence by which something is refused; whatever else is raised is a fault."""
    try:
        act()
    except InputError as error:
        return str(error)
    return None


VALID = RAW["metrics"]["valid"]
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "accuracy of 1000 %": ({"metrics__valid__num_correct": 10 * VALID["num_tokens"]}, "num_correct"),
    "negative accuracy": ({"metrics__valid__num_correct": -1}, "num_correct"),
    "a total off by 0.09 %": ({"metrics__valid__total_nll_nats": 1.0009 * VALID["total_nll_nats"]}, "is not the sum"),
    "a negative loss": (
        {
            "metrics__valid__block_nll_nats": [-nll for nll in VALID["block_nll_nats"]],
            "metrics__valid__total_nll_nats": -VALID["total_nll_nats"],
        },
        "greater than or equal to 0",
    ),
    "a loss of 800 nats": (
        {
            "metrics__valid__block_nll_nats": [12_800.0] * len(VALID["block_nll_nats"]),
            "metrics__valid__total_nll_nats": 12_800.0 * len(VALID["block_nll_nats"]),
        },
        "over 700 a token",
    ),
    "a curve of 100,000 nats": ({"curve": [RAW["curve"][0] | {"valid_loss_nats": 1e5}, RAW["curve"][1]]}, "curve"),
    "a curve that goes back": ({"curve": RAW["curve"][::-1]}, "curve has the steps"),
    "vocabulary of none": ({"data__vocab_size": 0}, "vocab_size"),
    "negative costs": ({"cost__train_seconds": -1.0}, "train_seconds"),
    "a dropped block": (
        {
            "metrics__valid__block_nll_nats": VALID["block_nll_nats"][1:],
            "metrics__valid__block_num_tokens": VALID["block_num_tokens"][1:],
        },
        "disagree",
    ),
    "blocks of another size": (
        {"metrics__valid__block_num_tokens": [15, 17, *VALID["block_num_tokens"][2:]]},
        "blocks of",
    ),
    "a key of its own": ({"overrides": {"model": {"tie_word_embeddings": False, "<img>": None}}}, "<img>"),
    "negative parameters": ({"parameters__encoder_layers": -1}, "encoder_layers"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_record_that_contradicts_itself_is_none(lie: str) -> None:
    changes, words = LIES[lie]
    with pytest.raises(ValidationError, match=words):
        made_up("untied", 0, 4.2, **changes)


PAIRING = RAW["pairing"]
NO_PAIRS: dict[str, tuple[dict[str, Any], str]] = {
    "other batches": ({"pairing__order_sha256": "1" * 64}, "are no pair: they differ in the order of batches"),
    "other masks": ({"pairing__masks_sha256": "1" * 64}, "they differ in the masks;"),
    "other evaluation": (
        {"pairing__eval_masks_sha256": {"valid": "1" * 64, "test": "0" * 64}},
        "they differ in the masks of evaluation",
    ),
    "another start": (
        {"pairing__start_values": {"head.decoder.bias": "100 " + "1" * 64}},
        r"they differ in the start values of head\.decoder\.bias",
    ),
    "other tokens": ({"metrics__valid__unigram_perplexity": 91.0}, "valid unigram_perplexity"),
    "other words": ({"metrics__test__num_words": 401}, "num_words"),
    "parameters from nowhere": (
        {"parameters": RAW["parameters"] | {"encoder_layers": RAW["parameters"]["encoder_layers"] + 1}},
        "parameters of 'encoder_layers'",
    ),
}


@pytest.mark.parametrize("case", NO_PAIRS)
def test_what_is_no_pair_is_not_compared(case: str) -> None:
    changes, words = NO_PAIRS[case]
    with pytest.raises(InputError, match=words):
        compare([made_up("tied", 0, 4.0), made_up("untied", 0, 4.2, **changes)])


def test_tensors_of_another_shape_are_not_shared() -> None:
    start = {"pairing__start_values": {"head.decoder.bias": "101 " + "1" * 64}}
    assert compare([made_up("tied", 0, 4.0), made_up("untied", 0, 4.2, **start)]).differences


@pytest.mark.parametrize("field", ["git_commit", "torch", "num_threads", "python", "processor"])
def test_what_may_differ_is_told(field: str) -> None:
    value: Any = 2 if field == "num_threads" else "another"
    records = [*pairs([4.0, 4.1], [4.2, 4.3])[:3], made_up("untied", 1, 4.3, **{f"provenance__{field}": value})]
    assert any(note.startswith(f"the runs differ in {field}: ") for note in compare(records).notes)


def test_records_from_before_the_proof_are_compared_and_it_is_said() -> None:
    records = [made_up(arm, 0, 4.0, pairing=None) for arm in ("tied", "untied")]
    assert any(note.startswith("pairing is not proved") for note in compare(records).notes)

"""What `count-params` prints beside one model's table: lists, models side by side, Markdown."""

from __future__ import annotations

import json
import re
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiedlm.api.count import count_params
from tiedlm.cli.main import main
from tiedlm.counting.closed_forms.known_models import KNOWN_MODELS
from tiedlm.processes.held_signals import STOP_SIGNALS

Shown = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shown]:
    """What `tiedlm count-params …` prints in this process."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def run(*arguments: object, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["tiedlm", "count-params", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        seen = capsys.readouterr()
        assert int(stopped.value.code or 0) == status, seen.err
        return seen.out

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def table_of(page: str) -> list[list[str]]:
    """The cells of a page's first table in Markdown, read as GitHub reads them: `\\|` is no border."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize("words", [["qwen"], ["QWEN2.5"], ["meta-llama", "tiny"]])
def test_a_list_by_words_has_the_models_whose_names_have_one(words: list[str], shown: Shown) -> None:
    names = [document["name"] for document in json.loads(shown("--list", *words, "--json"))["models"]]
    expected = [
        name
        for name, model in KNOWN_MODELS.items()
        if any(word.lower() in (name + " " + model.hub_name).lower() for word in words)
    ]
    assert names == expected
    assert 0 < len(names) < len(KNOWN_MODELS)


def test_a_word_that_is_in_no_name_is_refused(shown: Shown) -> None:
    assert shown("--list", "qwen", "no-such-word", status=2) == ""


def test_two_models_stand_side_by_side_with_their_difference(shown: Shown) -> None:
    one, other = (count_params(name).count for name in ("bert-base-uncased", "roberta-base"))
    rows = {row[0]: row[1:] for row in table_of(shown(one.name, other.name, "--markdown"))}
    assert rows["total"] == [f"{one.total:,}", f"{other.total:,}", f"{other.total - one.total:+,}"]
    assert rows["V × E"] == [f"{one.saved:,}", f"{other.saved:,}", f"{other.saved - one.saved:+,}"]
    for group in one.groups.keys() | other.groups.keys():
        if one.groups[group] or other.groups[group]:
            numbers = [one.groups[group], other.groups[group]]
            assert rows[group.replace("_", r"\_")][:2] == [f"{number:,}" for number in numbers]
    documents = json.loads(shown(one.name, other.name, "--json"))["models"]
    assert [document["total"] for document in documents] == [one.total, other.total]


def test_many_models_have_a_line_each(shown: Shown) -> None:
    names = ["gpt2", "t5-small", "qwen3-8b", "bert-base-cased"]
    assert [row[0] for row in table_of(shown(*names, "--markdown"))[2:]] == names


def test_a_table_in_markdown_sums_to_its_total(shown: Shown) -> None:
    rows = table_of(shown("t5-v1.1-small", "--markdown"))[2:]
    for column, total in ((1, "60,511,616"), (2, "76,961,152")):
        numbers = [int(row[column].replace(",", "")) for row in rows if row[column] != "shared"]
        assert sum(numbers[:-1]) == numbers[-1] == int(total.replace(",", ""))


def test_what_a_stranger_named_is_text_in_markdown(shown: Shown, tmp_path: Path) -> None:
    folder = tmp_path / "a|b<script>*[x](y)"
    folder.mkdir()
    named = {"model_type": "bert", "architectures": ["Own|<b>`Class"]}
    (folder / "config.json").write_text(json.dumps(named))
    for page in (shown(folder, "--markdown"), shown(folder, "gpt2", "--markdown")):
        assert not re.search(r"(?<!\\)[<*\[`]", page.replace("**", ""))
        assert {len(row) for row in table_of(page)} <= {3, 4}


def test_what_if_goes_to_markdown_too(shown: Shown) -> None:
    page = shown("gpt2", "--what-if", "vocab_size=100,200", "--markdown")
    assert [row[1] for row in table_of(page)[-3:]] == ["50,257", "100", "200"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("bert", "bert-base-uncased"),
        ("bert-large", "bert-large-uncased"),
        ("ROBERTA", "roberta-base"),
        ("t5", "t5-base"),
    ],
)
def test_a_family_means_its_base_model_and_says_so(name: str, known: str, shown: Shown) -> None:
    document = json.loads(shown(name, "--json"))
    assert (document["name"], document["notes"]) == (known, [f"{name} is taken for {known}"])


def test_a_model_without_a_head_shares_nothing_and_has_one_total(shown: Shown, tmp_path: Path) -> None:
    sizes = {"vocab_size": 7, "embedding_size": 4, "hidden_size": 8, "num_attention_heads": 2}
    config = {"model_type": "electra", "architectures": ["ElectraForPreTraining"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config | sizes))
    entry = {"dtype": "F32", "shape": [7, 4], "data_offsets": [0, 112]}
    header = json.dumps({"electra.embeddings.word_embeddings.weight": entry}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(112))
    for page in (shown(tmp_path), shown(tmp_path, "--markdown")):
        assert "shared" not in page
        assert "untied" not in page
        assert "▒" not in page
    assert table_of(page)[2:] == [[r"word\_embeddings", "28"], ["total", "28"]]
    document = json.loads(shown(tmp_path, "--json"))
    assert document["saved"] == 0
    assert document["total"] == document["total_tied"] == document["total_untied"] == 28


def test_recipes_that_cost_the_same_share_a_row_and_the_bar_has_a_legend(shown: Shown) -> None:
    page = shown("bert-base-uncased")
    costs: list[Any] = re.findall(r"training, .*?((?:\d[\d.,]* [MG]B *)+)", page)
    assert len(costs) == len({cost.split()[0] for cost in costs}) == 2
    assert "▒ the output matrix" in page

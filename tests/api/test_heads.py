"""The page's look through the heads: there where the models are, of the numbers that they give, on their own text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.test_export import trained
from tiedlm import explain
from tiedlm.api.heads import FIXED_SENTENCES, NUM_SENTENCES, heads_section
from tiedlm.comparison.folder import compare_folder
from tiedlm.reporting.page.sections import Section


def section_of(folder: Path) -> Section:
    """The section of a folder whose models are there."""
    section = heads_section(folder, compare_folder(folder))
    assert section is not None
    return section


def shown_sentences(section: Section) -> list[str]:
    """The sentences of its table with their masked words put back."""
    (table,) = (item.table for item in section.tables)
    return [row[0].replace("[MASK]", row[1]) for row in table.rows[::2]]


@pytest.fixture
def runs(tmp_path: Path, corpus_folder: Path) -> Path:
    """A folder of a tied and an untied run."""
    assert corpus_folder == tmp_path / "corpus"
    paths = [trained(tmp_path, arm) for arm in ("tied", "untied")]
    return paths[0].parent


def test_the_page_has_three_sentences_through_both_arms(runs: Path) -> None:
    section = section_of(runs)
    (table,) = (item.table for item in section.tables)
    assert [row[2] for row in table.rows] == ["tied", "untied"] * NUM_SENTENCES
    place = table.header.index("likeliest word")
    for row in table.rows:
        assert len(row) == len(table.header)
        (one,) = explain(row[0], runs / f"{row[2]}-seed0.safetensors")
        best = one.best
        assert row[place] == best.token
        assert row[place + 1 : -1] == [
            f"{x:.2f}" for x in (one.guess.norm, best.row_norm, best.cosine, best.bias, best.score)
        ]
    assert {row[-1] for row in table.rows[::2]} == {"one row"}
    (runs / "untied-seed0.safetensors").unlink()
    assert heads_section(runs, compare_folder(runs)) is None


def test_the_sentences_are_of_the_runs_own_valid_split(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the tokens in the cache, else by the text where it was; a text that has changed since is not taken for it."""
    valid = tmp_path / "corpus" / "valid.txt"
    lines = valid.read_text().splitlines()
    valid.parent.rename(tmp_path / "away")
    by_tokens = section_of(runs)
    (tmp_path / "away").rename(valid.parent)
    assert set(shown_sentences(by_tokens)) <= set(lines)
    assert len(set(shown_sentences(by_tokens))) == NUM_SENTENCES
    assert "The sentences are from the valid split of" in " ".join(by_tokens.text)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert section_of(runs) == by_tokens
    valid.write_text("\n".join(reversed(lines)) + "\n")
    elsewhere = section_of(runs)
    assert shown_sentences(elsewhere) != shown_sentences(by_tokens)
    assert "is not on this machine, or not as they read it" in " ".join(elsewhere.text)
    (table,) = (item.table for item in elsewhere.tables)
    assert [row[1] for row in table.rows[::2]] == [word for _, word in FIXED_SENTENCES]


def test_a_text_without_sentences_is_explained_by_others_and_the_page_says_so(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "corpus" / f"{split}.txt").write_text("ga ct ga tt aa\n" * 90)
    paths = [trained(tmp_path, arm) for arm in ("tied", "untied")]
    section = section_of(paths[0].parent)
    assert "has too few short sentences of whole words" in " ".join(section.text)
    assert len(shown_sentences(section)) == len(FIXED_SENTENCES)

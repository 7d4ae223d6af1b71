"""The page's look through the heads: there where the models are, of the numbers that they give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.test_export import trained
from tiedlm import explain
from tiedlm.api.heads import SENTENCES, heads_section
from tiedlm.comparison.folder import compare_folder


@pytest.mark.usefixtures("corpus_folder")
def test_the_page_has_three_sentences_through_both_arms(tmp_path: Path) -> None:
    paths = {arm: trained(tmp_path, arm) for arm in ("tied", "untied")}
    folder = paths["tied"].parent
    section = heads_section(folder, compare_folder(folder))
    assert section is not None
    (table,) = (item.table for item in section.tables)
    assert [row[1] for row in table.rows] == ["tied", "untied"] * len(SENTENCES)
    for row, (sentence, arm) in zip(table.rows, ((text, arm) for text in SENTENCES for arm in paths), strict=True):
        (one,) = explain(sentence, paths[arm])
        best = one.best
        assert row[3] == best.token
        assert row[4:9] == [f"{x:.2f}" for x in (one.guess.norm, best.row_norm, best.cosine, best.bias, best.score)]
    assert {row[9] for row in table.rows[::2]} == {"one row"}
    paths["untied"].unlink()
    assert heads_section(folder, compare_folder(folder)) is None

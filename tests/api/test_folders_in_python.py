"""Records and comparisons of a folder in Python: their figures as tables, and what a prompt and a notebook show."""

from __future__ import annotations

import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import tiedlm
from tests.conftest import REPOSITORY
from tiedlm import InputError
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.scan_result import Scan
from tiedlm.reporting.figures import comparison_csv, scan_csv

TUNED, SCAN = REPOSITORY / "results" / "ptb-tuned", REPOSITORY / "results" / "likeness"
MAX_REPR = 2_000


class Tags(HTMLParser):
    """Holds that every tag is closed, in order, and counts the tables and their cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[list[int]] = []

    def handle_starttag(self, tag: str, _: object) -> None:
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "table":
            self.cells.append([])
        elif tag == "tr":
            self.cells[-1].append(0)
        elif tag in ("td", "th"):
            self.cells[-1][-1] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_figures_are_those_of_the_records_and_of_the_csv() -> None:
    comparison, records = tiedlm.load(TUNED), tiedlm.records(TUNED)
    assert isinstance(comparison, Comparison)
    runs = comparison.to_dataframe().set_index(["arm", "seed", "split"]).sort_index()
    of_records = records.to_dataframe().set_index(["arm", "seed", "split"]).sort_index()
    shared = [name for name in runs.columns if name in of_records.columns]
    assert "masked_lm_loss_nats" in shared
    pd.testing.assert_frame_equal(runs[shared], of_records[shared])
    assert set(of_records["train.learning_rate"]) == {record.config.train.learning_rate for record in records}
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(comparison_csv(comparison))), comparison.to_dataframe("runs"))
    losses = runs["masked_lm_loss_nats"].xs("valid", level="split").unstack("arm")
    (valid,) = comparison.to_dataframe("differences").query("split == 'valid'").to_dict("records")
    assert valid["delta_nats"] == pytest.approx((losses["untied"] - losses["tied"]).mean(), abs=1e-12)
    curves = comparison.to_dataframe("curves")
    assert len(curves) == sum(len(record.curve) for record in records)


def test_a_scan_has_its_cells_and_its_contrasts() -> None:
    scan = tiedlm.load(SCAN)
    assert isinstance(scan, Scan)
    read = pd.read_csv(io.StringIO(scan_csv(scan)))
    pd.testing.assert_frame_equal(read, scan.to_dataframe(), check_dtype=False)
    contrasts = scan.to_dataframe("contrasts")
    assert list(contrasts["contrast"]) == [item.name for item in scan.contrasts]
    assert scan.contrasts[0].name in repr(scan)


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"to_dataframe\('cells'\): is none of runs, differences, contrasts, curves; "):
        tiedlm.load(TUNED).to_dataframe("cells")


@pytest.mark.parametrize("folder", [TUNED, SCAN], ids=["comparison", "scan"])
def test_a_prompt_and_a_notebook_show_little(folder: Path) -> None:
    found = tiedlm.load(folder)
    assert "untied − tied +0." in repr(found)
    assert len(repr(found)) < MAX_REPR
    assert str(found) == repr(found)
    tags = Tags()
    tags.feed(found._repr_html_())
    assert tags.open == []
    assert tags.cells
    assert all(len(set(of_table)) == 1 for of_table in tags.cells)


def test_what_a_stranger_named_is_text_in_a_notebook() -> None:
    comparison = tiedlm.load(TUNED)
    odd = comparison.model_copy(update={"experiment": "<script>alert(1)</script>"})
    assert "<script>" not in odd._repr_html_()
    assert "&lt;script&gt;" in odd._repr_html_()


def test_load_writes_nothing_and_report_writes_what_the_command_does(tmp_path: Path) -> None:
    kept = ("REPORT.md", "comparison.json")
    for path in TUNED.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    shutil.copytree(TUNED / "tune", tmp_path / "tune")
    for name in kept:
        (tmp_path / name).unlink()
    before = sorted(tmp_path.iterdir())
    loaded = tiedlm.load(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    assert tiedlm.report(tmp_path) == loaded
    assert (tmp_path / "REPORT.md").read_text() == (TUNED / "REPORT.md").read_text()
    assert json.loads((tmp_path / "comparison.json").read_text()) == loaded.model_dump(mode="json")


def test_a_folder_without_records_is_told(tmp_path: Path) -> None:
    for read in (tiedlm.load, tiedlm.report, tiedlm.records):
        with pytest.raises(InputError, match="holds no records"):
            read(tmp_path)

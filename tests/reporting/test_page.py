"""The page of a comparison: one file, the same each time, in which what is foreign stays text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.comparison.test_compare import made_up, pairs
from tests.comparison.test_differences import many_arms
from tests.reporting.test_report import STRANGE
from tiedlm.comparison.compare import compare
from tiedlm.errors import printable
from tiedlm.record.record_file import save_record
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.page.render import render_page
from tiedlm.reporting.page.sections import CaptionedTable, Section
from tiedlm.reporting.tables import Table

HOSTILE = f"{STRANGE} </script><script>alert(2)</script> </style> \" onmouseover='x' {{{{ 7 * 7 }}}} &lt; $x_1$"


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def records_saying(text: str) -> list[RunRecord]:
    """Two arms of two seeds, in which every free string says the same."""
    changes = {
        "data__corpus": text,
        "config__corpus__name": text,
        "text_source": text,
        **{f"provenance__{key}": text for key in ("command", "processor", "python", "torch", "git_commit")},
    }
    return [made_up(arm, seed, 4.0 + 0.1 * seed, **changes) for arm in ("tied", "untied") for seed in (0, 1)]


def page_of(records: list[RunRecord], through_the_head: Section | None = None) -> str:
    """Their page."""
    return render_page(compare(records), records, through_the_head)


def head_section(text: str) -> Section:
    """A section as another part of the program may make one."""
    return Section("head", text, (text,), tables=(CaptionedTable(text, Table([text, text], [[text, text]])),))


def test_what_is_foreign_stays_text() -> None:
    harmless, hostile = (Structure(page_of(records_saying(text), head_section(text))) for text in ("harmless", HOSTILE))
    assert hostile.elements == harmless.elements
    assert harmless.text.count("harmless") > 10
    assert hostile.text.count(printable(HOSTILE)) == harmless.text.count("harmless")


def test_a_page_asks_no_other_file_for_anything() -> None:
    page = page_of(pairs([4.0, 4.1, 4.05], [4.2, 4.35, 4.2]))
    assert set(re.findall(r"\bhttps?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}  # the name of a language
    assert {link[:1] for link in re.findall(r"\b(?:href|src)=\"([^\"]*)\"", page)} == {"#", "d"}
    assert re.findall(r"href=\"(d[^\"]*)\"", page) == ["data:,"]
    assert not re.search(r"url\((?!#)|@import", page)


def test_no_two_elements_have_one_id_and_every_reference_has_its_element() -> None:
    page = page_of(pairs([4.0, 4.1, 4.05], [4.2, 4.35, 4.2]))
    ids = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    references = re.findall(r"(?:href=\"#|url\(#|aria-labelledby=\")([^\")]+)", page)
    assert set(references) <= set(ids)
    assert len(references) > 50


def test_a_section_through_the_head_stands_there_only_where_it_is_given() -> None:
    records = pairs([4.0, 4.1], [4.2, 4.35])
    headings = [re.findall(r"<h2[^>]*>([^<]*)", page_of(records, section)) for section in (None, head_section("Head"))]
    assert "Head" not in headings[0]
    assert [heading for heading in headings[1] if heading != "Head"] == headings[0]
    assert headings[1][headings[1].index("By frequency") + 1] == "Head"


def report(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`tiedlm report …` in a process of its own."""
    command = [sys.executable, "-m", "tiedlm", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for record in pairs([4.0, 4.1, 4.05], [4.2, 4.35, 4.2]):
        save_record(record, tmp_path)
    pages = []
    for hash_seed in ("1", "2"):
        page = tmp_path / f"{hash_seed}.html"
        finished = report(tmp_path, "--html", page, PYTHONHASHSEED=hash_seed)
        assert (finished.returncode, finished.stderr) == (0, "")
        assert f"page: {page}\n" in finished.stdout
        pages.append(page.read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("tied-seed0.json", "is not the name of a page; give one that ends with .html"),
        ("there.html", "is a folder; give the file to write"),
        ("nowhere/page.html", "its folder does not exist"),
    ],
)
def test_a_file_that_no_page_can_be_is_refused_before_anything_is_written(
    file: str, sentence: str, tmp_path: Path
) -> None:
    for record in pairs([4.0, 4.1], [4.2, 4.35]):
        save_record(record, tmp_path)
    (tmp_path / "there.html").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    finished = report(tmp_path, "--html", tmp_path / file)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert sentence in finished.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_the_answer_of_many_arms_says_which_is_better_than_which() -> None:
    arms = {
        "tied": [4.0, 4.03, 3.98, 4.01],
        "arm-1": [4.2, 4.22, 4.19, 4.21],
        "arm-2": [3.8, 3.84, 3.77, 3.82],
        "arm-3": [4.1, 3.9, 4.05, 3.97],
    }
    text = " ".join(Structure(page_of(many_arms(arms))).text)
    assert "On valid, tied is better than: arm-1." in text
    assert "On valid, better than tied: arm-2." in text
    assert "On valid, inconclusive against tied: arm-3." in text

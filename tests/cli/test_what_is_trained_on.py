"""The text of one's own, as the plan, the report and the page tell of it: its size, its epochs, and what to mend."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.test_bad_input import TINY, run_tiedlm

pytestmark = pytest.mark.slow
STEPS, LINES = 40, 100
OPTIONS = f"{TINY.replace('--steps 2', f'--steps {STEPS}')} --seeds 1"
OFTEN = r"train is read 13 times or more, and with so many readings of one text untied has been found ahead of tied .*"
SMALL = r"valid has (\d+) tokens, so which text happens to be in it moves a difference by about ± 0.\d+ nats a token.*"
CUT = r"valid or test was taken from train by the line, .* so lines of one paragraph may be in two splits; put blank .*"


def write_song(path: Path, lines_of_a_verse: int) -> None:
    """Lines, in verses with a blank line between them; all in one where a verse has them all."""
    lines = [f"the {'cat dog cow'.split()[i % 3]} sees mouse {i}" for i in range(LINES)]
    verses = [lines[start : start + lines_of_a_verse] for start in range(0, LINES, lines_of_a_verse)]
    path.write_text("\n\n".join("\n".join(verse) for verse in verses) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a song of lines, and a seed of both arms in `out`."""
    folder = tmp_path_factory.mktemp("song")
    write_song(folder / "song.txt", LINES)
    answer = run_tiedlm(folder, f"compare --corpus song.txt --out out {OPTIONS}")
    assert answer.returncode == 0, answer.stderr
    (folder / "told").write_text(answer.stderr)
    (folder / "shown").write_text(answer.stdout)
    return folder


def assert_noted(text: str, form: str) -> None:
    """Each of the three once."""
    noted = re.findall(form, text, flags=re.MULTILINE)
    for note in (OFTEN, SMALL, CUT):
        assert len([line for line in noted if re.fullmatch(note, line)]) == 1, (note, noted)


def test_the_plan_says_what_is_trained_on_and_what_is_wrong_with_it(folder: Path) -> None:
    told = (folder / "told").read_text()
    tokens = 90 * 6  # of five words and the end of the line
    epochs = round(STEPS * 32 * 8 / tokens)
    assert f"  text: {tokens} tokens of train, 30 of valid, 30 of test; vocabulary " in told
    assert "\n  documents: 100 different lines\n" in told
    assert f"\n  {STEPS} steps, 10,240 tokens a run, {epochs} epochs\n" in told
    assert_noted(told, r"^  note: (.*)$")


def test_the_report_and_the_page_say_it_too(folder: Path) -> None:
    answer = run_tiedlm(folder, "report out --html page.html")
    assert answer.returncode == 0, answer.stderr
    text = "A run reads 10,240 tokens of train in 40 steps, 19 epochs."
    pages = {name: (folder / name).read_text() for name in ("out/REPORT.md", "page.html", "shown")}
    for name, page in pages.items():
        assert page.count(f"Text: 540 tokens of train, 30 of valid, 30 of test. {text}") == 1, name
        assert re.search(r"[Tt]okens a second", page), name
    assert_noted(pages["out/REPORT.md"].replace("\\", ""), r"^Note: (.*)\.$")
    assert_noted(pages["page.html"], r"^<li>((?!<a).*)</li>$")
    assert_noted(pages["shown"], r"^note: (.*)$")
    found = json.loads((folder / "out/comparison.json").read_text())["trained_on"]
    assert found["num_tokens"] == {"train": 540, "valid": 30, "test": 30}
    assert found["epochs"] == found["num_tokens_read"] / 540


def test_verses_are_documents_and_records_of_the_lines_are_of_other_splits(folder: Path) -> None:
    (folder / "verses").mkdir()
    write_song(folder / "verses/song.txt", 4)
    command = f"compare --corpus song.txt {OPTIONS}"
    (folder / "verses/out").symlink_to(folder / "out")
    plan = run_tiedlm(folder / "verses", f"{command} --out new --dry-run --json")
    assert plan.returncode == 0, plan.stderr
    found = json.loads(plan.stdout)
    assert found["documents"] == {"kind": "paragraph", "number": 25, "may_cut_paragraphs": False}
    assert (found["corpus_tokens"]["valid"], found["epochs"]) == (24, STEPS * 32 * 8 / (92 * 6))
    assert found["tokens_per_second"] > 0
    assert [bool(re.fullmatch(CUT, note)) for note in found["notes"]] == [False, False]
    refused = run_tiedlm(folder / "verses", f"{command} --out out")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "was made with other text than corpus 'song.txt' has now, or with other splits of it" in refused.stderr

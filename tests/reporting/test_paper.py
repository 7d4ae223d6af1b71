"""What a paper takes from a folder: its figure, and its tables as LaTeX, read by a parser of the test's own."""

from __future__ import annotations

import csv
import io
import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.comparison.test_compare import pairs
from tests.comparison.test_differences import many_arms
from tests.comparison.test_scan import VALUES, write_cells
from tests.conftest import HANG_SECONDS
from tests.reporting.test_report import STRANGE
from tiedlm.cli.commands import app
from tiedlm.comparison.designs import SCAN_DESIGN_FILE
from tiedlm.comparison.scan_result import ScanDesign
from tiedlm.comparison.sealed_design import save_decision, seal
from tiedlm.errors import printable
from tiedlm.markup.latex_text import latex_page, latex_text
from tiedlm.markup.page_parts import Grid, Heading, Points, Words
from tiedlm.record.record_file import save_record
from tiedlm.record.run_record import RunRecord

POINTS_AN_INCH = 72
COMMANDS = {
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textasciigrave": "`",
    "textendash": "–",
    "textemdash": "—",
    "ldots": "…",
    "textperiodcentered": "·",
    "pm": "±",
    "times": "×",
    "leq": "≤",
    "geq": "≥",
    "surd": "√",
    "Sigma": "Σ",
    "rightarrow": "→",
}
"""As LaTeX sets them."""


def set_text(source: str) -> str:
    """What LaTeX sets for the source of a cell; anything but text in it is an error."""
    shown, place, in_math = "", 0, False
    while place < len(source):
        character = source[place]
        command = re.match(r"\\([a-zA-Z]+)(\{\}|(?=\$))", source[place:])
        if command:
            shown += COMMANDS[command[1]]
            place += command.end()
            continue
        if character == "\\":
            assert source[place + 1] in "%_&#${}", source
            shown, place = shown + source[place + 1], place + 2
            continue
        assert character not in '%&#_^~"', f"{character} is not escaped in {source}"
        if character == "$":
            in_math = not in_math
        elif character == "-" and in_math:
            shown += "−"
        elif character not in "{}":
            shown += character
        place += 1
    assert not in_math
    return shown


def tables_of(page: str) -> list[list[list[str]]]:
    """The cells of each table, rules left out; what LaTeX would read as an argument of a row's end is an error."""
    found = []
    for columns, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\n\\end\{tabular\}", page, re.DOTALL):
        assert body.startswith("\\toprule\n")
        assert body.endswith("\n\\bottomrule")
        assert not re.search(r"(\\\\|rule)\s*[\[*]", body)
        lines = [line for line in body.splitlines() if line not in (r"\toprule", r"\midrule", r"\bottomrule")]
        assert all(line.endswith(r" \\") for line in lines)
        rows = [re.split(r"(?<!\\) ?& ?", line.removesuffix(r" \\")) for line in lines]
        assert {len(row) for row in rows} == {len(columns)}
        found.append([[set_text(cell) for cell in row] for row in rows])
    return found


def run(*arguments: object, status: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == status, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seeds of two arms."""
    for record in pairs([4.0, 4.1], [4.2, 4.35]):
        save_record(record, tmp_path)
    return tmp_path


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    """A scan over two keys."""
    write_cells(tmp_path)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    return tmp_path


def cells_of_markdown(page: str) -> list[list[str]]:
    """All rows of a page's tables, no sign escaped."""
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in line[2:-2].split(" | ")] for line in lines]


def as_markdown_has_it(rows: list[list[str]]) -> list[list[str]]:
    """A minus of LaTeX is the hyphen or the minus that Markdown has."""
    return [[cell.replace("−", "-") for cell in row] for row in rows]


@pytest.mark.parametrize("of", ["folder", "scanned"])
def test_both_markups_have_the_same_cells(of: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(of)
    tables = tables_of(run("report", place, "--latex"))
    assert len(tables) == 3
    rows = [row for table in tables for row in table]
    assert as_markdown_has_it(rows) == as_markdown_has_it(cells_of_markdown(run("report", place, "--markdown")))


@pytest.mark.parametrize(
    "words",
    [["bert-base-uncased"], ["gpt2", "t5-small"], ["--list", "qwen"], ["gpt2", "--what-if", "vocab_size=100,200"]],
)
def test_a_count_has_the_same_cells_in_both_markups(words: list[str]) -> None:
    rows = [row for table in tables_of(run("count-params", *words, "--latex")) for row in table]
    assert as_markdown_has_it(rows) == as_markdown_has_it(cells_of_markdown(run("count-params", *words, "--markdown")))


@pytest.mark.parametrize(
    "text",
    [
        "38.1 % of a_b & #1 {x} $y$ \\ ~ ^ < > |",
        "[+0.1, +0.2] ± 0.3 × 2 – 3 … 4 · Σ ≤ √ → ≥",
        "*starred*",
        "tiedlm compare --seeds 3 `here`",
        printable(STRANGE),
    ],
)
def test_text_is_set_as_it_is_written(text: str) -> None:
    assert set_text(latex_text(text)) == text
    assert tables_of(latex_page([Grid([text, text], [[text, text]] * 2, [[text, text]])])) == [[[text, text]] * 4]
    page = latex_page([Heading(text), Words(text, lead=text), Points([text])])
    assert page.count(latex_text(text)) == 4


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed; it compiles the tables")
@pytest.mark.parametrize("of", ["folder", "scanned", "gpt2", "several", "signs"])
def test_latex_sets_the_page(of: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without an error or a sign that its fonts have not, in a document of the preamble that the page asks for."""
    every_sign = string.printable.split(" ")[0] + " ±−×²Σ≤≥√→–—…·‖§\N{NO-BREAK SPACE} -- --- ?` !` << >> ,,"
    page = {
        "gpt2": lambda: run("count-params", "gpt2", "--latex"),
        "several": lambda: run("count-params", "--list", "bert", "--latex"),
        "signs": lambda: latex_page([Heading(every_sign), Grid(["a", every_sign], [["[a]", every_sign]] * 2)]),
    }.get(of, lambda: run("report", request.getfixturevalue(of), "--latex"))()
    place = tmp_path_factory.mktemp("latex")
    preamble = page.partition("\n")[0].partition(": ")[2]
    document = f"\\documentclass{{article}}\n{preamble}\n\\begin{{document}}\n{page}\\end{{document}}\n"
    (place / "page.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    answer = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert answer.returncode == 0, answer.stdout[-2_000:]
    assert "Missing character" not in (place / "page.log").read_text(errors="replace")


def test_a_hyphen_before_a_number_is_a_minus_and_elsewhere_a_hyphen() -> None:
    assert latex_text("-0.05 [-0.1, 1e-05] bert-2") == "$-$0.05 {[}$-$0.1, 1e-05{]} bert-2"


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
@pytest.mark.parametrize("of", ["folder", "scanned"])
def test_a_figure_has_the_width_of_a_column_and_the_same_bytes_each_time(
    of: str, ending: str, request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue(of)
    paths = [place / f"{number}.{ending}" for number in (1, 2)]
    for path in paths:
        assert f"plot: {path}\n" in run("report", place, "--plot", path)
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes()
    if ending == "png":
        assert int.from_bytes(content[16:20], "big") == pytest.approx(3.35 * 300, abs=1)
        return
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)" if ending == "pdf" else rb"width=\"([\d.]+)pt\"", content)
    assert box is not None
    assert float(box[1]) == pytest.approx(3.35 * POINTS_AN_INCH, abs=0.5)
    assert b"/Subtype /Image" not in content  # all of it is vectors
    assert b"<image" not in content


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("plot.jpg", "is none of .png, .svg, .pdf; rename it"),
        ("there.pdf", "is a folder; give a file"),
        ("nowhere/plot.pdf", "does not exist; create it"),
    ],
)
def test_a_file_that_no_plot_can_be_is_refused_in_one_sentence(file: str, sentence: str, folder: Path) -> None:
    (folder / "there.pdf").mkdir()
    before = sorted(folder.iterdir())
    for words in (["report", str(folder)], ["count-params", "gpt2"]):
        result = CliRunner().invoke(app, [*words, "--plot", str(folder / file)])
        assert result.exit_code != 0
        assert sentence in str(result.exception)
    assert sorted(folder.iterdir()) == before


def test_curves_have_a_line_for_each_point_of_each_run(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("report", folder, "--curves-csv"))))
    records: list[RunRecord] = list(pairs([4.0, 4.1], [4.2, 4.35]))
    points = [(record, point) for record in records for point in record.curve]
    assert len(rows) == len(points)
    for record, point in points:
        (row,) = (
            row
            for row in rows
            if (row["arm"], row["seed"], row["step"]) == (record.arm, str(record.seed), str(point.step))
        )
        assert int(row["num_tokens"]) == point.num_tokens
        assert float(row["train_seconds"]) == point.train_seconds
        assert float(row["train_loss_nats"]) == point.train_loss_nats
        assert float(row["valid_loss_nats"]) == point.valid_loss_nats


def test_a_scan_s_curves_are_those_of_its_cells(scanned: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(scanned), "--curves-csv"])
    assert "holds a scan, each of whose cells has curves; give a folder in it" in str(result.exception)


@pytest.mark.parametrize("other", ["--json", "--csv", "--markdown", "--curves-csv"])
def test_stdout_has_one_form(other: str, folder: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(folder), "--latex", other])
    assert "do not go together" in str(result.exception)


def test_a_figure_of_many_arms_names_each(tmp_path: Path) -> None:
    arms = ["tied", "untied", *(f"arm-{number}" for number in range(1, 10))]
    for record in many_arms({arm: [4.0 + 0.01 * place, 4.1] for place, arm in enumerate(arms)}):
        save_record(record, tmp_path)
    run("report", tmp_path, "--plot", tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text()
    assert [arm for arm in arms if f"<!-- {arm} -->" not in drawn] == []

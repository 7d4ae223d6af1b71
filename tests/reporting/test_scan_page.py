"""A scan's map and page: what has a verdict stands out, what is foreign stays text, and the unit is said."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from matplotlib.patches import Rectangle
from rich.console import Console

from tests.cli.test_bad_input import GOOD, run_tiedlm, tree, write
from tests.comparison.test_compare import OF_TEXT, made_up
from tests.comparison.test_scan import VALUES, toml, write_cells
from tests.reporting.test_page import HOSTILE, Structure
from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.designs import SCAN_DESIGN_FILE
from tiedlm.comparison.folder import compare_cells
from tiedlm.comparison.scan_result import Scan, ScanDesign
from tiedlm.comparison.sealed_design import save_decision, seal
from tiedlm.errors import printable
from tiedlm.markup.latex_text import latex_page
from tiedlm.markup.markdown_text import markdown_page
from tiedlm.record.record_file import save_record
from tiedlm.reporting.figures import scan_csv
from tiedlm.reporting.page.scan_page import render_scan_page
from tiedlm.reporting.scan_map import map_figure
from tiedlm.reporting.scan_report import level_table, render_scan, render_scan_markdown, scan_parts

TOKENIZERS = ["bpe:300", "bpe:600"]


def scan_of(folder: Path, values: dict[str, list[Any]] = VALUES) -> Scan:
    """What lies in a folder."""
    save_decision(seal(ScanDesign(experiment="toy", values=values)), folder / SCAN_DESIGN_FILE)
    return compare_cells(folder)


def write_scan(folder: Path, key: str, values: list[Any], **changes: Any) -> Scan:
    """A scan over one key, two seeds of both arms in each cell; the text of each has its own number of bytes."""
    for place, (name, of_cell) in enumerate(cell_folders({key: values}).items()):
        (folder / name).mkdir(parents=True)
        settings = {f"config__{scanned.replace('.', '__')}": value for scanned, value in of_cell.items()}
        of_text = OF_TEXT | {"num_bytes": 2_000 + 500 * place}
        sizes = {f"metrics__{split}__{name}": value for split in ("valid", "test") for name, value in of_text.items()}
        for seed in (0, 1):
            for arm, nats in (("tied", 4.0), ("untied", 4.1 + 0.003 * seed)):
                save_record(made_up(arm, seed, nats, **settings, **sizes, **changes), folder / name)
    return scan_of(folder, {key: values})


def forms_of(scan: Scan) -> dict[str, str]:
    """Every form of its report."""
    told = io.StringIO()
    Console(file=told, width=300).print(render_scan(scan))
    return {
        "terminal": told.getvalue(),
        "REPORT.md": render_scan_markdown(scan),
        "markdown": markdown_page(scan_parts(scan)),
        "latex": latex_page(scan_parts(scan)),
        "page": " ".join(Structure(render_scan_page(scan)).text),
        "map": " ".join(words_of_map(scan)),
    }


def words_of_map(scan: Scan) -> list[str]:
    """What is written in its picture."""
    figure = map_figure(scan, (6.0, 4.0), is_tall=False)
    return [
        text.get_text()
        for axes in figure.axes
        for text in (*axes.texts, axes.title, axes.yaxis.label, axes.xaxis.label)
    ]


def test_over_tokenizers_every_form_says_bits_a_byte_and_none_nats_a_token(tmp_path: Path) -> None:
    scan = write_scan(tmp_path, "corpus.tokenizer", TOKENIZERS)
    for name, form in forms_of(scan).items():
        assert "bits a byte" in form, name
        assert "bpe_" not in form, name  # which is a folder
        assert "nats a token" not in re.sub(r"by about ± [\d.]+ nats a token", "", " ".join(form.split())), name
        assert "perplexities on valid" not in form.lower(), name


def test_bits_a_byte_are_the_nats_of_the_split_over_its_bytes(tmp_path: Path) -> None:
    scan = write_scan(tmp_path, "corpus.tokenizer", TOKENIZERS)
    rows = [row for row in csv.DictReader(io.StringIO(scan_csv(scan))) if row["split"] == "valid"]
    assert "delta_nats" not in rows[0]
    for row, cell in zip(rows, scan.cells, strict=True):
        (difference,) = (item for item in cell.differences if item.split == "valid")
        num_tokens, num_bytes = 960, 2_000 + 500 * scan.cells.index(cell)
        of_a_nat = num_tokens / num_bytes / math.log(2)
        assert float(row["delta_bits_per_byte"]) == pytest.approx(difference.delta_nats.mean * of_a_nat)
        assert float(row["ci95_high"]) == pytest.approx(difference.delta_nats.ci95[1] * of_a_nat)
        assert cell.unigram_bits_per_byte == pytest.approx(math.log(90) * of_a_nat)
        result = next(test for test in scan.tests if test.split == "valid").cells[cell.folder]
        assert (result.mean > 0) == (difference.delta_nats.mean > 0)
        levels = [*cell.bits_per_byte.values(), cell.unigram_bits_per_byte]
        name = cell.folder.replace("_", ":")
        assert [name, *(f"{bits:.4f}" for bits in levels), "2"] in level_table(scan).rows


@pytest.mark.parametrize(
    ("key", "values", "changes"),
    [
        ("train.learning_rate", [0.01, 0.02], {}),
        ("corpus.name", ["one", "other"], {}),  # a token is a word in both
        ("corpus.fraction", [0.5, 1.0], {"config__corpus__tokenizer": "bpe:300"}),
    ],
)
def test_where_a_token_is_the_same_everywhere_differences_are_in_nats(
    key: str, values: list[Any], changes: dict[str, Any], tmp_path: Path
) -> None:
    for name, form in forms_of(write_scan(tmp_path, key, values, **changes)).items():
        assert "nats a token" in form, name
        assert "bits a byte" not in form, name


def faces(scan: Scan) -> list[list[str]]:
    """The colours of each cell, in the order of the map, and its hatch."""
    axes = map_figure(scan, (6.0, 4.0), is_tall=False).axes[0]
    found: dict[tuple[float, float], list[str]] = {}
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        found.setdefault(patch.get_xy(), []).append(patch.get_hatch() or to_hex(patch.get_facecolor()))
    return [found[place] for place in sorted(found, key=lambda place: (place[1], place[0]))]


def lightness(colour: str) -> float:
    """Of the darkest of red, green and blue, from 0 to 1."""
    return min(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))


def test_a_cell_without_a_verdict_is_paler_than_any_with_one(tmp_path: Path) -> None:
    write_cells(tmp_path)
    decided = scan_of(tmp_path)
    assert all(result.ahead for test in decided.tests for result in test.cells.values())
    place = tmp_path / decided.cells[0].folder
    changes = {"config__train__learning_rate": 0.01, "config__train__adam_epsilon": 1e-8}
    save_record(made_up("untied", 0, 4.25, **changes), place)  # so its seeds disagree, and its mean is the largest
    undecided = compare_cells(tmp_path)
    assert next(iter(undecided.tests[0].cells.values())).ahead is None
    (pale,), *full = faces(undecided)
    assert lightness(pale) > 0.69 > max(lightness(colour) for (colour,) in full)
    (place / "untied-seed1.json").unlink()
    (place / "tied-seed1.json").unlink()
    assert faces(compare_cells(tmp_path))[0] == ["#ffffff", "//"]


def test_a_line_of_zero_lies_only_between_verdicts_for_either_arm(tmp_path: Path) -> None:
    write_cells(tmp_path)
    decided = scan_of(tmp_path)
    assert num_lines(decided) > 0
    for test in decided.tests:
        for name, result in test.cells.items():
            test.cells[name] = result.model_copy(update={"ahead": None if result.ahead == "untied" else result.ahead})
    assert num_lines(decided) == 0


def num_lines(scan: Scan) -> int:
    """How many sets of lines of one height its first panel has."""
    axes = map_figure(scan, (6.0, 4.0), is_tall=False).axes[0]
    return sum(isinstance(part, ContourSet) for part in axes.collections)


def test_a_map_has_a_bar_of_full_and_of_pale_colours(tmp_path: Path) -> None:
    write_cells(tmp_path)
    bar = map_figure(scan_of(tmp_path), (6.0, 4.0), is_tall=False).axes[-1]
    assert [label.get_text() for label in bar.get_xticklabels()] == ["verdict", "none"]
    assert bar.get_ylabel() == "nats a token;\nabove 0 tied is ahead"


def test_what_is_foreign_stays_text_on_the_page_of_a_scan(tmp_path: Path) -> None:
    pages = []
    for number, text in enumerate(("harmless", HOSTILE)):
        changes = {"data__corpus": text, "text_source": text, "provenance__command": text, "provenance__torch": text}
        pages.append(
            render_scan_page(write_scan(tmp_path / str(number), "train.learning_rate", [0.01, 0.02], **changes))
        )
    harmless, hostile = map(Structure, pages)
    assert hostile.elements == harmless.elements
    assert harmless.text.count("harmless") == hostile.text.count(printable(HOSTILE)) > 1


def test_the_page_of_a_scan_asks_for_nothing_and_has_each_id_once(tmp_path: Path) -> None:
    write_cells(tmp_path)
    place = tmp_path / next(iter(cell_folders(VALUES)))
    for path in place.glob("*-seed1.json"):
        path.unlink()  # so that a cell is hatched
    page = render_scan_page(scan_of(tmp_path))
    assert set(re.findall(r"\bhttps?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"url\((?!#)|@import|<image|<script", page)
    ids = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    references = re.findall(r"(?:href=\"#|url\(#|aria-labelledby=\")([^\")]+)", page)
    assert set(references) <= set(ids)
    assert "url(#map-" in page


def test_the_page_of_a_scan_has_all_its_numbers(tmp_path: Path) -> None:
    write_cells(tmp_path)
    scan = scan_of(tmp_path)
    text = Structure(render_scan_page(scan)).text
    for test in scan.tests:
        for result in test.cells.values():
            assert any(cell.startswith(f"{result.mean:+.3f} [") and cell.endswith(result.verdict) for cell in text)
    for cell in scan.cells:
        assert cell.folder in text


@pytest.mark.slow
def test_a_dry_run_of_a_scan_tells_its_runs_and_their_time_and_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "scanned.toml": toml("scanned").encode()})
    before = tree(tmp_path)
    command = "compare scanned.toml --scan corpus.tokenizer=word,bpe:300 --out map --quiet"
    told = run_tiedlm(tmp_path, f"{command} --dry-run")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("scanned: 8 runs to train in 2 cells; records go to map\n")
    pace = r"  pace: [\d,]+ tokens a second in a run of the first cell\n"
    assert re.search(rf"{pace}  estimated time: \d+ .* of it evaluation\n", told.stdout)
    assert tree(tmp_path) == before
    trained = run_tiedlm(tmp_path, f"{command} --json")
    assert trained.returncode == 0, trained.stderr
    assert '"unit": "bits a byte"' in trained.stdout
    again = run_tiedlm(tmp_path, f"{command} --dry-run")
    assert again.stdout == "scanned: nothing to train; map holds every record that is asked for\n"
    page = run_tiedlm(tmp_path, "report map --html map.html --plot map.pdf")
    assert "page: map.html\nplot: map.pdf\n" in page.stdout

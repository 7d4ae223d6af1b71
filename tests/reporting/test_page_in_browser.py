"""The page as a reader has it, in headless Chromium: it shows what the records say, to everyone, and asks nobody."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.comparison.test_compare import pairs
from tests.conftest import HANG_SECONDS, REPOSITORY
from tests.reporting.test_page import HOSTILE, head_section, records_saying
from tiedlm.comparison.compare import compare
from tiedlm.comparison.folder import compare_cells
from tiedlm.errors import printable
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.page.render import render_page
from tiedlm.reporting.page.scan_page import render_scan_page
from tiedlm.reporting.page.sections import Section
from tiedlm.reporting.wording import plus_minus

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on the path; apt-get install chromium"),
]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as this machine has it."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"]  # which root has not
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=HANG_SECONDS * 1000)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """An empty page that has made no request but for a file, and said nothing, when its test is over."""
    context = browser.new_context(viewport=DESK, accept_downloads=True)
    context.set_default_timeout(HANG_SECONDS * 1000)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    yield page
    context.close()
    assert said == [f"file://{tmp_path}/page.html"] * said.count(f"file://{tmp_path}/page.html")
    assert said


def show(page: Page, tmp_path: Path, records: list[RunRecord], through_the_head: Section | None = None) -> None:
    """Open the page of records."""
    path = tmp_path / "page.html"
    path.write_text(render_page(compare(records), records, through_the_head))
    page.goto(f"file://{path}")


def results(name: str) -> list[RunRecord]:
    """The records of an experiment."""
    return load_records(REPOSITORY / "results" / name)


def cells(page: Page, table: str) -> list[list[str]]:
    """The texts of a table's body."""
    script = "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent))"
    found: list[list[str]] = page.locator(f"{table} table").evaluate(script)
    return found


@pytest.mark.parametrize("name", ["ptb-arms", "ptb-quick", "hostile"])
def test_everyone_can_read_it(name: str, opened: Page, tmp_path: Path) -> None:
    """By axe, light and dark, with all its tables unfolded; on a phone nothing lies beside the screen."""
    if name == "hostile":
        show(opened, tmp_path, records_saying(HOSTILE), head_section(HOSTILE))
        assert printable(HOSTILE) in opened.locator(".facts.long").inner_text()
    else:
        show(opened, tmp_path, results(name))
    opened.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(opened)
        assert found.violations_count == 0, found.generate_report()
    opened.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("name", ["ptb-map-width", "likeness"])
def test_everyone_can_read_that_of_a_scan(name: str, opened: Page, tmp_path: Path) -> None:
    """By axe, light and dark; on a phone nothing lies beside the screen, and the map is seen whole."""
    path = tmp_path / "page.html"
    path.write_text(render_scan_page(compare_cells(REPOSITORY / "results" / name)))
    opened.goto(f"file://{path}")
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(opened)
        assert found.violations_count == 0, found.generate_report()
    opened.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    right = opened.locator("#map svg").evaluate("svg => svg.getBoundingClientRect().right")
    assert right <= PHONE["width"]


def test_it_says_what_the_records_say(opened: Page, tmp_path: Path) -> None:
    records = results("wikitext-2-tuned")
    comparison = compare(records)
    show(opened, tmp_path, records)
    assert opened.locator("h1").inner_text().lower() == comparison.differences[0].verdict
    for arm, row in zip(comparison.arms.values(), cells(opened, "#headline"), strict=False):
        shown = [plus_minus(arm.metrics[split].masked_lm_perplexity) for split in ("valid", "test")]
        assert row[1:] == [f"{arm.parameters['total']:,}", *shown]
    numbers = {(row[0], int(row[1])): row for row in cells(opened, "#run-table")}
    assert len(numbers) == len(records)
    for record in records:
        row = numbers[record.arm, record.seed]
        assert row[2] == f"{sum(record.parameters.values()):,}"
        assert float(row[3]) == pytest.approx(record.metrics["valid"].masked_lm_perplexity, abs=0.005)
        assert float(row[7]) == pytest.approx(record.metrics["test"].masked_lm_perplexity, abs=0.005)
    areas = opened.locator(".strip .part").evaluate_all("parts => parts.map(part => [part.title, part.offsetWidth])")
    widths = {title.partition(",")[0]: width for title, width in areas}
    parameters = comparison.arms["untied"].parameters
    assert widths["untied: word embeddings E"] == pytest.approx(widths["untied: output matrix W"], abs=2)
    expected = parameters["encoder_layers"] / parameters["decoder_weight"]
    assert widths["untied: encoder layers"] / widths["untied: output matrix W"] == pytest.approx(expected, abs=0.01)
    mark = opened.locator("#curves .mark").last
    mark.hover(force=True)
    assert opened.locator(".tip").inner_text() in mark.get_attribute("data-text")  # type: ignore[operator]


def test_runs_are_sorted_by_keyboard_and_saved_whole(opened: Page, tmp_path: Path) -> None:
    records = pairs([4.0, 4.3, 4.1], [4.2, 4.15, 4.35])
    show(opened, tmp_path, records)
    head = opened.locator("#run-table th", has_text="valid nats a token")
    losses = {f"{record.metrics['valid'].masked_lm_loss_nats:.4f}" for record in records}
    assert len(losses) == len(records)
    for order in ("ascending", "descending"):
        head.get_by_role("button").focus()
        opened.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        assert [row[4] for row in cells(opened, "#run-table")] == sorted(losses, reverse=order == "descending")
        assert opened.get_by_role("status").inner_text() == f"sorted by valid nats a token, {order}"
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Save as CSV").press("Enter")
    assert download.value.suggested_filename == "toy-runs.csv"
    with Path(download.value.path()).open(newline="") as file:
        saved = list(csv.DictReader(file))
    assert len(saved) == len(records)
    by_run = {(record.arm, str(record.seed)): record for record in records}
    for row in saved:
        record = by_run[row["arm"], row["seed"]]
        for split, metrics in record.metrics.items():
            for name in ("masked_lm_perplexity", "masked_lm_loss_nats", "masked_lm_accuracy", "bits_per_byte"):
                assert float(row[f"{split}_{name}"]) == getattr(metrics, name)
        for name in ("train_seconds", "tokens_per_second", "peak_memory_bytes", "checkpoint_bytes"):
            assert float(row[name]) == getattr(record.cost, name)
        assert row["sha256"] == record.sha256


def test_an_arm_is_taken_out_of_the_curves(opened: Page, tmp_path: Path) -> None:
    show(opened, tmp_path, pairs([4.0, 4.3], [4.2, 4.15]))
    boxes = "elements => elements.filter(element => element.getClientRects().length > 0).length"
    numbers = [opened.locator(f"#curves .plots .of-{place}").evaluate_all(boxes) for place in (0, 1)]
    assert min(numbers) > 0
    opened.get_by_label("untied", exact=True).uncheck()
    assert [opened.locator(f"#curves .plots .of-{place}").evaluate_all(boxes) for place in (0, 1)] == [numbers[0], 0]


@pytest.mark.parametrize("name", ["ptb-arms", "ptb-quick"])
def test_every_width_of_screen_is_used(name: str, opened: Page, tmp_path: Path) -> None:
    """A wide one shows what is read beside what is looked at, in lines that can be read; none is overrun."""
    show(opened, tmp_path, results(name))
    spans = "elements => elements.map(element => element.getBoundingClientRect()).map(box => [box.left, box.right])"
    for width in (1920, 1280, 800, 390):
        opened.set_viewport_size({"width": width, "height": 900})
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        texts, plots, paragraphs = (
            opened.locator(f"main {chosen}").evaluate_all(spans)
            for chosen in ("#curves .text", "#curves .plot", "p:visible")
        )
        assert max(right for _, right in plots) - min(left for left, _ in [*texts, *plots]) > 0.85 * width
        assert max(right - left for left, right in paragraphs) <= 46 * 16  # 46 rem
        assert len({left for left, _ in plots}) == (1 if width < 900 else 2)
        assert (texts[0][1] <= plots[0][0]) == (width == 1920)

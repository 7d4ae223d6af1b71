"""The report of a folder: written from its records alone, kept while they stay, and readable in 80 columns."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.comparison.test_compare import made_up, pairs
from tests.comparison.test_differences import many_arms
from tiedlm.comparison import paired_statistics
from tiedlm.comparison.compare import compare
from tiedlm.markup.latex_text import latex_page
from tiedlm.markup.markdown_text import markdown_page
from tiedlm.record.record_file import save_record
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.main_parts import main_parts
from tiedlm.reporting.markdown import render_markdown
from tiedlm.reporting.page.render import render_page
from tiedlm.reporting.terminal import render_comparison
from tiedlm.reporting.wording import and_list, percent_more, with_interval
from tiedlm.reporting.write import update_report


def test_what_is_edited_by_hand_is_written_again(tmp_path: Path) -> None:
    for record in pairs([4.0, 4.1], [4.2, 4.35]):
        save_record(record, tmp_path)
    update_report(tmp_path)
    original = {name: (tmp_path / name).read_text() for name in ("REPORT.md", "comparison.json")}
    for name, text in original.items():
        assert "inconclusive" in text
        (tmp_path / name).write_text(text.replace("inconclusive", "untied better"))
    update_report(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in original} == original


def test_a_plot_that_is_not_what_was_drawn_is_drawn_again(tmp_path: Path) -> None:
    for record in pairs([4.0, 4.1], [4.2, 4.35]):
        save_record(record, tmp_path)
    update_report(tmp_path)
    drawn = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    for path in drawn:
        path.write_bytes(b"garbage")
    update_report(tmp_path)
    assert {path: path.read_bytes() for path in drawn} == drawn


STRANGE = "<img src=x onerror=alert(1)> [a](javascript:b) `c` | d\n\n# A heading \x1b[2J\x1b]0;title\x07 *e* \u202e"


def test_what_a_record_says_stays_text_on_the_page_and_in_the_terminal(tmp_path: Path) -> None:
    changes = {
        "data__corpus": STRANGE,
        "config__corpus__name": STRANGE,
        "text_source": STRANGE,
        "provenance__command": STRANGE,
        "provenance__processor": STRANGE,
        "provenance__torch": STRANGE,
    }
    records = [made_up(arm, seed, 4.0 + 0.1 * seed, **changes) for arm in ("tied", "untied") for seed in (0, 1)]
    records[0] = made_up("tied", 0, 4.0, **(changes | {"provenance__torch": "2.13.0"}))  # so that a note names both
    for record in records:
        save_record(record, tmp_path)
    comparison = update_report(tmp_path)
    page = (tmp_path / "REPORT.md").read_text()
    assert page.isprintable() or set(page) - set("\n") == {c for c in page if c.isprintable()}
    for line in page.splitlines():
        assert not line.startswith("# A heading")
        outside = "".join(line.split("`")[::2]).replace("\\<", "").replace("\\[", "").replace("\\*", "")
        assert "<img" not in outside
        assert "[a](" not in outside
        assert "*e*" not in outside
    output = io.StringIO()
    Console(width=120, file=output, force_terminal=False, color_system=None).print(render_comparison(comparison))
    assert "\x1b" not in output.getvalue()
    assert "\u202e" not in output.getvalue()


def test_a_report_is_kept_until_its_records_change(tmp_path: Path) -> None:
    for record in pairs([4.0, 4.1], [4.2, 4.35]):
        save_record(record, tmp_path)
    update_report(tmp_path)
    plots = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    assert len(plots) == 2
    update_report(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in plots} == plots
    save_record(made_up("untied", 1, 4.9), tmp_path)
    assert update_report(tmp_path).arms["untied"].metrics["valid"].masked_lm_loss_nats.values[1] == pytest.approx(
        4.9, abs=0.01
    )
    assert all(path.stat().st_mtime_ns > time for path, time in plots.items())


def shown(records: list[RunRecord]) -> list[str]:
    """What a terminal of 80 columns shows."""
    output = io.StringIO()
    Console(width=80, file=output, color_system=None).print(render_comparison(compare(records)))
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    return lines


def test_the_terminal_shows_the_answer_at_80_columns() -> None:
    assert shown(pairs([4.0, 4.1], [4.2, 4.35])) == EXPECTED.strip().splitlines()


@pytest.mark.parametrize("num_arms", [2, 5])
def test_every_form_says_what_its_brackets_hold(num_arms: int) -> None:
    """Intervals, and never the accuracy, which is in parentheses where there is one."""
    names = ["tied", *(f"arm-{number}" for number in range(1, num_arms))]
    arms = {name: [4.0 + 0.1 * place, 4.03, 3.98 + 0.1 * place, 4.01] for place, name in enumerate(names)}
    comparison = compare(many_arms(arms))
    assert len(comparison.arms) == num_arms
    forms = [
        "\n".join(shown(many_arms(arms))),
        render_markdown(comparison),
        markdown_page(main_parts(comparison)),
        latex_page(main_parts(comparison)),
        render_page(comparison, many_arms(arms)),
    ]
    for form in forms:
        assert re.search(r"\[\}?(\$-\$|[+-])\d", form)
        assert re.search(r"95\s\\?%\sinterval", form)
        assert not re.search(r"in\sbrackets\sthe\saccuracy", form)
        assert bool(re.search(r"\(\d+\.\d %\)", form)) == bool(re.search(r"in\sparentheses\sthe\saccuracy", form))


def test_of_one_seed_the_terminal_says_what_is_missing() -> None:
    assert shown(pairs([4.0], [4.09]))[-4:] == [
        "valid no verdict    untied +9.4 % perplexity  1 seed",
        "      [+9.4, +9.4]: how much the choice of text moves it, not of seed",
        "test  no verdict    untied +9.4 % perplexity  1 seed",
        "      [+9.4, +9.4]: how much the choice of text moves it, not of seed",
    ]


def test_an_interval_over_too_few_blocks_is_not_shown_beside_the_note_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paired_statistics, "MIN_BLOCKS", 1_000)
    lines = shown(pairs([4.0], [4.09]))
    assert lines[-1] == "      the split has too few blocks for an interval over the choice of text"
    assert not any("+9.4, +9.4" in line for line in lines)


def test_no_minus_stands_before_a_zero_but_at_the_end_of_an_interval() -> None:
    """There it says that zero is inside."""
    assert percent_more(-0.0001) == "+0.0"
    assert with_interval(-0.0001, [-0.0001, 0.1], 2) == "+0.00 [-0.00, +0.10]"


def test_three_words_have_a_comma_and_an_and() -> None:
    assert [and_list(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


EXPECTED = """
toy: corpus, 2 seeds
Text: 1,000 tokens of train, 960 of valid, 960 of test. A run reads 384 tokens
of train in 6 steps, 0.38 epochs. Tokens a second: tied 10,000, untied 10,000.

 parameters          tied   untied
 ─────────────────────────────────
 word_embeddings    3,200    3,200
 embeddings_norm       32       32
 encoder_layers    17,504   17,504
 final_norm            32       32
 head_transform     1,056    1,056
 decoder_weight         0    3,200
 decoder_bias         100      100
 total             21,924   25,124

V × H = 100 × 32 = 3,200 saved, 12.7 % of the untied model


 masked-LM perplexity                  tied                untied   unigram
 ──────────────────────────────────────────────────────────────────────────
 valid                  57.5 ± 4.1 (33.3 %)   72.2 ± 7.7 (33.3 %)        90
 test                   57.5 ± 4.1 (33.3 %)   72.2 ± 7.7 (33.3 %)        90

± is the standard deviation over seeds, in parentheses the accuracy. Masked-LM
perplexity predicts masked tokens from both sides; it is not comparable with a
causal (left-to-right) perplexity, nor with pseudo-perplexity.
note: valid has 960 tokens, so which text happens to be in it moves a difference
by about ± 0.097 nats a token, however many seeds there are; give 3,600 tokens
or more for valid

valid inconclusive  untied +25.2 % perplexity [-8.8, +72.1] 2 seeds  p = 0.070
test  inconclusive  untied +25.2 % perplexity [-8.8, +72.1] 2 seeds  p = 0.070
in brackets is the 95 % interval
"""

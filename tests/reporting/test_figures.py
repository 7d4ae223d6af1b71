"""The figures of a comparison in forms for other programs: CSV and Markdown, alone on stdout."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.comparison.test_compare import pairs
from tiedlm.cli.commands import app
from tiedlm.record.record_file import save_record
from tiedlm.record.run_record import RunRecord


@pytest.fixture
def records(tmp_path: Path) -> list[RunRecord]:
    """Two seeds of two arms, saved."""
    made = list(pairs([4.0, 4.1], [4.2, 4.35]))
    for record in made:
        save_record(record, tmp_path)
    return made


def shown(folder: Path, option: str) -> str:
    """What `tiedlm report` prints."""
    result = CliRunner().invoke(app, ["report", str(folder), option])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_csv_has_a_line_for_each_arm_seed_and_split(records: list[RunRecord], tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(shown(tmp_path, "--csv"))))
    assert len(rows) == sum(len(record.metrics) for record in records)
    for record in records:
        for split, metrics in record.metrics.items():
            run = (record.arm, str(record.seed), split)
            (row,) = (row for row in rows if (row["arm"], row["seed"], row["split"]) == run)
            assert float(row["masked_lm_loss_nats"]) == metrics.masked_lm_loss_nats
            assert float(row["masked_lm_perplexity"]) == metrics.masked_lm_perplexity
            assert int(row["num_tokens"]) == metrics.num_tokens
            assert int(row["parameters"]) == sum(record.parameters.values())


@pytest.mark.usefixtures("records")
def test_markdown_is_the_tables_of_the_report(tmp_path: Path) -> None:
    page = shown(tmp_path, "--markdown")
    report = (tmp_path / "REPORT.md").read_text()
    lines = [line for line in page.replace("\\", "").splitlines() if line.startswith("| ") and "---" not in line]
    assert lines
    assert [line for line in lines if line not in report.replace("\\", "").splitlines()] == []
    assert any(line.startswith("| valid | untied − tied |") for line in lines)
    assert any(line.startswith("| total |") for line in lines)

"""Tables whose numbers and paths stay whole in a narrow terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from tiedlm.cli.folder_table import PathCell
from tiedlm.reporting.fitted_table import FittedTable

HEADER = ["fraction \\ num_steps", *(f"likeness-{number}" for number in range(5))]
ROWS = [[f"row {row}", *(f"+0.{row}{column}\n[+0.01, +0.0{column}]" for column in range(5))] for row in range(2)]


def lines_of(renderable: object, width: int) -> list[str]:
    """In a terminal of so many columns."""
    told = io.StringIO()
    Console(file=told, width=width).print(renderable)
    return told.getvalue().splitlines()


@pytest.mark.parametrize(("width", "num_tables"), [(300, 1), (100, 1), (80, 2), (50, 3), (34, 5)])
def test_every_number_is_whole_in_as_few_tables_as_have_room(width: int, num_tables: int) -> None:
    lines = lines_of(FittedTable(HEADER, ROWS), width)
    shown = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert shown.count("row 0") == shown.count("row 1") == num_tables
    found = re.findall(r"likeness-\d|[+]0\.\d\d|\[[+]0\.01, [+]0\.0\d\]", shown)
    of_cells = [part for row in ROWS for cell in row[1:] for part in cell.split("\n")]
    assert sorted(part for part in found if part in (*HEADER, *of_cells)) == sorted([*HEADER[1:], *of_cells])
    assert "…" not in shown


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (40, ["results/throughput/precision/bf16"]),
        (20, ["results/throughput/", "precision/bf16"]),
        (11, ["results/", "throughput/", "precision/", "bf16"]),
        (7, ["results", "/", "through", "put/", "precisi", "on/", "bf16"]),
    ],
)
def test_a_path_goes_on_after_a_slash(width: int, lines: list[str]) -> None:
    table = Table(box=None, padding=0)
    table.add_column(overflow="fold")
    table.add_row(PathCell("results/throughput/precision/bf16"))
    assert [line.strip() for line in lines_of(table, width)[1:]] == lines

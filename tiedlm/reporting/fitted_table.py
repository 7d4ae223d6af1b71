"""A table of numbers whose columns go to several tables below each other, where a terminal has no room for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table

from tiedlm.counting.shown.count_terminal import plain_table

UNLIMITED = 10_000
"""Columns of no terminal."""


@dataclass(frozen=True)
class FittedTable:
    """Names in the first column of each; no number is cut off while one column of them has room."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Of as many numbers a line as there is room for, dealt out evenly."""
        num_columns = len(self.header) - 1
        for num_parts in range(1, num_columns + 1):
            size = -(-num_columns // num_parts)
            tables = [self._part(start, start + size) for start in range(1, num_columns + 1, size)]
            if num_parts == num_columns or all(self._fits(table, console, options) for table in tables):
                yield from tables
                return

    def _part(self, start: int, stop: int) -> Table:
        table = plain_table(self.header[0], *self.header[start:stop])
        for place, column in enumerate(table.columns[1:], start):
            lines = [line for row in (self.header, *self.rows) for line in row[place].splitlines()]
            column.no_wrap, column.min_width = True, max(map(cell_len, lines))
        for row in self.rows:
            table.add_row(row[0], *row[start:stop])
        return table

    def _fits(self, table: Table, console: Console, options: ConsoleOptions) -> bool:
        """Names may be broken, numbers not."""
        return Measurement.get(console, options.update(max_width=UNLIMITED), table).minimum <= options.max_width

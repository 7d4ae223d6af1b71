"""Figures as tables: what a DataFrame, a CSV and a notebook have of a comparison, a scan or records."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tiedlm.errors import InputError, printable

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
"""A figure by the name of its column; None where there is none."""


class Tabular(ABC):
    """What has its figures in tables."""

    @abstractmethod
    def tables(self) -> dict[str, list[Row]]:
        """Tables by name, the main one first; the rows of one have the same columns."""

    def to_dataframe(self, table: str | None = None) -> pd.DataFrame:
        """One of `tables()` as a table of pandas, by default the first.

        Raises:
            InputError: pandas is not installed, or there is no such table.
        """
        tables = self.tables()
        if table is not None and table not in tables:
            raise InputError(f"to_dataframe({table!r}): is none of {', '.join(tables)}; give one of these")
        try:
            import pandas as pd  # here, since few need it and it takes long to import
        except ImportError as error:
            raise InputError("to_dataframe: pandas is not installed; pip install pandas") from error
        return pd.DataFrame(tables[table or next(iter(tables))])

    def _repr_html_(self) -> str:
        """For a notebook: the lines of `repr`, whose first is a caption, and the tables of few rows."""
        caption = "<br>".join(html.escape(line) for line in repr(self).splitlines())
        small = [rows for rows in self.tables().values() if 0 < len(rows) <= MAX_ROWS_SHOWN]
        return f"<p>{caption}</p>{''.join(map(_html_table, small))}"


MAX_ROWS_SHOWN = 60


def _html_table(rows: Sequence[Row]) -> str:
    return f"<table>{_line('th', rows[0])}{''.join(_line('td', row.values()) for row in rows)}</table>"


def _line(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(printable(_shown(cell)))}</{tag}>' for cell in cells)}</tr>"


def _shown(cell: object) -> str:
    """A number as people read it; nothing where there is none."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)

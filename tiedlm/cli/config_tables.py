"""An experiment's keys with their values and meanings, and the shipped experiments with their questions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from tiedlm.config.experiment import Experiment, Tune
from tiedlm.config.experiment_file import shipped_experiments


def keys_of(experiment: Experiment) -> list[tuple[str, str, str]]:
    """(`section.key`, value, meaning) of every key that `--set` takes."""
    return list(_keys("", experiment))


def _keys(section: str, part: BaseModel) -> Iterator[tuple[str, str, str]]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _keys(f"{name}.", value)
        elif isinstance(part, Tune) and name == "values":
            for key, of_key in value.items():
                yield f"tune.{key}", ", ".join(map(str, of_key)), "tried by --tune, for each arm"
        elif name != "arms" and value is not None:
            yield f"{section}{name}", str(value), " ".join((field.description or "").replace("`", "").split())
        for arm, overrides in value.items() if name == "arms" else ():
            for of_arm, keys in overrides.items():
                yield from ((f"arms.{arm}.{of_arm}.{key}", str(one), f"in arm {arm}") for key, one in keys.items())


def render_keys(keys: list[tuple[str, str, str]]) -> Table:
    """A row a key."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for place, value, meaning in keys:
        table.add_row(Text(place, style="bold", no_wrap=True), Text(value), Text(meaning, style="dim"))
    return table


def questions() -> dict[str, str]:
    """Name → the question in the opening comment of its file."""
    return {name: _question(path.read_text(encoding="utf-8")) for name, path in shipped_experiments().items()}


def _question(text: str) -> str:
    found = re.search(r"^# Question:(.*?)^# Differs:", text, flags=re.MULTILINE | re.DOTALL)
    return "" if found is None else " ".join(found[1].replace("#", " ").split())


def render_questions(asked: dict[str, str]) -> Table:
    """A row an experiment."""
    table = Table.grid(padding=(0, 2))
    for name, question in asked.items():
        table.add_row(Text(name, style="bold", no_wrap=True), Text(question))
    return table

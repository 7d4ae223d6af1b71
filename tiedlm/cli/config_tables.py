"""An experiment's keys with their values and meanings, and the shipped experiments with their questions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiedlm.config.experiment import Experiment
from tiedlm.config.experiment_file import shipped_experiments
from tiedlm.config.strict import PATTERN_WORDS
from tiedlm.config.tune import Tune

EXPERIMENT_SCHEMA_VERSION = 1
LIMITS = {"gt": "above", "ge": "from", "lt": "below", "le": "up to"}


def shown_experiment(experiment: Experiment) -> dict[str, Any]:
    """The JSON of `tiedlm config --json`: an experiment with its interventions, those that are neutral too."""
    interventions = {key: getattr(experiment.intervention, key) for key in type(experiment.intervention).model_fields}
    of_file = experiment.model_dump(mode="json")
    return {"schema_version": EXPERIMENT_SCHEMA_VERSION, **of_file, "intervention": interventions}


def keys_of(experiment: Experiment) -> list[tuple[str, str, str]]:
    """(`section.key`, value, meaning) of every key that `--set` takes; those of an arm have no meaning of their own."""
    return list(_keys("", experiment))


def _keys(section: str, part: BaseModel) -> Iterator[tuple[str, str, str]]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _keys(f"{name}.", value)
        elif isinstance(part, Tune) and name in ("values", "ranges"):
            yield from _tuned_keys(part) if name == "values" else ()
        elif name == "contrasts":
            for of_name, contrast in value.items():
                meaning = "A planned contrast, in nats a token; where there are some, they alone get verdicts."
                yield f"contrasts.{of_name}", f"{contrast.formula}, predicted {contrast.prediction}", meaning
        elif name != "arms" and (section or value is not None):
            meaning = " ".join((field.description or "").replace("`", "").split())
            shown = "(not set)" if value is None else str(value)
            yield f"{section}{name}", shown, f"{meaning} Allowed: {allowed_values(field)}."
        for arm, overrides in value.items() if name == "arms" else ():
            for of_arm, keys in overrides.items():
                yield from ((f"arms.{arm}.{of_arm}.{key}", str(one), "") for key, one in keys.items())


def _tuned_keys(tune: Tune) -> Iterator[tuple[str, str, str]]:
    for key, values in (tune.values or {}).items():
        yield f"tune.{key}", ", ".join(map(str, values)), "tried by --tune, for each arm"
    for key, of_key in (tune.ranges or {}).items():
        yield f"tune.{key}", of_key.words, "drawn by --tune --trials N, the same for each arm"


def allowed_values(field: FieldInfo) -> str:
    """What a key may be, in words: `above 0, up to 1`."""
    if field.annotation is bool:
        return "true, false"
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    words = []
    for limit in _limits(field):
        for kind, told in LIMITS.items():
            bound = getattr(limit, kind, None)
            if bound is not None:
                words.append("up to 2⁶³ − 1" if bound == 2**63 else f"{told} {bound:,}")
        words += [PATTERN_WORDS[pattern]] if (pattern := getattr(limit, "pattern", None)) else []
    return ", ".join(words) or "any text"


def _limits(field: FieldInfo) -> Iterator[object]:
    yield from field.metadata
    for kind in get_args(field.annotation):  # of one that need not be set: the limits of what it may be set to
        for annotated in get_args(kind)[1:]:
            yield from annotated.metadata


def render_keys(keys: list[tuple[str, str, str]]) -> Group:
    """A line a key, and its meaning below."""
    width = max(len(place) for place, _, meaning in keys if meaning)
    lines: list[RenderableType] = []
    for place, value, meaning in keys:
        lines.append(Text.assemble((f"{place:<{width}}", "bold"), f"  {value}"))
        lines += [Padding(Text(meaning, style="dim"), (0, 0, 0, 4))] if meaning else []
    return Group(*lines)


@dataclasses.dataclass(frozen=True)
class ShippedExperiments:
    """The experiments that come with the package."""

    schema_version: Literal[1] = dataclasses.field(default=1, init=False)
    experiments: dict[str, str]
    """Name → the question in the opening comment of its file."""


def questions() -> ShippedExperiments:
    """Read what each shipped experiment asks."""
    paths = shipped_experiments()
    return ShippedExperiments({name: _question(path.read_text(encoding="utf-8")) for name, path in paths.items()})


def _question(text: str) -> str:
    found = re.search(r"^# Question:(.*?)^# Differs:", text, flags=re.MULTILINE | re.DOTALL)
    return "" if found is None else " ".join(found[1].replace("#", " ").split())


def render_questions(asked: dict[str, str]) -> Table:
    """A row an experiment."""
    table = Table.grid(padding=(0, 2))
    for name, question in asked.items():
        table.add_row(Text(name, style="bold", no_wrap=True), Text(question))
    return table

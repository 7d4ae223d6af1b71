"""Makes the pages of results/ from their sources, in which every number is an expression over committed records.

    python experiments/results_page/make_pages.py

A source is `README.in.md`; the page, `README.md`, lies beside it. `{{ delta("ptb-tuned") }}` becomes
`+0.099 [+0.073, +0.126]`. The expressions are the functions of MODULES, by their names. A new folder of results/
needs no code: its expressions name it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import contrast_numbers
import draw_numbers
import file_numbers
import map_numbers
import pair_numbers
import record_numbers
import search_numbers
import size_numbers
import twin_numbers
from jinja2 import Environment, StrictUndefined
from loaded import REPOSITORY, RESULTS
from wrapping import NO_BREAK, wrapped

from tiedlm.atomic_file import write_atomically

NUMBER = re.compile(r"[-−+±%\d.,() \[\]]+")
MODULES = (
    record_numbers,
    contrast_numbers,
    size_numbers,
    map_numbers,
    draw_numbers,
    search_numbers,
    pair_numbers,
    twin_numbers,
    file_numbers,
)
SOURCE, PAGE = "README.in.md", "README.md"
NOTICE = "<!-- Made from README.in.md by `python experiments/results_page/make_pages.py`; do not edit. -->\n"


def functions_of(module: ModuleType) -> Mapping[str, Callable[..., Any]]:
    """What a source may call: a module's own public functions, by their names."""
    found = inspect.getmembers(module, inspect.isfunction)
    return {name: one for name, one in found if one.__module__ == module.__name__ and not name.startswith("_")}


def with_minus(value: object) -> str:
    """A number's hyphen as a minus: `-0.04` → `−0.04`; a number and its interval are kept in one line."""
    shown = re.sub(r"(?<![\w.-])-(?=\d)", "−", str(value))
    return shown.replace(" ", NO_BREAK) if NUMBER.fullmatch(shown) else shown


def unsigned(text: str) -> str:
    """Without the plus of its numbers, where words say which arm is ahead: `+0.25` → `0.25`."""
    return text.replace("+", "")


def render(source: str) -> str:
    """A text with its expressions filled in.

    Raises:
        InputError: an expression names what the records do not have.
        jinja2.UndefinedError: it names no function of these modules.
    """
    environment = Environment(undefined=StrictUndefined, finalize=with_minus, keep_trailing_newline=True)
    environment.filters["unsigned"] = unsigned
    for module in MODULES:
        environment.globals.update(functions_of(module))
    return environment.from_string(source).render()


def page_of(source: Path) -> str:
    """The page that a source makes, with a notice on its first line that it is made."""
    return wrapped(NOTICE + render(source.read_text()))


def main() -> None:
    """Write each page beside its source."""
    for source in sorted(RESULTS.rglob(SOURCE)):
        write_atomically(source.with_name(PAGE), page_of(source))
        print(source.with_name(PAGE).relative_to(REPOSITORY))


if __name__ == "__main__":
    main()

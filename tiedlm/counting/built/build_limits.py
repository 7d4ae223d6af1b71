"""What of a stranger's configuration is refused before a model is built of it, since building takes time and memory."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiedlm.counting.closed_forms.blueprint import ConfigReader
from tiedlm.errors import InputError

COMMON_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
LAYERS_KEY = re.compile(r"(?!.*(size|dim|rank|per_layer)).*(layers?|depths?|blocks?|stages?|groups?)")
EXPERTS_KEY = re.compile(r"(?!.*(size|dim|rank)).*(num|n)_.*experts")
MAX_LABELS = 1_000_000
MAX_LAYERS, MAX_MODULES = 2_000, 100_000
"""A model is built module by module, which takes time."""


def check_cheaply(name: str, raw: Mapping[str, Any]) -> None:
    """Refuse what could not be built anyway, before the seconds that the libraries take to import.

    Raises:
        InputError: a size is none, there are too many layers, or `transformers` does not know the family.
    """
    for key in COMMON_SIZES:
        value = raw.get(key)
        values = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        for size in values:  # a list has one a layer, a table one a stack (LXMERT)
            ConfigReader({key: size}, name).optional_size(key, 1)
    labels = max([0, *(value for key, value in _numbers(raw) if key == "num_labels")])
    if labels > MAX_LABELS:  # its configuration names each
        raise InputError(f"{name}: num_labels={labels:,} is over {MAX_LABELS:,}; correct it")
    layers = max([1, *(value for key, value in _numbers(raw) if LAYERS_KEY.fullmatch(key))])
    experts = max([1, *(value for key, value in _numbers(raw) if EXPERTS_KEY.fullmatch(key))])
    if layers > MAX_LAYERS or layers * experts > MAX_MODULES:
        raise InputError(f"{name}: {layers:,} layers × {experts:,} experts are too many to build; correct them")
    spec = importlib.util.find_spec("transformers") if "transformers" not in sys.modules else None
    if spec is not None and spec.origin is not None:
        tables = Path(spec.origin).parent.glob("models/auto/*.py")
        named = "".join(table.read_text(encoding="utf-8") for table in tables)
        if '"bert"' in named and f'"{raw["model_type"]}"' not in named:
            raise unknown_family(name, raw)


def unknown_family(name: str, raw: Mapping[str, Any], library: str = "transformers") -> InputError:
    """The sentence for a `model_type` that nobody here knows."""
    return InputError(f"{name}: model_type={raw['model_type'][:60]!r} is not known to {library}; correct it")


@contextmanager
def module_budget(torch: Any) -> Iterator[None]:
    """Stop the building of a model that has more modules than any, whatever key asks for them."""
    num_modules = 0
    original = torch.nn.Module.__init__

    def counted(module: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal num_modules
        num_modules += 1
        if num_modules > MAX_MODULES:
            raise ValueError(f"it has over {MAX_MODULES:,} modules")
        original(module, *args, **kwargs)

    torch.nn.Module.__init__ = counted
    try:
        yield
    finally:
        torch.nn.Module.__init__ = original


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for inner_key, inner in value.items():
            yield from _numbers(inner, str(inner_key))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int):
        yield key, value

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
LAYERS_KEY = re.compile(
    r"(?!.*(size|dim|rank|per_layer)).*(layers?|depths?|blocks?|stages?|groups?|codebooks?|quantizers|heads?|levels?"
    r"|languages|bandwidths|patterns?|dense_replace)"
)
"""Of what a class has as many modules of, or makes a list of; bandwidths of EnCodec become quantisers."""
EXPERTS_KEY = re.compile(r"(?!.*(size|dim|rank)).*(num|n)_.*experts")
UNREAD_KEY = "quantization_config"
"""Names each of many modules, and no class reads it here."""
MAX_LABELS = 100_000
"""At all levels together: a configuration makes two names of each."""
MAX_LAYERS, MAX_MODULES = 2_000, 40_000
"""A model is built module by module, which takes time."""
MAX_EXPERTS = 1_000_000
"""In all layers. Most classes have one module for those of a layer: Doge has 16,384 in each."""
MAX_NUMBERS, MAX_CHARACTERS = 20_000, 10_000
"""In a list, and in a text."""


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
    _check_entries(name, raw)
    numbers = list(_numbers(raw))
    labels = sum(value for key, value in numbers if key == "num_labels")
    if labels > MAX_LABELS:
        raise InputError(f"{name}: num_labels={labels:,} is over {MAX_LABELS:,}; correct it")
    key, layers = max(
        ((key, value) for key, value in numbers if LAYERS_KEY.fullmatch(key)), key=_value, default=("", 1)
    )
    experts = max([1, *(value for key, value in numbers if EXPERTS_KEY.fullmatch(key))])
    if layers > MAX_LAYERS or max(1, layers) * experts > MAX_EXPERTS:
        told = f"{key[:60]}={layers:,}" if key else "1 layer"
        raise InputError(f"{name}: {told} × {experts:,} experts are too many to build; correct them")
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


def _check_entries(name: str, value: Any, key: str = "") -> None:
    """Refuse lists and texts that are longer than any model's, of each of whose entries a class may make a module."""
    if isinstance(value, str | list | Mapping) and len(value) > (limit := _most_entries(value, key)):
        entries = "characters" if isinstance(value, str) else "entries"
        raise InputError(f"{name}: {key[:60]} has {len(value):,} {entries}, over the limit of {limit:,}; correct it")
    if isinstance(value, Mapping):
        for inner_key, inner in value.items():
            if inner_key != UNREAD_KEY:
                _check_entries(name, inner, str(inner_key))
    elif isinstance(value, list):
        repeated = _num_repeated(value)
        if repeated > MAX_LAYERS:  # GPT-Neo's attention_types: [[["global", "local"], 12]]
            raise InputError(f"{name}: {key[:60]} repeats {repeated:,} entries, over {MAX_LAYERS:,}; correct it")
        for inner in value:
            _check_entries(name, inner, key)


def _most_entries(value: Any, key: str) -> int:
    if isinstance(value, Mapping):
        return MAX_LABELS
    if LAYERS_KEY.fullmatch(key):
        return MAX_LAYERS
    if isinstance(value, str):
        return MAX_CHARACTERS
    return MAX_NUMBERS if all(isinstance(inner, int | float) for inner in value) else MAX_LAYERS


def _num_repeated(value: list[Any]) -> int:
    """Entries of the list that a number beside a list or a text makes of it; 0 where no number stands beside one."""
    longest = max([0, *(len(inner) for inner in value if isinstance(inner, str | list | Mapping))])
    return longest * max([0, *(inner for inner in value if isinstance(inner, int))])


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for inner_key, inner in value.items():
            yield from _numbers(inner, str(inner_key))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int | float):
        yield key, value


def _value(number: tuple[str, float]) -> float:
    return number[1]

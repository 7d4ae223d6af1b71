"""What a `config.json` says beside its sizes: its class, who decides the tie, and whether its code is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiedlm.errors import InputError, printable

TIE_KEY = "tie_word_embeddings"


class OwnCode(InputError):
    """The model is built by code of its repository, which nobody here runs."""


class NoWords(InputError):
    """The model's class has no word embeddings."""


def named_class(raw: Mapping[str, Any]) -> str | None:
    """The class that the weights were saved from."""
    named = raw.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else None


def stated_places(raw: Mapping[str, Any]) -> list[tuple[tuple[str, ...], bool]]:
    """Every flag of a tie that stands in a configuration or in one inside it, by its keys, the outermost first."""
    places = [(place, table[TIE_KEY]) for place, table in _tables(raw) if isinstance(table.get(TIE_KEY), bool)]
    return sorted(places, key=lambda stated: len(stated[0]))


def flag_words(place: tuple[str, ...]) -> str:
    """`text_config.tie_word_embeddings in its configuration`."""
    return f"{'.'.join((*place, TIE_KEY))} in its configuration"


def stated_tie(raw: Mapping[str, Any]) -> tuple[bool, str] | None:
    """The outermost flag, and where it stands; None where none does, or several contradict each other."""
    places = stated_places(raw)
    outermost = [(place, value) for place, value in places if len(place) == len(places[0][0])]
    if len({value for _, value in outermost}) != 1:
        return None
    place, value = outermost[0]
    return value, flag_words(place)


def with_flag(raw: Mapping[str, Any], place: tuple[str, ...], value: bool) -> dict[str, Any]:
    """The same configuration with one flag set."""
    if not place:
        return {**raw, TIE_KEY: value}
    return {**raw, place[0]: with_flag(raw[place[0]], place[1:], value)}


def default_of(class_name: str, version: str = "5", reads_none: bool = False) -> str:
    """Who decides where no flag stands, or the class reads none of those that do."""
    why = f"it reads no {TIE_KEY} of its configuration" if reads_none else f"its configuration has no {TIE_KEY}"
    return f"the default of {class_name} in transformers {version} ({why})"


def check_own_code(raw: Mapping[str, Any], source: str) -> None:
    """Refuse a model whose `auto_map` names a class of its own: it may be any model, whatever its `model_type`.

    Raises:
        OwnCode: it does.
    """
    code = own_code(raw)
    if code:
        raise OwnCode(
            f"{source}: behind model_type={str(raw.get('model_type'))[:60]!r} stands code of its own (auto_map: "
            f"{printable(code[:80])}), which is not run, so only its stored tensors tell its parameters; give its "
            ".safetensors file"
        )


def own_code(raw: Mapping[str, Any]) -> str | None:
    """The class outside `transformers` that `auto_map` names, if one is a model's or a configuration's."""
    for _, table in _tables(raw):
        auto_map = table.get("auto_map")
        if isinstance(auto_map, Mapping):
            for key in sorted(map(str, auto_map), reverse=True):  # a model before its configuration
                if auto_map.get(key) and (key.startswith("AutoModel") or key == "AutoConfig"):
                    return str(auto_map[key])
    return None


def _tables(raw: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    yield place, raw
    for key, value in raw.items():
        if isinstance(value, Mapping):
            yield from _tables(value, (*place, str(key)))

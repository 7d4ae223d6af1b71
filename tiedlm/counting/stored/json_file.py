"""JSON from strangers: parsed within bounds, so that no file can take the memory or the time of the machine."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tiedlm.errors import InputError
from tiedlm.regular_file import read_regular_file

MAX_JSON_BYTES = 16_000_000
TAGGED_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
"""As `transformers` 5 writes them: `{"__float__": "Infinity"}` (`configuration_utils.py`)."""
MAX_JSON_VALUES = 250_000
"""Commas, braces and brackets, which bound the objects that a text becomes."""


class UnreadableJson(InputError):
    """A file that is no JSON object within the limits."""


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object.

    Raises:
        UnreadableJson: it cannot be read, or is no such file within the limits.
    """
    try:
        text = read_regular_file(path, MAX_JSON_BYTES)
    except OSError as error:
        raise UnreadableJson(f"{path}: cannot be read ({error.strerror}); give a file of JSON") from error
    if len(text) > MAX_JSON_BYTES:
        raise UnreadableJson(f"{path}: is over the limit of {MAX_JSON_BYTES:,} bytes of JSON; give a smaller file")
    return parse_json_object(text, str(path))


def parse_json_object(text: bytes, source: str, unique_keys: bool = False) -> dict[str, Any]:
    """A JSON object from a stranger; where `unique_keys` is not asked for, the last of two equal keys counts.

    Raises:
        UnreadableJson: it is no JSON object, or one too deep or with too many values.
    """
    num_values = sum(map(text.count, (b",", b"[", b"{")))
    if num_values > MAX_JSON_VALUES:
        raise UnreadableJson(f"{source}: holds over {MAX_JSON_VALUES:,} JSON values; give a smaller file")
    try:
        parsed = DECODERS[unique_keys].decode(text.decode("utf-8"))
    except RecursionError as error:
        raise UnreadableJson(f"{source}: its JSON is nested too deeply; give a sound file") from error
    except ValueError as error:  # bad UTF-8 or JSON, a key twice, or an integer of more than 4,300 digits
        raise UnreadableJson(f"{source}: is not valid JSON ({str(error)[:120]}); give a sound file") from error
    if not isinstance(parsed, dict):
        raise UnreadableJson(f"{source}: is JSON, but not an object; give a sound file")
    return parsed


def _table(pairs: list[tuple[str, Any]]) -> Any:
    """An object, or the number that it stands for."""
    if len(pairs) == 1 and pairs[0][0] == "__float__" and isinstance(pairs[0][1], str):
        return TAGGED_FLOATS.get(pairs[0][1], dict(pairs))
    return dict(pairs)


def _unique_table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key occurs twice")
    return table


DECODERS = {True: json.JSONDecoder(object_pairs_hook=_unique_table), False: json.JSONDecoder(object_pairs_hook=_table)}
"""By whether keys must be unique; made once, since a header is parsed an entry at a time."""

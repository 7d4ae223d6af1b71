"""A value as a person writes it after `=` on a command line."""

from __future__ import annotations

import tomllib
from typing import Any


def written_value(text: str) -> Any:
    """The value that it is in TOML, else the text itself: a string needs no second pair of quotes in a shell.

    Raises:
        ValueError: it is an integer of too many digits.
        RecursionError: it is nested too deeply.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def written_values(text: str) -> list[Any]:
    """The same of values with commas between; a text with a comma in it needs its quotes.

    Raises:
        ValueError: it has quotes or brackets and is no list in TOML, or as above.
        RecursionError: as above.
    """
    try:
        found: list[Any] = tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        if any(sign in text for sign in "\"'[]{}#"):
            raise
        return [written_value(word.strip()) for word in text.split(",")]
    return found

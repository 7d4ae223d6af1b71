"""The JSON of a header or an index of millions of bytes, one entry at a time, so that no file takes the memory.

`json` makes a table of all of a text before anyone can look at it: 100 MB of `[],` become 2 GB. A header is a table of
small flat tables, and an index has one large flat table of texts; so each entry is cut out by its shape, held to a
limit, and given to `json` alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tiedlm.counting.stored.json_file import UnreadableJson, parse_json_object

MAX_ENTRIES = 500_000
"""Tensors of a file or an index. The models with the most have some 210,000: a trillion weights in 4 bits, nine tensors
to each of 384 experts in 60 layers."""
MAX_ENTRY_BYTES = 16_000
"""Of what a header says of one tensor, which takes a hundred bytes."""
MAX_NAME_LENGTH = 500
MAX_MAP_KEYS = 3
"""Places that are tried where an index says `weight_map`."""
TEXT = rb'"(?:[^"\\\x00-\x1f]++|\\.)*+"'  # `++` and `*+` never go back, so no text takes more than one pass
FLAT = rb'\{(?:[^{}"]++|' + TEXT + rb")*+\}"
ENTRY = re.compile(rb"\s*+(" + TEXT + rb")\s*+:\s*+(" + FLAT + rb")\s*+([,}])", re.DOTALL)
PAIR = re.compile(rb"\s*+(" + TEXT + rb")\s*+:\s*+(" + TEXT + rb")\s*+([,}])", re.DOTALL)
MAP_KEY = b'"weight_map"'
MAP = re.compile(rb"\s*+:\s*+(" + FLAT + rb")", re.DOTALL)
BEGIN = re.compile(rb"\s*+\{\s*+")


def header_entries(text: bytes, source: str) -> Iterator[tuple[str, bytes]]:
    """The names in a header and what stands under each, a flat table that is not parsed yet.

    Raises:
        UnreadableJson: it is no table of flat tables, or has too many.
    """
    return _members(text, ENTRY, source)


def index_entries(text: bytes, source: str) -> Iterator[tuple[str, str]]:
    """The names in the `weight_map` of an index, and the file of each.

    Raises:
        UnreadableJson: it is no JSON object whose `weight_map` leads from texts to texts, or has too many.
    """
    place, found = -1, None
    for _ in range(MAX_MAP_KEYS):  # a search of all would begin anew at each
        place = text.find(MAP_KEY, place + 1)
        found = MAP.match(text, place + len(MAP_KEY)) if place >= 0 else None
        if place < 0 or found is not None:
            break
    if found is None:
        raise UnreadableJson(f"{source}: has no weight_map from tensors to files; give a .safetensors.index.json")
    # What stands around it is small, and must be JSON of which it is a part, and not of another part.
    around = parse_json_object(text[: found.start(1)] + b"{}" + text[found.end(1) :], source)
    if around.get("weight_map") != {}:
        raise UnreadableJson(f"{source}: has its weight_map in another table; give a .safetensors.index.json")
    files: dict[bytes, str] = {}  # few, and named by each of many tensors
    for name, file_name in _members(text, PAIR, source, *found.span(1)):
        if file_name not in files:
            files[file_name] = _text(file_name, source)
        yield name, files[file_name]


def _members(
    text: bytes, member: re.Pattern[bytes], source: str, start: int = 0, stop: int | None = None
) -> Iterator[tuple[str, bytes]]:
    """Names and values of the table from `start` to `stop`, each of which `member` matches whole."""
    stop = len(text) if stop is None else stop
    begun = BEGIN.match(text, start, stop)
    if begun is None:
        raise UnreadableJson(f"{source}: is no JSON object; give a sound file")
    place, end, number = begun.end(), b",", 0
    if text[place : place + 1] == b"}":
        place, end = place + 1, b"}"
    while end == b",":
        found = member.match(text, place, stop)
        if found is None:
            raise UnreadableJson(
                f"{source}: is no table of what such a file holds, from its byte {place:,} on; give a sound file"
            )
        number += 1
        if number > MAX_ENTRIES:
            raise UnreadableJson(f"{source}: has over {MAX_ENTRIES:,} entries; give a part of the model")
        yield _text(found[1], source), found[2]
        place, end = found.end(), found[3]
    if text[place:stop].strip(b" \t\r\n"):
        raise UnreadableJson(f"{source}: goes on after its JSON ends, at byte {place:,}; give a sound file")


def _text(quoted: bytes, source: str) -> str:
    if len(quoted) > 12 * MAX_NAME_LENGTH + 2:  # a character may be written as twelve: two of \uXXXX
        raise UnreadableJson(f"{source}: has a name over {MAX_NAME_LENGTH:,} characters; rename it")
    try:
        text = quoted.decode("utf-8")
        return str(json.loads(text)) if "\\" in text else text[1:-1]
    except ValueError as error:
        raise UnreadableJson(f"{source}: is not valid JSON ({str(error)[:120]}); give a sound file") from error

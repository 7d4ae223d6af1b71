"""A JSONL file of people's own minimal pairs → items; every line is sound, or the file is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tiedlm.counting.stored.json_file import parse_json_object
from tiedlm.errors import InputError
from tiedlm.masked_batch import MASK
from tiedlm.probing.pair_items import Cloze, Item, PairSet, SentencePair
from tiedlm.regular_file import read_regular_file

MAX_FILE_BYTES = 200_000_000
CLOZE, SENTENCES = ("sentence", "right", "wrong"), ("sentence_good", "sentence_bad")
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""JSON may have one of the two escapes of a character alone; no tokenizer reads that."""
PARADIGMS = ("paradigm", "UID")
"""Names of the field that tells what an item tests; BLiMP's is the second."""


def read_pair_file(path: Path) -> PairSet:
    """Read items, one a line: `sentence` with one `[MASK]`, `right` and `wrong`; or `sentence_good` and `sentence_bad`.

    `paradigm` or `UID` may say what an item tests. Other fields, which BLiMP has, are left alone.

    Raises:
        InputError: the file cannot be read, has no item, or a line is no item; the line and the field are named.
    """
    lines = read_lines(path, "--pairs", "a file of JSON lines, or agreement")
    items = tuple(
        _item(parse_json_object(line.encode(), place), place)
        for number, line in enumerate(lines, 1)
        if line.strip()
        for place in (f"{path}, line {number}",)
    )
    if not items:
        raise InputError(f"--pairs {path}: has no item; give a JSON object a line, or agreement")
    return PairSet(str(path), items)


def read_lines(path: Path, option: str, wanted: str) -> list[str]:
    """The lines of a text in UTF-8 that an option names.

    Raises:
        InputError: it cannot be read, is too large, or is no such text.
    """
    try:
        content = read_regular_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be read ({error.strerror}); give {wanted}") from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{option} {path}: is over the limit of {MAX_FILE_BYTES:,} bytes; give a smaller file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{option} {path}: is not UTF-8 text; give {wanted}") from error
    return text.replace("\r\n", "\n").split("\n")  # and not at the other signs that `splitlines` takes for line ends


def _item(raw: dict[str, Any], place: str) -> Item:
    is_cloze, is_pair = (any(field in raw for field in fields) for fields in (CLOZE, SENTENCES))
    if is_cloze == is_pair:
        lack = "fields of both kinds" if is_cloze else "no item"
        raise InputError(
            f"{place}: has {lack}; give either {', '.join(CLOZE[:-1])} and {CLOZE[-1]}, or {' and '.join(SENTENCES)}"
        )
    paradigm = next((_text(raw, field, place) for field in PARADIGMS if raw.get(field) is not None), None)
    if is_pair:
        good, bad = (_text(raw, field, place) for field in SENTENCES)
        _check_masks({"sentence_good": good, "sentence_bad": bad}, place)
        _check_differ(good, bad, SENTENCES, place)
        return SentencePair(good, bad, paradigm)
    sentence, right, wrong = (_text(raw, field, place) for field in CLOZE)
    if sentence.count(MASK) != 1:
        raise InputError(
            f"{place}: sentence={sentence[:60]!r} has {MASK} {sentence.count(MASK)} times; write it once, where the "
            "form is asked for"
        )
    _check_masks({"right": right, "wrong": wrong}, place)
    _check_differ(right, wrong, ("right", "wrong"), place)
    return Cloze(sentence, right, wrong, paradigm)


def _text(raw: dict[str, Any], field: str, place: str) -> str:
    value = raw.get(field)
    if not isinstance(value, str) or not value.strip() or HALF_CHARACTER.search(value):
        told = "is missing" if field not in raw else f"is {str(value)[:60]!r}, which is no text"
        raise InputError(f"{place}: {field} {told}; give a text in quotes")
    return value


def _check_masks(texts: dict[str, str], place: str) -> None:
    for field, text in texts.items():
        if MASK in text:
            raise InputError(f"{place}: {field}={text[:60]!r} has {MASK}, which belongs into sentence alone; remove it")


def _check_differ(one: str, other: str, fields: tuple[str, str], place: str) -> None:
    if one == other:
        raise InputError(f"{place}: {fields[0]} and {fields[1]} are both {one[:60]!r}; give two that differ")

"""An exported tokenizer, held to that of training: it reads every text, and what stands beside a mask, alike."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

from tiedlm.data.sources.pieces import Piece
from tiedlm.data.token_files import encode_pieces
from tiedlm.data.tokenizer import Vocabulary
from tiedlm.errors import InputError
from tiedlm.masked_batch import MASK_ID

LINES = (
    "we see the dog.",
    "Don't stop, (please)! 12,000 at 5 % - or so?",
    "naïve café, groß; 日本語 и русский",
    " two  blanks  around ",
    "a\ttab",
    "",
)
NUM_TOKENS, TOKENS_PER_LINE, NUM_WORDS = 1_000, 8, 100
"""Of the vocabulary, that are read as text."""
BEFORE, FOLLOWING = "the", ("?", ".", ",", " the")


def blank_before_first_part(document: dict[str, Any]) -> None:
    """Change a `tokenizer.json` so that what puts a blank before a text puts none before its later parts.

    A special token, as a mask, parts a text, and each part would get a blank that it had not in the line (issue 1174 of
    `tokenizers`): "the [MASK]?" would be read as "the [MASK] ?".
    """
    steps = document.get("pre_tokenizer") or {}
    steps = steps["pretokenizers"] if steps.get("type") == "Sequence" else [steps] if steps else []
    match [step["type"] for step in steps]:
        case ["ByteLevel", *_] if steps[0]["add_prefix_space"]:
            blank = {"type": "Metaspace", "replacement": " ", "prepend_scheme": "first", "split": False}
            steps = [blank, steps[0] | {"add_prefix_space": False}, *steps[1:]]
        case ["Metaspace", *_] if steps[0]["prepend_scheme"] == "always":
            steps = [steps[0] | {"prepend_scheme": "first"}, *steps[1:]]
        case ["WhitespaceSplit", "Metaspace"] if steps[1]["prepend_scheme"] == "always":
            given = [document["normalizer"]] if document.get("normalizer") else []
            one_blank = {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}
            none_last = {"type": "Strip", "strip_left": False, "strip_right": True}
            document["normalizer"] = {"type": "Sequence", "normalizers": [*given, one_blank, none_last]}
            steps = [steps[1] | {"prepend_scheme": "first"}]
        case _:
            return
    document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}


def check_read_back(vocabulary: Vocabulary, exported: Tokenizer, mask: str) -> None:
    """Compare two tokenizers by lines made of the vocabulary's own tokens and others, and around a mask.

    Raises:
        InputError: they differ.
    """
    exported.encode_special_tokens = True
    for line in (*LINES, *_lines(vocabulary)):
        ids = _ids(vocabulary, line)
        if ids is not None and (found := exported.encode(line, add_special_tokens=False).ids) != ids:
            raise InputError(
                f"a tokenizer as that of this run cannot be exported: {line[:40]!r} would be read as the ids "
                f"{found[:8]} and not as {ids[:8]}"
            )
    exported.encode_special_tokens = False
    before = _ids(vocabulary, BEFORE)
    for following in FOLLOWING:
        if before is None or not (sides := _sides(vocabulary, before, following)):
            continue
        found = exported.encode(f"{BEFORE} {mask}{following}", add_special_tokens=False).ids
        if found not in ([*before, MASK_ID, *after] for after in sides):
            raise InputError(
                f"a tokenizer as that of this run cannot be exported: beside a mask, {following!r} would be read as "
                "other tokens than after a word, so that the model would guess from another sentence"
            )


def _lines(vocabulary: Vocabulary) -> Iterator[str]:
    """Tokens from all over the vocabulary as text; without special ones, which a text may not name."""
    special = {*vocabulary.roles.values(), *vocabulary.tokenizer.get_added_tokens_decoder()}
    words = [token for token in range(len(vocabulary.ids)) if token not in special]
    some = words[:: max(1, len(words) // NUM_TOKENS)]
    for start in range(0, len(some), TOKENS_PER_LINE):
        yield vocabulary.tokenizer.decode(some[start : start + TOKENS_PER_LINE]).replace("▁", " ").strip()


def _sides(vocabulary: Vocabulary, before: list[int], following: str) -> list[list[int]]:
    """How the run reads what follows a word that is one token, each way once."""
    sides: list[list[int]] = []
    words = (word for line in _lines(vocabulary) for word in line.split() if word.isalpha())
    for word in islice(words, NUM_WORDS):
        ids, with_word = _ids(vocabulary, f"{BEFORE} {word}{following}"), _ids(vocabulary, f"{BEFORE} {word}")
        if ids is None or with_word is None or len(with_word) != len(before) + 1:
            continue
        if with_word[:-1] == before and ids[: len(with_word)] == with_word and ids[len(with_word) :] not in sides:
            sides.append(ids[len(with_word) :])
    return sides


def _ids(vocabulary: Vocabulary, line: str) -> list[int] | None:
    """As in training; None where its tokenizer cannot read it."""
    try:
        return [int(token) for token in encode_pieces(vocabulary, [Piece(line, False)])]
    except InputError:
        return None

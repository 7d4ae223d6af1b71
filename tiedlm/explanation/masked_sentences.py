"""Lines of a text → short sentences that its tokenizer leaves whole, each with one word masked."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from tokenizers import Encoding

from tiedlm.data.tokenizer import Vocabulary
from tiedlm.explanation.head_view import SPECIAL_NAMES
from tiedlm.masked_batch import MASK, UNK_ID

FEWEST_WORDS, MOST_WORDS = 6, 14
FEWEST_MASKABLE = 3  # so that it is neither the most frequent nor the rarest that is masked
BETWEEN_SENTENCES = re.compile(r"(?<=\s[.!?])\s+|(?<=[^\W\d_A-Z]{4}[.!?])\s+(?=[^\W\d_a-z])")
"""After a sign that stands alone, as in WikiText, or follows a word too long for an abbreviation, before a capital."""
WORD = re.compile(r"\S+")
EDGES = re.compile(r"^[\W\d_]+|[\W\d_]+$")


class MaskedSentence(NamedTuple):
    """A sentence with `[MASK]` in it, and the word that stood there."""

    text: str
    word: str


class _Candidate(NamedTuple):
    """A sentence that may be shown; the less of the first four, the better it reads."""

    num_cut_words: int
    is_fragment: bool
    num_symbols: int
    order: str
    """Its hash, so that the choice is spread over the text and is the same each time."""
    masked: MaskedSentence


def choose_sentences(lines: Iterable[str], vocabulary: Vocabulary, number: int) -> list[MaskedSentence]:
    """The `number` sentences of a text that read best as tokens, or fewer where it has no more; always the same.

    A sentence has 6 to 14 words, most of them tokens of their own, and no unknown ones. Masked is one of its
    rarer words, which tells more than a "the", and not the rarest, which is hard to guess; no two mask the same.
    """
    sentences = list(dict.fromkeys(chain.from_iterable(map(_sentences, lines))))
    encodings = vocabulary.tokenizer.encode_batch(sentences, add_special_tokens=False)
    counts = Counter(chain.from_iterable(encoding.ids for encoding in encodings))
    found = (
        _candidate(text, encoding, vocabulary, counts) for text, encoding in zip(sentences, encodings, strict=True)
    )
    chosen: dict[str, MaskedSentence] = {}
    for candidate in sorted(one for one in found if one is not None):
        chosen.setdefault(candidate.masked.word.lower(), candidate.masked)
    return list(chosen.values())[:number]


def _sentences(line: str) -> Iterator[str]:
    for sentence in BETWEEN_SENTENCES.split(line.strip()):
        words = sentence.split()
        if FEWEST_WORDS <= len(words) <= MOST_WORDS and not SPECIAL_NAMES.intersection(words) and MASK not in sentence:
            yield sentence


def _candidate(text: str, encoding: Encoding, vocabulary: Vocabulary, counts: Counter[int]) -> _Candidate | None:
    """None where a token is unknown, half of the words are cut, or there are too few to choose one to mask from."""
    if (vocabulary.ids[encoding.ids] == UNK_ID).any():
        return None
    tokens = {_stripped(text, *span): token for token, span in zip(encoding.ids, encoding.offsets, strict=True)}
    words = [(word.span(), _core(text, *word.span())) for word in WORD.finditer(text)]
    lettered = [(span, core) for span, core in words if core is not None]
    whole = [core if core in tokens else span for span, core in lettered if core in tokens or span in tokens]
    if 2 * len(whole) < len(words):
        return None
    maskable = _maskable(text, whole)
    if len(maskable) < FEWEST_MASKABLE:
        return None
    by_frequency = sorted(maskable, key=lambda span: (-counts[tokens[span]], span))
    start, end = by_frequency[min(2 * len(by_frequency) // 3, len(by_frequency) - 2)]
    return _Candidate(
        num_cut_words=len(lettered) - len(whole),
        is_fragment=not (text[0].isupper() and text.endswith((".", "!", "?"))),
        num_symbols=sum(not any(map(str.isalpha, text[slice(*span)])) for span in tokens),
        order=hashlib.sha256(text.encode()).hexdigest(),
        masked=MaskedSentence(f"{text[:start]}{MASK}{text[end:]}", text[start:end]),
    )


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A token's place without the blank before it."""
    token = text[start:end]
    return end - len(token.lstrip()), end


def _core(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A word's place without the signs around it; None of signs alone."""
    word = text[start:end]
    core = EDGES.sub("", word)
    begin = start + word.find(core)
    return (begin, begin + len(core)) if core else None


def _maskable(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The words of letters that stand once in the sentence; a second one would give the answer away."""
    words = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    return [
        span for span in spans if (word := text[slice(*span)].lower()).isalpha() and len(word) > 1 and words[word] == 1
    ]

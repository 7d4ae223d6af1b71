"""A corpus → items that ask for one of two forms of a word, singular or plural, in the corpus's own sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from tiedlm.data.sources.corpus import Corpus
from tiedlm.errors import InputError
from tiedlm.masked_batch import MASK
from tiedlm.probing.pair_items import Cloze, PairSet

AGREEMENT = "agreement"
SHORTEST_FORM = 3
"""Letters; below are "a" and "as", "it" and "its", and not much else."""
FEWEST_WORDS, MOST_WORDS = 4, 60
"""Of a sentence: fewer say too little of the form, and more is a paragraph."""
AFTER_ES = ("s", "x", "z", "ch", "sh", "o")
SENTENCE_ENDS = frozenset(".!?")
"""Signs that end a sentence where they stand alone, as in WikiText; in the Penn Treebank a line is a sentence."""


def agreement_items(corpus: Corpus, counts: Counter[str], splits: Sequence[str], max_items: int | None) -> PairSet:
    """One item for each place in the splits where a word stands that has two forms in train.

    `counts` is how often each word of train occurs there. Forms are told by their spelling alone: `company` and
    `companies`, `say` and `says`, and so also `new` and `news`. A sentence that comes again counts once. At most
    `max_items`, evenly spaced.

    Raises:
        InputError: there is none.
    """
    other = other_forms(counts)
    pieces = chain.from_iterable(batch for split in splits for batch in corpus.batches(split))
    sentences = dict.fromkeys(sentence for piece in pieces for sentence in _sentences(piece.text))
    items = [
        Cloze(" ".join((*words[:place], MASK, *words[place + 1 :])), word, other[word])
        for words in sentences
        for place, word in enumerate(words)
        if word in other
    ]
    if not items:
        raise InputError(
            f"--pairs {AGREEMENT}: {corpus.name} has no sentence of {FEWEST_WORDS} to {MOST_WORDS} words with a word "
            "that train has in two forms, such as company and companies; give a file of pairs"
        )
    if max_items is not None and max_items < len(items):
        items = [items[number * len(items) // max_items] for number in range(max_items)]
    return PairSet(AGREEMENT, tuple(items))


def other_forms(counts: Counter[str]) -> dict[str, str]:
    """The other form of each word that train has in two; of the pairs that a word is in, the first in the alphabet."""
    other: dict[str, str] = {}
    for word in sorted(counts):
        for plural in _plurals(word):
            if counts[plural] and word not in other and plural not in other:
                other[word], other[plural] = plural, word
    return other


def _plurals(word: str) -> Iterator[str]:
    if len(word) < SHORTEST_FORM or not word.isalpha():
        return
    if word.endswith("y") and word[-2] not in "aeiou":
        yield word[:-1] + "ies"
    if word.endswith(AFTER_ES):
        yield word + "es"
    yield word + "s"


def _sentences(line: str) -> Iterator[tuple[str, ...]]:
    words = line.split()
    ends = [place + 1 for place, word in enumerate(words) if word in SENTENCE_ENDS]
    for start, end in zip(chain([0], ends), chain(ends, [len(words)]), strict=True):
        if FEWEST_WORDS <= end - start <= MOST_WORDS and MASK not in words[start:end]:
            yield tuple(words[start:end])


def count_words(corpus: Corpus) -> Counter[str]:
    """How often each word, between blanks, occurs in train."""
    counts: Counter[str] = Counter()
    for batch in corpus.batches("train"):
        for piece in batch:
            counts.update(piece.text.split())
    return counts

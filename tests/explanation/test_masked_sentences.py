"""Sentences for a reader: such as the tokenizer leaves whole, masked where a guess tells something."""

from __future__ import annotations

import random

import pytest

from tiedlm.data.tokenizer import Vocabulary, trained_vocabulary
from tiedlm.explanation.masked_sentences import MaskedSentence, choose_sentences

COMMON = "as a of is to".split()
RARER = "returns creates follows object string folder reader number".split()


def text(seed: int) -> list[str]:
    """Lines of common and rarer words, some with a word of no other line, a special token, a word twice, or unfit."""
    generator = random.Random(seed)
    lines = []
    for number in range(400):
        words = generator.choices(COMMON, k=5) + generator.sample(RARER, 4)
        generator.shuffle(words)
        match number % 5:
            case 1:
                words[3] = "zyx" + "".join(generator.sample("bcdfghjklmnp", 7))
            case 2:
                words = words[:4] if number % 2 else words * 2
            case 3:
                words[2] = "<unk>"
            case 4:
                words.append(next(word for word in words if word in RARER))
        lines.append(f"The {' '.join(words)}.")
    return lines


def vocabulary_of(lines: list[str], spec: str) -> Vocabulary:
    """A tokenizer that is trained on the text."""
    return trained_vocabulary(lambda: iter([lines]), spec)


def chosen(spec: str, seed: int, number: int = 5) -> list[MaskedSentence]:
    """Of such a text."""
    return choose_sentences(text(seed), vocabulary_of(text(seed), spec), number)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("spec", ["bpe:420", "word"])
def test_they_are_short_whole_and_masked_where_it_tells_something(spec: str, seed: int) -> None:
    lines, found = text(seed), chosen(spec, seed)
    tokenizer = vocabulary_of(lines, spec).tokenizer
    assert len(found) == len({one.word for one in found}) == 5
    for one in found:
        whole = one.text.replace("[MASK]", one.word)
        assert whole in lines
        assert 6 <= len(whole.split()) <= 14
        assert spec == "word" or "zyx" not in whole  # which is a token of its own there
        assert "<unk>" not in whole
        assert whole.lower().count(one.word.lower().rstrip(".")) == 1
        assert len(tokenizer.encode(f" {one.word}", add_special_tokens=False).tokens) == 1
        assert one.word.lower() in RARER
    assert chosen(spec, seed) == found


def test_a_text_that_the_tokenizer_cuts_to_pieces_gives_none() -> None:
    vocabulary = vocabulary_of(["The reader creates a folder"] * 9, "bpe:280")
    assert len(choose_sentences(["The reader creates a folder of strings."], vocabulary, 5)) == 1
    assert choose_sentences(["The reader creates a folder of zyx qvj wkp bcd fgh jkl."], vocabulary, 5) == []


def test_a_paragraph_is_taken_apart_between_sentences_and_not_after_an_abbreviation() -> None:
    lines = ["The reader returns a list of names. Mr. Smith creates the folder and a file."]
    found = choose_sentences(lines, vocabulary_of(lines * 9, "word"), 5)
    assert sorted(one.text.replace("[MASK]", one.word) for one in found) == [
        "Mr. Smith creates the folder and a file.",
        "The reader returns a list of names.",
    ]

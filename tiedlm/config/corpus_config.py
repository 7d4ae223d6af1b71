"""The text of a run, and how it becomes tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.strict import Strict, words_of_pattern

SPLITS = ("train", "valid", "test")
EVALUATED_SPLITS = ("valid", "test")
MAX_SEQ_LENGTH = 1_000_000
TOKENIZER_PATTERN = words_of_pattern(
    r"^(word|word:[1-9]\d{0,6}|bpe:[1-9]\d{0,6}|file:.+|hub:[\w.-]+/[\w.-]+)$",
    "word, word:N, bpe:N, file:PATH or hub:OWNER/NAME, e.g. bpe:4096",
)


class CorpusConfig(Strict):
    """Which text, how it becomes tokens, and how long a block is."""

    name: Annotated[str, Field(min_length=1)]
    """`pydoc`, `ptb`, `wikitext-2`, another known corpus, a folder or file of text, `hub:OWNER/NAME[:CONFIG]`."""
    tokenizer: Annotated[str, Field(pattern=TOKENIZER_PATTERN)]
    """`word`: every word of the train split; `word:N` or `bpe:N`: a vocabulary of N with the special tokens;
    `file:PATH` or `hub:OWNER/NAME`: the `tokenizer.json` of another model."""
    seq_length: Annotated[int, Field(ge=8, le=MAX_SEQ_LENGTH)]
    """Tokens of a block."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of train's blocks that are trained on, by one fixed order, so that a smaller share is part of a larger one;
    the vocabulary stays the whole text's."""

"""The keys of `[corpus]`: which text, which tokenizer, how long a block."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tiedlm.config.strict import NeutralUnwritten, words_of_pattern

SPLITS = ("train", "valid", "test")
EVALUATED_SPLITS = ("valid", "test")
BY_LINES_FOR_WANT_OF_PARAGRAPHS = "by the hash of each line, for want of blank lines between paragraphs"
"""Stands in the source of a text whose valid or test was taken from train so: lines of one paragraph may be in two."""
MAX_SEQ_LENGTH = 1_000_000
TOKENIZER_PATTERN = words_of_pattern(
    r"^(word|word:[1-9]\d{0,6}|bpe:[1-9]\d{0,6}|file:.+|hub:[\w.-]+/[\w.-]+)$",
    "word, word:N, bpe:N, file:PATH or hub:OWNER/NAME, e.g. bpe:4096",
)


class CorpusConfig(NeutralUnwritten):
    """Which text, how it becomes tokens, and how long a block is."""

    name: Annotated[str, Field(min_length=1)]
    """The text: `pydoc` (the prose of the Python that runs the command), `ptb`, `wikitext-2`, `wikitext-103`, the
    latter two with `-raw`, a folder or file of text, or `hub:OWNER/NAME[:CONFIG]`."""
    tokenizer: Annotated[str, Field(pattern=TOKENIZER_PATTERN)]
    """How text becomes tokens. `word`: every word of the train split; `word:N` or `bpe:N`: the most frequent words, or
    byte-level BPE, N with `[PAD]`, `[MASK]`, `[UNK]` and `<eos>`, which ends each line (at least 5, or 260); trained on
    train alone. `file:PATH` or `hub:OWNER/NAME`: the `tokenizer.json` of another model."""
    seq_length: Annotated[int, Field(ge=8, le=MAX_SEQ_LENGTH)]
    """Tokens of a block, at most `model.max_position_embeddings`. Blocks are consecutive pieces of a split; the last
    one is padded, and padding is never predicted."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of train's blocks that are trained on, in an order that `fraction_seed` draws, so that a smaller share is
    part of a larger one."""
    fraction_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Draws which blocks of train `fraction` takes."""
    vocabulary: Literal["whole", "fraction"] = "whole"
    """Whose text the tokenizer is trained on: the `whole` of train, or the `fraction` of it that is trained on, whose
    other words are then `[UNK]` in valid and test. The blocks are those of the whole vocabulary; of BPE, whose blocks
    depend on it, the lines that begin in them. Train's tokens are then this part alone, in counts and bands too."""

    def num_blocks(self, num_tokens: int) -> int:
        """Of a split of so many tokens."""
        return -(-num_tokens // self.seq_length)

    def num_train_blocks(self, num_tokens: int) -> int:
        """How many blocks are trained on where train has so many tokens: all, where it is the fraction already."""
        share = 1.0 if self.vocabulary == "fraction" else self.fraction
        return max(1, round(share * self.num_blocks(num_tokens)))

    @model_validator(mode="after")
    def _trains_its_tokenizer(self) -> Self:
        if self.vocabulary == "fraction" and self.tokenizer.partition(":")[0] in ("file", "hub"):
            raise ValueError(
                f"corpus.vocabulary='fraction' trains a tokenizer, and corpus.tokenizer={self.tokenizer!r} is trained "
                "already; set corpus.vocabulary='whole', or corpus.tokenizer to word, word:N or bpe:N"
            )
        return self

"""The vocabulary size that a configuration promises, before any text is read."""

from __future__ import annotations

from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.masked_batch import SPECIAL_TOKENS

SURE_BPE_SIZE = 8_192  # merges that every known corpus is large enough for


def declared_vocab_size(config: CorpusConfig) -> int | None:
    """The vocabulary that a configuration promises, or None where only the text can tell."""
    if config.vocabulary == "fraction":
        return None
    kind, _, size = config.tokenizer.partition(":")
    num_words = KNOWN[config.name].num_words if config.name in KNOWN else None
    if kind == "word" and num_words:
        every_word = num_words + len(SPECIAL_TOKENS)
        return min(int(size), every_word) if size else every_word
    if kind == "bpe" and config.name in ("pydoc", *KNOWN) and int(size) <= SURE_BPE_SIZE:
        return int(size)
    return None

"""The special tokens and their ids, and the vocabulary size that a configuration promises."""

from __future__ import annotations

from tiedlm.config import CorpusConfig
from tiedlm.data.corpus import KNOWN

PAD, MASK, UNK, EOS = "[PAD]", "[MASK]", "[UNK]", "<eos>"
SPECIAL_TOKENS = (PAD, MASK, UNK)
"""Never drawn as a random replacement. Of the three only `[UNK]`, a word outside the vocabulary, occurs in
blocks and is predicted; `<eos>` ends each line and is a word like others."""
PAD_ID, MASK_ID, UNK_ID = range(3)


SURE_BPE_SIZE = 8_192  # merges that every known corpus is large enough for


def declared_vocab_size(config: CorpusConfig) -> int | None:
    """The vocabulary that a configuration promises, or None where only the text can tell."""
    kind, _, size = config.tokenizer.partition(":")
    if kind == "word" and config.name in KNOWN:
        every_word = KNOWN[config.name].num_words + len(SPECIAL_TOKENS)
        return min(int(size), every_word) if size else every_word
    if kind == "bpe" and config.name in ("pydoc", *KNOWN) and int(size) <= SURE_BPE_SIZE:
        return int(size)
    return None

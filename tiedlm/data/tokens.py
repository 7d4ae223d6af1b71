"""Lines → tokenizer → token ids on disk → memory-mapped blocks.

The result is kept in the user's cache folder under a hash of the text, its format and the tokenizer, so worker
processes map the same file and nothing is tokenized twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tiedlm.config import MAX_SEQ_LENGTH, CorpusConfig
from tiedlm.data.cache import cached_folder
from tiedlm.data.corpus import SPLITS, Corpus
from tiedlm.errors import InputError
from tiedlm.masked_batch import EOS, MASK_ID, PAD_ID, SPECIAL_TOKENS, UNK, UNK_ID

CACHE_FORMAT = 4
ID_TYPE = np.dtype("<i4")
IDS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class TokenizedCorpus:
    """What training needs to know of a corpus; the ids stay on disk."""

    name: str
    vocab_size: int
    tokenizer_sha256: str
    text_sha256: dict[str, str]
    num_tokens: dict[str, int]
    folder: str

    def blocks(self, split: str, seq_length: int) -> npt.NDArray[np.int32]:
        """(num_blocks, seq_length): consecutive pieces of the split, the last one padded; memory-mapped."""
        shape = (-(-self.num_tokens[split] // seq_length), seq_length)
        # "c": what is written stays in memory; torch takes no array that may not be written to
        return np.memmap(self._ids_file(split), dtype=ID_TYPE, mode="c", shape=shape)

    def token_ids(self, split: str) -> npt.NDArray[np.int32]:
        """(num_tokens,), memory-mapped."""
        return np.memmap(self._ids_file(split), dtype=ID_TYPE, mode="r", shape=(self.num_tokens[split],))

    def _ids_file(self, split: str) -> Path:
        return Path(self.folder) / f"{split}.ids"

    def token_counts(self, split: str) -> npt.NDArray[np.int64]:
        """(vocab_size,): how often each token occurs."""
        ids = self.token_ids(split)
        pieces = (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))
        return sum((np.bincount(piece, minlength=self.vocab_size) for piece in pieces), np.zeros(self.vocab_size, int))

    def unigram_perplexity(self, split: str) -> float:
        """Perplexity of a split under the train split's word frequencies, each count plus one.

        The level of a model that has learned how often tokens occur and nothing else.
        """
        smoothed = self.token_counts("train") + 1.0
        smoothed[[PAD_ID, MASK_ID]] = 0.0
        asked = self.token_counts(split)
        occurs = asked > 0
        nll = -np.log(smoothed[occurs] / smoothed.sum())
        return float(np.exp(nll @ asked[occurs] / asked.sum()))


def tokenize(corpus: Corpus, config: CorpusConfig) -> TokenizedCorpus:
    """Train the tokenizer on the train split, encode every split, and keep both in the cache.

    Raises:
        InputError: a split is shorter than one block, or the train split has a single distinct word.
    """
    folder = cached_folder(
        ["tokens", CACHE_FORMAT, config.tokenizer, corpus.sha256, corpus.formats],
        lambda temporary: _write_tokens(temporary, corpus, config.tokenizer),
    )
    meta = json.loads((folder / "meta.json").read_text())
    tokenized = TokenizedCorpus(**{**meta, "name": corpus.name}, folder=str(folder))
    for split, num_tokens in tokenized.num_tokens.items():
        if num_tokens < config.seq_length:
            raise InputError(
                f"corpus {corpus.name!r}: its {split} split has {num_tokens} tokens, fewer than one block of "
                f"corpus.seq_length={config.seq_length}; give more text or lower corpus.seq_length"
            )
    return tokenized


def _check_words(corpus: Corpus) -> None:
    for split, wanted in {"train": 2, "valid": 1, "test": 1}.items():
        words: set[str] = set()
        for lines in corpus.line_batches(split):
            words.update(word for line in lines for word in line.split())
            if len(words) >= wanted:
                break
        else:
            raise InputError(
                f"corpus {corpus.name!r}: its {split} split has {len(words)} distinct words, so there is nothing to "
                "predict; give real text"
            )


def _train_tokenizer(line_batches: Iterator[list[str]], spec: str) -> Tokenizer:
    kind, _, size = spec.partition(":")
    special_tokens = [*SPECIAL_TOKENS, EOS]
    alphabet = pre_tokenizers.ByteLevel.alphabet() if kind == "bpe" else ["word"]
    smallest = len(alphabet) + len(special_tokens)
    if size and int(size) < smallest:
        raise InputError(
            f"corpus.tokenizer={spec!r} is below the {smallest} tokens that the special ones and "
            f"{'all bytes' if kind == 'bpe' else 'one word'} take; ask for a larger vocabulary"
        )
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=int(size), special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        num_words = int(size) if size else 2**31 - 1
        trainer = trainers.WordLevelTrainer(vocab_size=num_words, special_tokens=special_tokens, show_progress=False)
    tokenizer.train_from_iterator(line_batches, trainer)
    tokenizer.encode_special_tokens = True  # "[MASK]" in the text is text
    return tokenizer


def _encode(tokenizer: Tokenizer, lines: list[str]) -> npt.NDArray[np.int32]:
    eos_id = tokenizer.token_to_id(EOS)
    encodings = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
    ids = np.fromiter(chain.from_iterable((*encoding.ids, eos_id) for encoding in encodings), dtype=ID_TYPE)
    ids[ids < UNK_ID] = UNK_ID  # the text itself may hold the word "[MASK]"
    return ids


def _write_tokens(folder: Path, corpus: Corpus, spec: str) -> None:
    _check_words(corpus)
    tokenizer = _train_tokenizer(corpus.line_batches("train"), spec)
    text = tokenizer.to_str()
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    meta = {
        # not get_vocab_size(): a special token that the text holds as a word has its first id besides its own
        "vocab_size": max(tokenizer.get_vocab().values()) + 1,
        "tokenizer_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "text_sha256": corpus.sha256,
        "num_tokens": {split: _write_ids(folder / f"{split}.ids", tokenizer, corpus, split) for split in SPLITS},
    }
    (folder / "meta.json").write_text(json.dumps(meta))


def _write_ids(path: Path, tokenizer: Tokenizer, corpus: Corpus, split: str) -> int:
    """Write a split's ids and return how many they are."""
    num_tokens = 0
    with path.open("wb") as file:
        for lines in corpus.line_batches(split):
            ids = _encode(tokenizer, lines)
            file.write(ids.tobytes())
            num_tokens += len(ids)
        # The padding of the last block, however long blocks are; zeros at the end of a file take no disk.
        assert PAD_ID == 0
        file.truncate((num_tokens + MAX_SEQ_LENGTH) * ids.itemsize)
    return num_tokens

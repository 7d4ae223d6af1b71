"""Lines → token ids on disk → the blocks of a split, of train the fraction that is trained on.

The result is kept in the user's cache folder under a hash of the text and the tokenizer, so worker processes map the
same file and nothing is tokenized twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.encoding_limits import enter_reading
from tiedlm.data.sources.cache import cached_folder, find_cached
from tiedlm.data.sources.corpus import Corpus
from tiedlm.data.sources.documents import Documents
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.data.sources.pieces import Piece
from tiedlm.data.sources.watcher import Watcher
from tiedlm.data.token_files import ID_TYPE, META_FILE, write_tokens
from tiedlm.data.tokenizer import (
    Vocabulary,
    given_vocabulary,
    read_tokenizer,
    read_vocabulary,
    sha256_of,
    tokenizer_file,
    tokenizer_is_given,
    trained_vocabulary,
)
from tiedlm.data.train_part import PartOfTrain, chosen_blocks
from tiedlm.errors import InputError
from tiedlm.masked_batch import MASK_ID, PAD_ID
from tiedlm.processes.guarded_process import Guard, NoGuard, run_guarded

if TYPE_CHECKING:
    from torch import Tensor

CACHE_FORMAT = 6
IDS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class TokenizedCorpus:
    """What training needs to know of a corpus; the ids stay on disk."""

    name: str
    vocab_size: int
    tokenizer_sha256: str
    text_sha256: dict[str, str]
    source: str
    """Where the text came from."""
    num_tokens: dict[str, int]
    num_unk: dict[str, int]
    """How many of them are `[UNK]`."""
    num_words: dict[str, int]
    num_bytes: dict[str, int]
    """As `TextCounts`."""
    num_bytes_left_out: dict[str, int]
    """Of characters that the tokenizer has no token for, nor an unknown token."""
    folder: str
    documents: Documents | None = None
    """As `Corpus` has them."""

    def blocks(self, split: str, config: CorpusConfig) -> Tensor:
        """(N, T): consecutive pieces of a split, the last one padded, memory-mapped; of train, those trained on."""
        import torch  # here, since those who count or fetch need none

        seq_length = config.seq_length
        shape = (config.num_blocks(self.num_tokens[split]), seq_length)
        # "c": what is written stays in memory; torch takes no array that may not be written to
        blocks = torch.from_numpy(np.memmap(self._ids_file(split), dtype=ID_TYPE, mode="c", shape=shape))
        if split != "train" or config.num_train_blocks(self.num_tokens[split]) == len(blocks):
            return blocks
        return blocks[chosen_blocks(config, self.num_tokens[split])]

    def token_ids(self, split: str) -> npt.NDArray[np.int32]:
        """(num_tokens,), memory-mapped."""
        return np.memmap(self._ids_file(split), dtype=ID_TYPE, mode="r", shape=(self.num_tokens[split],))

    def tokenizer_text(self) -> str:
        """The tokenizer as `tokenizer.json` has it."""
        return Path(self.folder, TOKENIZER_FILE).read_text(encoding="utf-8")

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
        return unigram_perplexity(self.token_counts("train"), self.token_counts(split))


def unigram_perplexity(train_counts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> float:
    """Perplexity of tokens that occur `counts` (V,) times, under their frequencies in train, each count plus one."""
    smoothed = train_counts + 1.0
    smoothed[[PAD_ID, MASK_ID]] = 0.0
    occurs = counts > 0
    nll = -np.log(smoothed[occurs] / smoothed.sum())
    return float(np.exp(nll @ counts[occurs] / counts.sum()))


def tokenize(corpus: Corpus, config: CorpusConfig, watcher: Watcher | None = None) -> TokenizedCorpus:
    """Train the tokenizer on the train split or read the one given, encode every split, and keep both in the cache.

    With `vocabulary = "fraction"`, the train split is the part of it that is trained on.

    Raises:
        InputError: a split is shorter than one block, or has no two distinct words; or the tokenizer cannot be had.
    """
    watcher = watcher or Watcher()
    path = tokenizer_file(config.tokenizer, watcher)
    given = None if path is None else read_tokenizer(path)
    made_of = config.tokenizer if given is None else sha256_of(given)

    def fill(folder: Path) -> None:
        _check_words(corpus)
        if path is not None and given is not None:
            run_guarded(f"--tokenizer {path}", partial(_fill_by_given, folder, corpus, path, given))
        else:
            trained_on = text_trained_on(corpus, config)
            write_tokens(folder, trained_on, _vocabulary(folder, trained_on, config.tokenizer), NoGuard())

    folder = cached_folder(_ingredients(made_of, corpus.sha256, config), fill)
    tokenized = _in_cache(folder, corpus.name, corpus.source, corpus.documents)
    kind, _, size = config.tokenizer.partition(":")
    if kind == "bpe" and tokenized.vocab_size < int(size):
        watcher.notice(
            f"corpus.tokenizer={config.tokenizer}: the text is too small for {int(size):,} tokens; the vocabulary has "
            f"{tokenized.vocab_size:,}"
        )
    left_out, num_bytes = (sum(of.values()) for of in (tokenized.num_bytes_left_out, tokenized.num_bytes))
    if left_out:
        watcher.notice(
            f"--tokenizer {path}: leaves out {left_out:,} of the {num_bytes:,} bytes of the text "
            f"({100 * left_out / num_bytes:.2f} %), characters that it has no token for, nor an unknown token"
        )
    for split, num_tokens in tokenized.num_tokens.items():
        if num_tokens < config.seq_length:
            raise InputError(
                f"corpus {corpus.name!r}: its {split} split has {num_tokens} tokens, fewer than one block of "
                f"corpus.seq_length={config.seq_length}; give more text or lower corpus.seq_length"
            )
    return tokenized


def text_trained_on(corpus: Corpus, config: CorpusConfig) -> Corpus:
    """The corpus itself, or, with `vocabulary = "fraction"`, the same with the part of train that is trained on.

    Raises:
        InputError: the part has no two distinct words.
    """
    if config.vocabulary == "whole":
        return corpus
    of_whole = config.model_copy(update={"vocabulary": "whole"})
    whole = tokenize(corpus, of_whole)
    part = PartOfTrain.of(
        corpus, of_whole, read_vocabulary(whole.tokenizer_text(), config.tokenizer), whole.num_tokens["train"]
    )
    _check_words(part)
    return part


def find_tokens(
    name: str, config: CorpusConfig, tokenizer_sha256: str, text_sha256: dict[str, str]
) -> TokenizedCorpus | None:
    """A corpus that was tokenized on this machine, found without its text; None if the cache has it not.

    Args:
        name: of the corpus.
        config: how it was tokenized.
        tokenizer_sha256: of the tokenizer that must have made the tokens.
        text_sha256: of each split.
    """
    made_of = tokenizer_sha256 if tokenizer_is_given(config.tokenizer) else config.tokenizer
    folder = find_cached(_ingredients(made_of, text_sha256, config))
    found = None if folder is None else _in_cache(folder, name, "the cache")
    return found if found is not None and found.tokenizer_sha256 == tokenizer_sha256 else None


def _ingredients(made_of: str, text_sha256: dict[str, str], config: CorpusConfig) -> list[Any]:
    part = [] if config.vocabulary == "whole" else [config.fraction, config.fraction_seed, config.seq_length]
    return ["tokens", CACHE_FORMAT, made_of, {split: text_sha256[split] for split in SPLITS}, *part]


def _in_cache(folder: Path, name: str, source: str, documents: Documents | None = None) -> TokenizedCorpus:
    meta = json.loads((folder / META_FILE).read_text())
    return TokenizedCorpus(**meta, name=name, source=source, folder=str(folder), documents=documents)


def _texts(batches: Iterator[list[Piece]]) -> Iterator[list[str]]:
    for batch in batches:
        yield [piece.text for piece in batch]


def _check_words(corpus: Corpus) -> None:
    for split, wanted in {"train": 2, "valid": 1, "test": 1}.items():
        words: set[str] = set()
        for batch in corpus.batches(split):
            words.update(word for piece in batch for word in piece.text.split())
            if len(words) >= wanted:
                break
        else:
            raise InputError(
                f"corpus {corpus.name!r}: its {split} split has {len(words)} distinct words, so there is nothing to "
                "predict; give real text"
            )


def _vocabulary(folder: Path, corpus: Corpus, spec: str) -> Vocabulary:
    """The tokenizer that an ended process trained for this very folder, or one that is trained now."""
    path = folder / TOKENIZER_FILE
    if path.exists():
        return read_vocabulary(path.read_text(encoding="utf-8"), spec)
    return trained_vocabulary(lambda: _texts(corpus.batches("train")), spec)


def _fill_by_given(folder: Path, corpus: Corpus, path: Path, text: str, guard: Guard) -> None:
    """By a stranger's tokenizer, in a process of its own."""
    enter_reading(guard)
    vocabulary = given_vocabulary(path, text)
    write_tokens(folder, corpus, vocabulary, guard)

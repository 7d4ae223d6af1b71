"""Lines → tokenizer → memory-mapped token ids → blocks.

The result is kept in the user's cache folder under a hash of the text and the tokenizer, so worker
processes map the same file and nothing is tokenized twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tiedlm.config import CorpusConfig
from tiedlm.corpus import SPLITS, Corpus
from tiedlm.errors import InputError
from tiedlm.vocabulary import EOS, MASK_ID, PAD_ID, SPECIAL_TOKENS, UNK, UNK_ID

CACHE_FORMAT = 1


@dataclass(frozen=True)
class TokenizedCorpus:
    """What training needs to know of a corpus; the ids stay on disk."""

    name: str
    vocab_size: int
    tokenizer_sha256: str
    text_sha256: dict[str, str]
    num_tokens: dict[str, int]
    folder: str

    def token_ids(self, split: str) -> npt.NDArray[np.int32]:
        """(num_tokens,), memory-mapped."""
        ids: npt.NDArray[np.int32] = np.load(Path(self.folder) / f"{split}.npy", mmap_mode="r")
        return ids

    def blocks(self, split: str, seq_length: int) -> npt.NDArray[np.int64]:
        """(num_blocks, seq_length): consecutive pieces of the split, the last one padded."""
        ids = self.token_ids(split)
        blocks = np.full((-(-len(ids) // seq_length), seq_length), PAD_ID, dtype=np.int64)
        blocks.reshape(-1)[: len(ids)] = ids
        return blocks

    def unigram_perplexity(self, split: str) -> float:
        """Perplexity of a split under the train split's word frequencies, each count plus one.

        The level of a model that has learned how often tokens occur and nothing else.
        """
        counts = np.bincount(self.token_ids("train"), minlength=self.vocab_size) + 1.0
        counts[[PAD_ID, MASK_ID]] = 0.0
        probabilities = counts / counts.sum()
        return float(np.exp(-np.log(probabilities[self.token_ids(split)]).mean()))


def tokenize(corpus: Corpus, config: CorpusConfig) -> TokenizedCorpus:
    """Train the tokenizer on the train split, encode every split, and keep both in the cache.

    Raises:
        InputError: a split is shorter than one block, or the train split has a single distinct word.
    """
    key = hashlib.sha256(json.dumps([CACHE_FORMAT, config.tokenizer, corpus.sha256]).encode()).hexdigest()
    folder = Path(platformdirs.user_cache_dir("tiedlm")) / key[:32]
    if not (folder / "meta.json").is_file():
        _check_words(corpus)
        _write_atomically(folder, corpus, _train_tokenizer(corpus.lines["train"], config.tokenizer))
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
        for line in corpus.lines[split]:
            words.update(line.split())
            if len(words) >= wanted:
                break
        else:
            raise InputError(
                f"corpus {corpus.name!r}: its {split} split has {len(words)} distinct words, so there is nothing to "
                "predict; give real text"
            )


def _train_tokenizer(lines: list[str], spec: str) -> Tokenizer:
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
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.encode_special_tokens = True  # "[MASK]" in the text is text
    return tokenizer


def _encode(tokenizer: Tokenizer, lines: list[str]) -> npt.NDArray[np.int32]:
    eos_id = tokenizer.token_to_id(EOS)
    encodings = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
    ids = np.fromiter((token for encoding in encodings for token in (*encoding.ids, eos_id)), dtype=np.int32)
    ids[ids < UNK_ID] = UNK_ID  # the text itself may hold the word "[MASK]"
    return ids


def _write_atomically(folder: Path, corpus: Corpus, tokenizer: Tokenizer) -> None:
    """Fill a temporary folder and rename it, so that a reader finds all of it or nothing."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    try:
        text = tokenizer.to_str()
        (temporary / "tokenizer.json").write_text(text, encoding="utf-8")
        num_tokens = {}
        for split in SPLITS:
            ids = _encode(tokenizer, corpus.lines[split])
            num_tokens[split] = len(ids)
            np.save(temporary / f"{split}.npy", ids)
        meta = {
            "vocab_size": tokenizer.get_vocab_size(),
            "tokenizer_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "text_sha256": corpus.sha256,
            "num_tokens": num_tokens,
        }
        (temporary / "meta.json").write_text(json.dumps(meta))
        if not folder.exists():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

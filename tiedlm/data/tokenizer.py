"""`corpus.tokenizer` → a tokenizer and the ids that its tokens have here: trained on the train split, or one given."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tiedlm.data.signals_seen import signals_seen
from tiedlm.data.sources.fetch import MAX_TOKENIZER_BYTES, fetch_tokenizer
from tiedlm.data.sources.watcher import Watcher
from tiedlm.data.tokenizer_kinds import NEEDED, turn_off_dropout, what_is_wrong
from tiedlm.errors import InputError, Stopped, told
from tiedlm.hub_client import first_line
from tiedlm.masked_batch import EOS, MASK, PAD, SPECIAL_TOKENS, UNK, UNK_ID
from tiedlm.regular_file import read_regular_file

MAX_TOKEN_IDS = 1 << 24  # as many tokens as a file of the largest size can have
LONGEST_TRAINED_WORD = 1_000
"""In bytes. Longer ones are trained on in parts, as each merge takes the time of all words that it occurs in."""
ROLES = {
    MASK: ("[MASK]", "<mask>"),
    PAD: ("[PAD]", "<pad>"),
    UNK: ("[UNK]", "<unk>"),
    EOS: ("[SEP]", "</s>", "<eos>", "[EOS]", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>"),
}
"""What others call our special tokens. A sequence's end is a line's end here."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and for each of its ids the id here, where `[PAD]`, `[MASK]` and `[UNK]` are the first three."""

    tokenizer: Tokenizer
    ids: npt.NDArray[np.int32]
    """(largest id + 1,). Text itself never becomes `[PAD]` or `[MASK]`, whatever it says: those are `[UNK]`."""
    eos_id: int
    size: int
    text: str
    """The tokenizer as `tokenizer.json` has it."""
    roles: dict[str, int]
    """Its own id of each of our special tokens that it has."""
    name: str
    """What a sentence calls it."""


def trained_vocabulary(read: Callable[[], Iterator[list[str]]], spec: str) -> Vocabulary:
    """Train a tokenizer on batches of text.

    The library asks for them in threads of its own, and comes back when it has all. A signal ends them before that.

    Raises:
        InputError: the vocabulary that is asked for has no room for what it must hold.
    """
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
        by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([by_bytes, pre_tokenizers.FixedLength(LONGEST_TRAINED_WORD)])
        tokenizer.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=int(size), special_tokens=special_tokens, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        num_words = int(size) if size else 2**31 - 1
        trainer = trainers.WordLevelTrainer(vocab_size=num_words, special_tokens=special_tokens, show_progress=False)
    with signals_seen() as are_seen:
        tokenizer.train_from_iterator(itertools.takewhile(lambda _: not are_seen(), read()), trainer)
        is_whole = not are_seen()
    if not is_whole:  # and whoever handles the signal has not ended the command
        tokenizer.train_from_iterator(read(), trainer)
    if kind == "bpe":
        tokenizer.pre_tokenizer = by_bytes
    return _trained(tokenizer, spec)


def read_vocabulary(text: str, spec: str) -> Vocabulary:
    """The vocabulary of a tokenizer that a run kept as text; `spec` is its `corpus.tokenizer`.

    Raises:
        InputError: it is no tokenizer.
    """
    if tokenizer_is_given(spec):
        return given_vocabulary(Path(spec.partition(":")[2]), text)
    return _trained(Tokenizer.from_str(text), spec)


def _trained(tokenizer: Tokenizer, spec: str) -> Vocabulary:
    tokenizer.encode_special_tokens = True  # "[MASK]" in the text is text
    vocabulary = tokenizer.get_vocab()
    # not get_vocab_size(): a special token that the text holds as a word has its first id besides its own
    size = max(vocabulary.values()) + 1
    ids = np.arange(size, dtype=np.int32)
    ids[:UNK_ID] = UNK_ID
    roles = {**{role: SPECIAL_TOKENS.index(role) for role in SPECIAL_TOKENS}, EOS: vocabulary[EOS]}
    return Vocabulary(tokenizer, ids, vocabulary[EOS], size, tokenizer.to_str(), roles, f"corpus.tokenizer={spec}")


@contextlib.contextmanager
def telling_unknown_words(vocabulary: Vocabulary, texts: list[str]) -> Iterator[None]:
    """While texts are encoded, say of a word that a tokenizer has no token for, and no unknown token, that it is so.

    Raises:
        InputError: there is one.
    """
    try:
        yield
    except (InputError, Stopped, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises a bare Exception, or panics
        word = next((word for text in texts for word in text.split() if not _knows(vocabulary, word)), "the text")
        unk = json.loads(vocabulary.text)["model"].get("unk_token")
        lack = f"its unknown token {unk!r} is not in its vocabulary" if unk else "it has no unknown token"
        is_lack = re.search(r"\bunk", str(error), re.IGNORECASE)
        raise InputError(
            f"{vocabulary.name}: cannot encode {word[:40]!r}{f', and {lack}' if is_lack else ''} "
            f"({first_line(error)}); {'add it, or ' if is_lack else ''}give another tokenizer"
        ) from error


def _knows(vocabulary: Vocabulary, word: str) -> bool:
    try:
        vocabulary.tokenizer.encode(word, add_special_tokens=False)
    except BaseException:  # as above
        return False
    return True


def tokenizer_is_given(spec: str) -> bool:
    """Whether `corpus.tokenizer` names the tokenizer of another model."""
    return spec.partition(":")[0] in ("file", "hub")


def tokenizer_file(spec: str, watcher: Watcher) -> Path | None:
    """The file of a tokenizer that is given, not trained: `file:PATH` or `hub:OWNER/NAME`; None for others.

    Raises:
        InputError: the Hub does not give it.
    """
    kind, _, place = spec.partition(":")
    return fetch_tokenizer(place, watcher) if kind == "hub" else Path(place) if kind == "file" else None


def read_tokenizer(path: Path) -> str:
    """The text of a `tokenizer.json`.

    Raises:
        InputError: it cannot be read.
    """
    if path.is_dir():
        path = path / "tokenizer.json"
    try:
        content = read_regular_file(path, MAX_TOKENIZER_BYTES)
    except OSError as error:
        raise InputError(f"--tokenizer {path}: cannot be read ({error.strerror}); {NEEDED}") from error
    if wrong := what_is_wrong(path, content):
        raise InputError(f"--tokenizer {path}: {wrong}")
    if len(content) > MAX_TOKENIZER_BYTES:
        raise InputError(f"--tokenizer {path}: is over the limit of {MAX_TOKENIZER_BYTES:,} bytes; {NEEDED}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"--tokenizer {path}: is not UTF-8 text; {NEEDED}") from error


def given_vocabulary(path: Path, text: str) -> Vocabulary:
    """A tokenizer as it is, its special tokens taken for ours by their role; a role that it lacks gets a new token.

    The other tokens keep their order, so that V is that of the model whose tokenizer it is, but for new tokens.

    Raises:
        InputError: it is no tokenizer.
    """
    with told(f"--tokenizer {path}", "is no sound tokenizer.json", NEEDED):
        tokenizer = Tokenizer.from_str(text)
        unk = json.loads(text)["model"].get("unk_token")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    turn_off_dropout(tokenizer)
    tokenizer.encode_special_tokens = True
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if len(vocabulary) < 2:
        raise InputError(f"--tokenizer {path}: has {len(vocabulary)} tokens; give one with a vocabulary")
    if max(vocabulary.values()) >= MAX_TOKEN_IDS:
        raise InputError(
            f"--tokenizer {path}: has a token with the id {max(vocabulary.values()):,}, over the limit of "
            f"{MAX_TOKEN_IDS:,}; number its tokens from 0"
        )
    taken: dict[str, int] = {}
    for role, names in ROLES.items():
        called = [unk, *names] if role == UNK and isinstance(unk, str) else names
        found = [vocabulary[name] for name in called if name in vocabulary and vocabulary[name] not in taken.values()]
        if found:
            taken[role] = found[0]
    ids = np.full(max(vocabulary.values()) + 1, UNK_ID, dtype=np.int32)
    words = sorted(set(vocabulary.values()) - {taken[role] for role in SPECIAL_TOKENS if role in taken})
    ids[words] = np.arange(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + len(words))
    size = len(SPECIAL_TOKENS) + len(words)
    eos_id = int(ids[taken[EOS]]) if EOS in taken else size
    return Vocabulary(tokenizer, ids, eos_id, size + (EOS not in taken), text, taken, f"--tokenizer {path}")


def sha256_of(text: str) -> str:
    """Of a tokenizer as text."""
    return hashlib.sha256(text.encode()).hexdigest()

"""Text and a tokenizer → the files of a folder: ids of each split, and what they are counted to.

What an ended process has encoded is not encoded again: `progress.json` says how far the files are whole.
"""

from __future__ import annotations

import json
import os
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from tiedlm.atomic_file import write_atomically
from tiedlm.config.corpus_config import MAX_SEQ_LENGTH, SPLITS
from tiedlm.config.strict import Strict
from tiedlm.data.encoding_limits import enter_encoding
from tiedlm.data.sources.corpus import Corpus
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.data.sources.pieces import Piece, TextCounts
from tiedlm.data.tokenizer import Vocabulary, sha256_of, telling_unknown_words
from tiedlm.data.tokenizer_kinds import bytes_left_out, dropping
from tiedlm.errors import InputError
from tiedlm.masked_batch import PAD_ID, UNK, UNK_ID
from tiedlm.processes.guarded_process import Guard

ID_TYPE = np.dtype("<i4")
META_FILE, PROGRESS_FILE = "meta.json", "progress.json"
BATCHES_BETWEEN_SAVES = 16


class _Encoded(Strict):
    """How much of a split stands in its file."""

    num_batches: int = 0
    num_tokens: int = 0
    num_unk: int = 0
    num_lines: int = 0
    num_words: int = 0
    num_bytes: int = 0
    is_whole: bool = False

    def plus(self, batch: list[Piece], ids: npt.NDArray[np.int32]) -> _Encoded:
        """With one more batch."""
        counts = TextCounts(self.num_lines, self.num_words, self.num_bytes).plus(batch)
        return _Encoded(
            num_batches=self.num_batches + 1,
            num_tokens=self.num_tokens + len(ids),
            num_unk=self.num_unk + int((ids == UNK_ID).sum()),
            **counts._asdict(),
        )


class _Progress(Strict):
    """Of a folder."""

    tokenizer_sha256: str
    splits: dict[str, _Encoded] = Field(default_factory=dict)


class EncodedPieces(NamedTuple):
    """Some text as tokens."""

    ids: npt.NDArray[np.int32]
    """(num_tokens,)."""
    num_tokens: npt.NDArray[np.int64]
    """(num_pieces,): of each piece, with the end of its line."""


def encode_pieces(vocabulary: Vocabulary, batch: list[Piece]) -> npt.NDArray[np.int32]:
    """The ids of some text, each line with its end.

    Raises:
        InputError: as `encode_by_piece`.
    """
    return encode_by_piece(vocabulary, batch).ids


def encode_by_piece(vocabulary: Vocabulary, batch: list[Piece]) -> EncodedPieces:
    """The ids of some text, each line with its end, and how many each piece has.

    Raises:
        InputError: it has a word that the tokenizer does not know, which has no unknown token.
    """
    texts = [piece.text for piece in batch]
    with telling_unknown_words(vocabulary, texts):
        encodings = vocabulary.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    end = len(vocabulary.ids)  # no id of the tokenizer, so that nothing in the text can be taken for the line's end
    of_pieces = (
        (*encoding.ids, end) if piece.ends_line else encoding.ids
        for encoding, piece in zip(encodings, batch, strict=True)
    )
    ids = np.append(vocabulary.ids, vocabulary.eos_id)[np.fromiter(chain.from_iterable(of_pieces), dtype=ID_TYPE)]
    lengths = [len(encoding) + piece.ends_line for encoding, piece in zip(encodings, batch, strict=True)]
    return EncodedPieces(ids.astype(ID_TYPE, copy=False), np.array(lengths, dtype=np.int64))


def write_tokens(folder: Path, corpus: Corpus, vocabulary: Vocabulary, guard: Guard) -> None:
    """Fill a folder, or what is still to be filled of one.

    Raises:
        InputError: the tokenizer knows nothing of the text.
    """
    write_atomically(folder / TOKENIZER_FILE, vocabulary.text)
    meta: dict[str, Any] = {
        "vocab_size": vocabulary.size,
        "tokenizer_sha256": sha256_of(vocabulary.text),
        "text_sha256": corpus.sha256,
        **{name: {} for name in ("num_tokens", "num_unk", "num_words", "num_bytes", "num_bytes_left_out")},
    }
    probe = dropping(vocabulary.tokenizer)
    for split in SPLITS:
        encoded = _write_ids(folder, vocabulary, corpus, split, guard)
        if split == "train" and encoded.num_tokens == encoded.num_unk + encoded.num_lines:
            raise InputError(
                f"{vocabulary.name}: knows nothing of corpus {corpus.name!r}: its train split is {UNK} alone; give a "
                "tokenizer for this text"
            )
        for name in ("num_tokens", "num_unk", "num_words", "num_bytes"):
            meta[name][split] = getattr(encoded, name)
        meta["num_bytes_left_out"][split] = 0
        if probe is not None:
            left_out = (bytes_left_out(probe, [piece.text for piece in batch]) for batch in corpus.batches(split))
            meta["num_bytes_left_out"][split] = sum(left_out)
    (folder / PROGRESS_FILE).unlink(missing_ok=True)
    (folder / META_FILE).write_text(json.dumps(meta))


def _write_ids(folder: Path, vocabulary: Vocabulary, corpus: Corpus, split: str, guard: Guard) -> _Encoded:
    """Write a split's ids, from where its file is whole."""
    path, progress = folder / f"{split}.ids", _read_progress(folder, vocabulary)
    encoded = progress.splits.get(split, _Encoded())
    if encoded.is_whole:
        return encoded
    path.touch()
    with path.open("r+b") as file:
        file.truncate(encoded.num_tokens * ID_TYPE.itemsize)
        file.seek(0, 2)
        # what is there already is read once more, since its hash tells whether the text is the same
        for batch in islice(corpus.batches(split), encoded.num_batches, None):
            enter_encoding(guard, [piece.text for piece in batch])
            ids = encode_pieces(vocabulary, batch)
            file.write(ids.tobytes())
            encoded = encoded.plus(batch, ids)
            if encoded.num_batches % BATCHES_BETWEEN_SAVES == 0:
                _sync(file)  # what the progress counts is on the disk before it says so
                _save_progress(folder, progress, split, encoded)
        # The padding of the last block, however long blocks are; zeros at the end of a file take no disk.
        assert PAD_ID == 0
        file.truncate((encoded.num_tokens + MAX_SEQ_LENGTH) * ID_TYPE.itemsize)
        _sync(file)
    encoded = encoded.model_copy(update={"is_whole": True})
    _save_progress(folder, progress, split, encoded)
    return encoded


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read_progress(folder: Path, vocabulary: Vocabulary) -> _Progress:
    """What stands there, of the same tokenizer."""
    none = _Progress(tokenizer_sha256=sha256_of(vocabulary.text))
    try:
        found = _Progress.model_validate_json((folder / PROGRESS_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return none
    has_files = all(
        (folder / f"{split}.ids").exists()
        and (folder / f"{split}.ids").stat().st_size >= encoded.num_tokens * ID_TYPE.itemsize
        for split, encoded in found.splits.items()
    )
    return found if has_files and found.tokenizer_sha256 == none.tokenizer_sha256 else none


def _save_progress(folder: Path, progress: _Progress, split: str, encoded: _Encoded) -> None:
    splits = {**progress.splits, split: encoded}
    write_atomically(folder / PROGRESS_FILE, progress.model_copy(update={"splits": splits}).model_dump_json())

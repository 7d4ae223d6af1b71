"""A split as a model reads it: its tokens, and in which stretch of the text each of them stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tiedlm.data.sources.corpus import Corpus
from tiedlm.errors import InputError
from tiedlm.exchange.scored_model import ScoredModel
from tiedlm.masked_batch import UNK_ID

STRETCH_BYTES = 512
"""About as long as a block, so that a run of stretches, too, is as long as a text resembles itself."""


@dataclass(frozen=True)
class Reading:
    """What two models must have in common to be scored on the same tokens, and the sizes of what they have not."""

    tokens_sha256: str
    """Of the split's token ids."""
    seq_length: int
    eval_mask_seed: int
    has_line_ends: bool
    """Whether the end of a line is one of the tokens."""
    stretch_num_tokens: npt.NDArray[np.int64]
    stretch_num_bytes: npt.NDArray[np.int64]
    """Of UTF-8, without line ends."""
    stretch_num_lines: npt.NDArray[np.int64]
    """(num_stretches,) each; whole lines, the same for every model, but that a very long line may be cut."""


@dataclass(frozen=True)
class SplitText:
    """The tokens themselves."""

    ids: npt.NDArray[np.int32]
    """(num_tokens,)."""
    groups: npt.NDArray[np.int32]
    """(num_tokens,): the stretch of each token; that of a line's end is counted from `num_stretches` on."""
    num_bytes_left_out: int | None
    """Of characters that its tokenizer has no token for; None where it does not tell."""
    reading: Reading

    @property
    def num_bytes(self) -> int:
        """Of UTF-8, and one more for the end of each line, where that is one of the tokens."""
        num_line_ends = self.reading.stretch_num_lines.sum() if self.reading.has_line_ends else 0
        return int(self.reading.stretch_num_bytes.sum() + num_line_ends)


def read_split(scored: ScoredModel, corpus: Corpus, split: str) -> SplitText:
    """Encode a split.

    Raises:
        InputError: the model's tokenizer cannot read it, knows nothing of it, or makes less than a block of it.
    """
    ids, left_out, num_tokens, num_bytes, ends_line = [], [], [], [], []
    for batch in corpus.batches(split):
        encoded = scored.encode(batch)
        ids.append(encoded.ids)
        left_out += [] if encoded.num_bytes_left_out is None else [encoded.num_bytes_left_out]
        num_tokens.append(encoded.num_tokens)
        num_bytes += [len(piece.text.encode()) for piece in batch]
        ends_line += [piece.ends_line for piece in batch]
    of_pieces, has_end = np.concatenate(num_tokens), np.array(ends_line)
    stretches = _stretches(np.array(num_bytes))
    num_stretches = int(stretches[-1]) + 1
    groups = np.repeat(stretches.astype(np.int32), of_pieces)
    if scored.has_line_ends:
        groups[np.cumsum(of_pieces)[has_end] - 1] += num_stretches
    of_stretches = [np.bincount(stretches, sizes).astype(np.int64) for sizes in (of_pieces, num_bytes, has_end)]
    together = np.concatenate(ids)
    _check_readable(together, scored, corpus.name, split)
    digest = hashlib.sha256(together.tobytes()).hexdigest()
    reading = Reading(digest, scored.seq_length, scored.eval_mask_seed, scored.has_line_ends, *of_stretches)
    return SplitText(together, groups, sum(left_out) if left_out else None, reading)


def _check_readable(ids: npt.NDArray[np.int32], scored: ScoredModel, name: str, split: str) -> None:
    if len(ids) and (ids == UNK_ID).all():
        raise InputError(
            f"{scored.name}: its tokenizer knows no token of the {split} split of {name}, all are unknown; give the "
            "tokenizer that belongs to the model, or a text in its language"
        )
    if len(ids) < scored.seq_length:
        raise InputError(
            f"corpus {name!r}: its {split} split has {len(ids)} tokens, fewer than one block of {scored.seq_length}; "
            "give more text, or a smaller --seq-length"
        )


def read_splits(
    scored: ScoredModel, corpus: Corpus, splits: tuple[str, ...], on_progress: Callable[[str, float], None]
) -> dict[str, Reading]:
    """How a model reads some splits, without a score.

    Raises:
        InputError: its tokenizer cannot read them.
    """
    found = {}
    for split in splits:
        on_progress(f"reading {split}", 0.0)
        found[split] = read_split(scored, corpus, split).reading
    return found


def _stretches(num_bytes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The stretch of each piece of a text, (num_pieces,): a new one wherever so many bytes more have begun.

    Lines of no bytes go with those before them, so that no stretch is empty.
    """
    cells = (np.cumsum(num_bytes) - num_bytes) // STRETCH_BYTES
    has_text = num_bytes > 0
    stretches = np.zeros(len(num_bytes), dtype=np.int64)
    stretches[has_text] = np.unique(cells[has_text], return_inverse=True)[1]
    return np.maximum.accumulate(stretches)

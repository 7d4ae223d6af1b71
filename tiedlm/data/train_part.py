"""Which blocks of train are trained on, and their text, which is all of train where `vocabulary = "fraction"`.

For words, the part has the very tokens of these blocks, in their order, so its blocks are the same again. Blocks of BPE
depend on its vocabulary, so there the part has the lines that begin in these blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.data.sources.corpus import Corpus
from tiedlm.data.sources.pieces import Piece
from tiedlm.data.tokenizer import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor


def chosen_blocks(config: CorpusConfig, num_tokens: int) -> Tensor:
    """The numbers of the blocks that are trained on, where train has so many tokens: (num_train_blocks,), rising."""
    import torch  # here, since those who count or fetch need none

    from tiedlm.generators import make_generator

    order = torch.randperm(config.num_blocks(num_tokens), generator=make_generator(config.fraction_seed, "fraction"))
    return order[: config.num_train_blocks(num_tokens)].sort().values


@dataclass(frozen=True, kw_only=True)
class PartOfTrain(Corpus):
    """A corpus whose train is the part that is trained on; its hashes stay those of the whole text."""

    vocabulary: Vocabulary
    """That of the whole train, which decides the blocks."""
    seq_length: int
    is_chosen: npt.NDArray[np.bool_]
    """(num_blocks,) of the whole train."""
    by_words: bool
    """Whether the part is of words rather than of lines."""

    @staticmethod
    def of(corpus: Corpus, config: CorpusConfig, vocabulary: Vocabulary, num_tokens: int) -> PartOfTrain:
        """The part that `config` takes of a train of so many tokens of this vocabulary."""
        is_chosen = np.zeros(config.num_blocks(num_tokens), dtype=np.bool_)
        is_chosen[chosen_blocks(config, num_tokens).numpy()] = True
        return PartOfTrain(
            **vars(corpus),
            vocabulary=vocabulary,
            seq_length=config.seq_length,
            is_chosen=is_chosen,
            by_words=config.tokenizer.partition(":")[0] == "word",
        )

    def batches(self, split: str) -> Iterator[list[Piece]]:
        """The lines of a split in order, of train those of the part.

        Raises:
            InputError: the text is not the one that was hashed.
        """
        whole = super().batches(split)
        return self._part(whole) if split == "train" else whole

    def _part(self, batches: Iterator[list[Piece]]) -> Iterator[list[Piece]]:
        place, begins_line, keeps_line = 0, True, False
        for batch in batches:
            part: list[Piece] = []
            encodings = self.vocabulary.tokenizer.encode_batch(
                [piece.text for piece in batch], add_special_tokens=False
            )
            for piece, encoding in zip(batch, encodings, strict=True):
                places = np.arange(place, place + len(encoding.ids) + piece.ends_line)
                if self.by_words:
                    part += _kept_words(piece, encoding.offsets, self.is_chosen[places // self.seq_length])
                else:
                    keeps_line = bool(self.is_chosen[place // self.seq_length]) if begins_line else keeps_line
                    part += [piece] if keeps_line else []
                place, begins_line = place + len(places), piece.ends_line
            if part:
                yield part


def _kept_words(piece: Piece, offsets: list[tuple[int, int]], is_kept: npt.NDArray[np.bool_]) -> Iterator[Piece]:
    """The words of a piece that are kept, (num_words + 1,) if it ends a line; each run of them a piece of its own."""
    if is_kept.all():
        yield piece
        return
    ends = np.flatnonzero(np.diff(is_kept, prepend=False, append=False)).tolist()
    for first, end in zip(ends[::2], ends[1::2], strict=True):
        words = offsets[first:end]
        text = piece.text[words[0][0] : words[-1][1]] if words else ""
        yield Piece(text, piece.ends_line and end > len(offsets))

"""Any masked LM, as the fold evaluation sees one: a run of ours, or a model of `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tiedlm.data.sources.pieces import Piece
from tiedlm.data.token_files import encode_by_piece
from tiedlm.data.tokenizer_kinds import bytes_left_out, dropping
from tiedlm.exchange.trained_run import TrainedRun
from tiedlm.training.fold_evaluation import Scorer


class EncodedText(NamedTuple):
    """Some text as tokens."""

    ids: npt.NDArray[np.int32]
    """(num_tokens,)."""
    num_tokens: npt.NDArray[np.int64]
    """(num_pieces,): of each piece, with the end of its line where that is a token."""
    num_bytes_left_out: int | None
    """Of characters that it has no token for; None where the tokenizer does not tell."""


@dataclass(frozen=True)
class ScoredModel:
    """A model and what it takes to score a text by it."""

    name: str
    kind: str
    """Its class."""
    model: Scorer
    encode: Callable[[list[Piece]], EncodedText]
    """Text → token ids here, where `[PAD]`, `[MASK]` and `[UNK]` are the first three."""
    num_ids: int
    """Of the ids here."""
    vocab_size: int
    """Rows of its table."""
    has_line_ends: bool
    """Whether the end of a line is one of the tokens."""
    seq_length: int
    """Tokens of a block, those around it not counted."""
    eval_mask_seed: int
    is_tied: bool
    """Measured on the tensors."""
    num_parameters: int
    notes: list[str]
    """What its files leave open."""


def score_run(run: TrainedRun, name: str) -> ScoredModel:
    """A run of ours, scored in the blocks in which it was trained."""
    record, model = run.record, run.model

    probe = dropping(run.vocabulary.tokenizer)

    def encode(batch: list[Piece]) -> EncodedText:
        left_out = bytes_left_out(probe, [piece.text for piece in batch]) if probe is not None else 0
        return EncodedText(*encode_by_piece(run.vocabulary, batch), left_out)

    return ScoredModel(
        name=name,
        kind=f"{model.config.encoder} of tiedlm",
        model=model,
        encode=encode,
        num_ids=record.data.vocab_size,
        vocab_size=record.data.vocab_size,
        has_line_ends=True,
        seq_length=record.config.corpus.seq_length,
        eval_mask_seed=record.config.train.eval_mask_seed,
        is_tied=model.is_tied,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        notes=run.notes,
    )

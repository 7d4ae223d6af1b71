"""Any masked LM, as the fold evaluation sees one: a run of ours, or a model of `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiedlm.data.sources.pieces import Piece
from tiedlm.data.tokens import encode_pieces
from tiedlm.exchange.trained_run import open_run
from tiedlm.training.fold_evaluation import Scorer


@dataclass(frozen=True)
class ScoredModel:
    """A model and what it takes to score a text by it."""

    name: str
    kind: str
    """Its class."""
    model: Scorer
    encode: Callable[[list[Piece]], npt.NDArray[np.int32]]
    """Text → token ids here, where `[PAD]`, `[MASK]` and `[UNK]` are the first three."""
    vocab_size: int
    """Of the ids here."""
    has_line_ends: bool
    """Whether the end of a line is one of the tokens."""
    seq_length: int
    """Tokens of a block, those around it not counted."""
    eval_mask_seed: int
    is_tied: bool
    """Measured on the tensors."""
    num_parameters: int
    corpus: str | None
    """On which it was trained, where that is known."""
    text_sha256: dict[str, str] | None


def score_run(path: Path) -> ScoredModel:
    """A run of ours, scored in the blocks in which it was trained.

    Raises:
        InputError: something of it is missing, damaged, or of another run.
    """
    run = open_run(path)
    record, model = run.record, run.model

    def encode(batch: list[Piece]) -> npt.NDArray[np.int32]:
        return encode_pieces(run.vocabulary, batch)

    return ScoredModel(
        name=str(path),
        kind=f"{model.config.encoder} of tiedlm",
        model=model,
        encode=encode,
        vocab_size=record.data.vocab_size,
        has_line_ends=True,
        seq_length=record.config.corpus.seq_length,
        eval_mask_seed=record.config.train.eval_mask_seed,
        is_tied=model.is_tied,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        corpus=record.data.corpus,
        text_sha256=record.data.text_sha256,
    )

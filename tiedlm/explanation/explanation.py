"""What the head does at one masked place: its parts as numbers, from the hidden vector to the probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tiedlm.explanation.head_view import HeadView

NUM_CANDIDATES = 6
NUM_NEIGHBOURS = 5
NUM_SHOWN = 4
"""Numbers of a vector that are shown."""


@dataclass(frozen=True)
class Vector:
    """A vector by its beginning, its size and its norm √(Σ x²)."""

    size: int
    norm: float
    begins: list[float]


@dataclass(frozen=True)
class Candidate:
    """A word that may be meant: score = |guess| · |row| · cosine + bias."""

    token: str
    token_id: int
    row_norm: float
    cosine: float
    product: float
    """The inner product of guess and row."""
    bias: float
    score: float
    probability: float


@dataclass(frozen=True)
class Neighbour:
    """A word whose row points in nearly the same direction."""

    token: str
    cosine: float


@dataclass(frozen=True)
class Row:
    """A word's row in one of the matrices."""

    vector: Vector
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class Explanation:
    """One sentence through the head of one model."""

    model: str
    tokens: list[str]
    place: int
    vocab_size: int
    hidden_size: int
    row_size: int
    """Numbers of a row; below `hidden_size` where the table is factorised."""
    is_tied: bool
    num_parameters: int
    """Of the whole model; a shared tensor counts once."""
    hidden: Vector
    guess: Vector
    candidates: list[Candidate]
    log_sum_exp: float
    """log Σ exp(score) over the vocabulary: a probability is exp(score − this)."""
    word: str
    """The first candidate that is no special token; the rows below are its."""
    word_id: int
    output_row: Row
    """In the matrix that scores it."""
    input_row: Row
    """In the word-embedding table, by which it enters the model."""
    cosine_of_rows: float
    """Between the two; 1 where they are one."""
    unknown: list[str]
    """Words of the sentence that the model reads as its unknown token."""
    notes: list[str]
    """What the model's files leave open."""

    @property
    def best(self) -> Candidate:
        """The candidate that `word` is."""
        return next(candidate for candidate in self.candidates if candidate.token_id == self.word_id)


@dataclass(frozen=True)
class Explanations:
    """One sentence through the head of each model that was asked."""

    schema_version: Literal[1] = field(default=1, init=False)
    explanations: list[Explanation]


def explain_head(view: HeadView) -> Explanation:
    """Compute every part from the tensors of the head."""
    guess, rows = view.guess.float(), view.output_rows.float()
    products = rows @ guess  # (V,)
    scores = products + view.bias
    log_probabilities = scores.log_softmax(0)
    norms = rows.norm(dim=1)
    top = scores.topk(min(NUM_CANDIDATES, len(scores))).indices.tolist()
    candidates = [
        Candidate(
            token=view.token_names(token),
            token_id=token,
            row_norm=float(norms[token]),
            cosine=float(F.cosine_similarity(rows[token], guess, dim=0)),
            product=float(products[token]),
            bias=float(view.bias[token]),
            score=float(scores[token]),
            probability=float(log_probabilities[token].exp()),
        )
        for token in top
    ]
    first = next((token for token in top if view.is_word(token)), top[0])
    table = view.input_rows.float()
    return Explanation(
        model=view.name,
        tokens=view.tokens,
        place=view.place,
        vocab_size=len(rows),
        hidden_size=len(view.hidden),
        row_size=rows.shape[1],
        is_tied=view.is_tied,
        num_parameters=view.num_parameters,
        hidden=_vector(view.hidden),
        guess=_vector(guess),
        candidates=candidates,
        log_sum_exp=float(scores.logsumexp(0)),
        word=view.token_names(first),
        word_id=first,
        output_row=_row(view, rows, first),
        input_row=_row(view, table, first),
        cosine_of_rows=float(F.cosine_similarity(rows[first], table[first], dim=0)),
        unknown=view.unknown,
        notes=view.notes,
    )


def _vector(vector: Tensor) -> Vector:
    return Vector(len(vector), float(vector.norm()), vector[:NUM_SHOWN].tolist())


def _row(view: HeadView, rows: Tensor, token: int) -> Row:
    cosines = F.cosine_similarity(rows, rows[token], dim=1)
    nearest = torch.argsort(cosines, descending=True).tolist()
    others = (other for other in nearest if other != token and view.is_word(other))
    chosen = [other for _, other in zip(range(NUM_NEIGHBOURS), others, strict=False)]
    return Row(_vector(rows[token]), [Neighbour(view.token_names(other), float(cosines[other])) for other in chosen])

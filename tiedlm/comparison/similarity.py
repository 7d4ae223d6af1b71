"""How alike the matrices of two models are: measured on models, which are not kept, and so a record of its own."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field

from tiedlm.config.strict import Name, Strict

Share = Annotated[float, Field(ge=0.0, le=1.0 + 1e-9)]


class MatrixPair(Strict):
    """A matrix of a run beside the word-embedding table of the tied run."""

    arm: Name
    seed: Annotated[int, Field(ge=0)]
    records_sha256: tuple[str, str]
    """Of the run and of the tied run."""
    matrix: Annotated[str, Field(pattern="^(input|output)$")]
    """By which its tokens enter, or by which they are scored."""
    tied_seed: Annotated[int, Field(ge=0)]
    """Of the tied run: the same seed; of another one for the tied arm itself, which tells how alike seeds are."""
    linear_cka: Share
    neighbour_overlap: Share


class Similarity(Strict):
    """Of all runs of a folder whose models were there."""

    schema_version: Literal[1] = 1
    num_tokens: Annotated[int, Field(gt=0)]
    """The most frequent of train, special tokens left out."""
    pairs: list[MatrixPair]
    sha256: str = ""
    """Of all the above as JSON."""

    def own_sha256(self) -> str:
        """What `sha256` must be."""
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()


class MatrixSimilarity(Strict):
    """The mean over seeds of one arm's matrix."""

    arm: Name
    matrix: str
    num_seeds: int
    linear_cka: float
    neighbour_overlap: float


def summarise(similarity: Similarity, records_sha256: Collection[str]) -> list[MatrixSimilarity]:
    """A line for each arm and matrix, of the pairs of these records."""
    grouped: dict[tuple[str, str], list[MatrixPair]] = {}
    for pair in similarity.pairs:
        if not set(pair.records_sha256) <= set(records_sha256):
            continue
        grouped.setdefault((pair.arm, pair.matrix), []).append(pair)
    return [
        MatrixSimilarity(
            arm=arm,
            matrix=matrix,
            num_seeds=len(pairs),
            linear_cka=statistics.fmean(pair.linear_cka for pair in pairs),
            neighbour_overlap=statistics.fmean(pair.neighbour_overlap for pair in pairs),
        )
        for (arm, matrix), pairs in grouped.items()
    ]

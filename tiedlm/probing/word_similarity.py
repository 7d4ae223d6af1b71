"""Word pairs with people's scores of likeness, and what the cosines of their rows have to do with these."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tiedlm.errors import InputError
from tiedlm.probing.pair_file import read_lines

WORDS, SIMLEX_SCORE = ("word1", "word2"), "SimLex999"
FEWEST_PAIRS = 4
"""For an interval, whose width has n − 3 below the line."""
SHAPE = (
    "give a table of word, word and score, with tabs or commas between, or SimLex-999's, whose header has word1, word2 "
    "and SimLex999"
)


@dataclass(frozen=True)
class WordPair:
    """Two words, and how alike people find them."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class Cosines:
    """What one model's rows give for word pairs."""

    model: str
    kind: str
    is_tied: bool
    num_parameters: int
    notes: list[str]
    """What its files leave open."""
    has_both: list[bool]
    """Of each pair: whether both words are one token each, and known."""
    of_input_rows: list[float]
    """Of those pairs."""
    of_output_rows: list[float] | None
    """None where the model keeps no output rows apart."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's, of cosines with people's scores."""

    spearman: float | None
    """None where all cosines are equal, or there are no two pairs."""
    ci95: tuple[float, float] | None
    """None below four pairs."""


@dataclass(frozen=True)
class SimilarityScores:
    """How a model's rows agree with people on the likeness of words."""

    schema_version: Literal[1] = field(default=1, init=False)
    model: str
    kind: str
    is_tied: bool
    num_parameters: int
    file: str
    num_pairs: int
    num_with_both_words: int
    """Pairs of which both words are one token each, and known; only these are compared."""
    input_rows: Correlation
    output_rows: Correlation | None
    """Of the rows that score; None where the model keeps none apart. Tied, they are the input rows."""
    notes: list[str]


def read_word_pairs(path: Path) -> list[WordPair]:
    """Read word pairs with scores, with tabs or, where the first line has none, commas between the columns.

    The header may name the columns as SimLex-999 does (Hill et al. 2015); else there are three, and a header that is
    none of a pair is passed over.

    Raises:
        InputError: the file cannot be read, has no pair, or a line is none; the line and the field are named.
    """
    lines = read_lines(path, "--similarity", "a table of word, word and score")
    has_tabs = "\t" in lines[0]
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if has_tabs else csv.reader(lines)
    try:
        rows = [row for row in enumerate(reader, 1) if any(row[1])]
    except csv.Error as error:
        raise InputError(f"--similarity {path}: is no table ({error}); {SHAPE}") from error
    columns = (0, 1, 2)
    if rows and {*WORDS, SIMLEX_SCORE} <= set(rows[0][1]):
        header = rows.pop(0)[1]
        columns = (header.index(WORDS[0]), header.index(WORDS[1]), header.index(SIMLEX_SCORE))
    elif rows and len(rows[0][1]) == 3 and _number(rows[0][1][2]) is None:
        rows.pop(0)
    elif rows and len(rows[0][1]) != 3:
        raise InputError(f"{path}, line {rows[0][0]}: has {len(rows[0][1])} columns, not 3; {SHAPE}")
    pairs = [_pair(row, columns, f"{path}, line {number}") for number, row in rows]
    if not pairs:
        raise InputError(f"--similarity {path}: has no pair of words; {SHAPE}")
    if len({pair.score for pair in pairs}) == 1 < len(pairs):
        raise InputError(f"--similarity {path}: all pairs have the score {pairs[0].score:g}; give scores that differ")
    return pairs


def _pair(row: Sequence[str], columns: tuple[int, int, int], place: str) -> WordPair:
    if len(row) <= max(columns):
        raise InputError(f"{place}: has {len(row)} columns, not {max(columns) + 1} or more; {SHAPE}")
    first, second, told = (row[column].strip() for column in columns)
    if not first or not second:
        raise InputError(f"{place}: a word is empty; give two")
    score = _number(told)
    if score is None:
        raise InputError(f"{place}: the score {told[:40]!r} is no finite number; correct it")
    return WordPair(first, second, score)


def _number(told: str) -> float | None:
    try:
        number = float(told)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def correlate(cosines: Cosines, pairs: Sequence[WordPair], file: str) -> SimilarityScores:
    """Spearman's correlations of the cosines with the scores."""
    scores = [pair.score for pair, has in zip(pairs, cosines.has_both, strict=True) if has]
    of_output = cosines.of_output_rows
    return SimilarityScores(
        model=cosines.model,
        kind=cosines.kind,
        is_tied=cosines.is_tied,
        num_parameters=cosines.num_parameters,
        file=file,
        num_pairs=len(pairs),
        num_with_both_words=len(scores),
        input_rows=spearman(cosines.of_input_rows, scores),
        output_rows=None if of_output is None else spearman(of_output, scores),
        notes=cosines.notes,
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> Correlation:
    """Spearman's ρ with the 95 % interval tanh(atanh ρ ± 1.96 √((1 + ρ²/2) / (n − 3))).

    Bonett & Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations".
    """
    if len(set(first)) < 2 or len(set(second)) < 2:
        return Correlation(None, None)
    from scipy import stats  # here, since it takes long to import

    rho = float(stats.spearmanr(first, second).statistic)
    if len(first) < FEWEST_PAIRS:
        return Correlation(rho, None)
    if abs(rho) >= 1.0:  # whose atanh is no number
        return Correlation(rho, (rho, rho))
    half_width = float(stats.norm.ppf(0.975)) * math.sqrt((1 + rho**2 / 2) / (len(first) - 3))
    low, high = np.tanh([math.atanh(rho) - half_width, math.atanh(rho) + half_width])
    return Correlation(rho, (float(low), float(high)))

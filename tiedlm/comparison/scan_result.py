"""Comparisons of one experiment under several values of some keys → Scan: when does tying help?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tiedlm.comparison.cell_tests import CellTests, cell_tests
from tiedlm.comparison.cells import cell_folders, cell_name
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.contrast_results import Cell, contrast_results
from tiedlm.comparison.tabular import Row, Tabular
from tiedlm.comparison.tested_differences import ContrastResult, Difference
from tiedlm.config.cell_values import CellValues
from tiedlm.config.contrasts import Contrasts
from tiedlm.config.run_config import neutral_values
from tiedlm.config.strict import Strict
from tiedlm.errors import InputError
from tiedlm.version import __version__

SCAN_SCHEMA_VERSION: Literal[6] = 6
MAX_CELLS_NAMED = 3


class ScanDesign(Strict):
    """Which keys were scanned over which values; a folder has one."""

    experiment: str
    values: CellValues

    def has_all_of(self, other: ScanDesign) -> bool:
        """Whether it scans the same keys, in their order, of the same experiment, and has all cells of the other."""
        same = (self.experiment, list(self.values)) == (other.experiment, list(other.values))
        return same and cell_folders(other.values).keys() <= cell_folders(self.values).keys()


class ScanCell(Strict):
    """One combination of values."""

    folder: str
    values: dict[str, Any]
    seeds: list[int]
    perplexities: dict[str, float]
    """Mean on valid, by arm."""
    bits_per_byte: dict[str, float]
    """The same loss over the bytes of the text."""
    unigram_perplexity: float
    """Of valid, by the token frequencies of the whole train split, or of its part if that makes the vocabulary."""
    unigram_bits_per_byte: float
    """The same over the bytes of the text."""
    differences: list[Difference]
    """Each cell alone, as its own report has them."""


class Scan(Strict, Tabular):
    """Everything the report of a scan says."""

    schema_version: Literal[6] = SCAN_SCHEMA_VERSION
    design: ScanDesign
    corpus: str
    """Of the first cell, where cells have several."""
    unit: Literal["nats a token", "bits a byte"]
    """Of the differences in `tests`: bits a byte where the cells cut a text into different tokens."""
    cells: list[ScanCell]
    contrasts: list[ContrastResult]
    """What was planned over the cells, in nats a token; where there is anything, it alone has verdicts."""
    tests: list[CellTests]
    """Every cell, for each pair of arms on each split: what the map shows."""
    missing: list[str]
    """Folders of combinations that have no two arms to compare yet."""
    shared_config: dict[str, Any]
    """What is equal in all cells and arms."""
    provenance: dict[str, list[str]]
    """The distinct values over all records."""
    notes: list[str]
    records_sha256: str
    """Of what all this follows from: the design, the records of its cells and this version."""

    @property
    def is_across_vocabularies(self) -> bool:
        """Whether a token is not the same in all cells, so that no number a token may be compared between them."""
        return self.unit == "bits a byte"

    def tables(self) -> dict[str, list[Row]]:
        """`cells`: each with each pair of arms and split, its interval where it has a verdict; `contrasts`, planned."""
        delta = "delta_bits_per_byte" if self.is_across_vocabularies else "delta_nats"
        rows = [
            {
                **{key: cell.values[key] for key in self.design.values},
                "arm": test.arms[1],
                "minus_arm": test.arms[0],
                "split": test.split,
                "seeds": len(cell.seeds),
                delta: result.mean,
                "ci95_low": None if result.ci95 is None else result.ci95[0],
                "ci95_high": None if result.ci95 is None else result.ci95[1],
                "verdict": result.verdict,
            }
            for cell in self.cells
            for test in self.tests
            if (result := test.cells.get(cell.folder)) is not None
        ]
        return {"cells": rows, "contrasts": [item.row() for item in self.contrasts]}

    def __repr__(self) -> str:
        """In a line for each contrast and each cell on valid; every field is in `model_dump()`."""
        contrasts = [f"  {item!r}" for item in self.contrasts if item.split == "valid"]
        cells = [
            f"  {cell_name(cell.values)}: {test.arms[1]} − {test.arms[0]} {result.mean:+.3f} {self.unit}: "
            f"{result.verdict}"
            for cell in self.cells
            for test in self.tests
            if test.split == "valid" and (result := test.cells.get(cell.folder)) is not None
        ]
        return "\n".join([f"{self.design.experiment}: {len(self.cells)} cells, on valid", *contrasts, *cells])

    __str__ = __repr__


def make_scan(design: ScanDesign, found: Mapping[str, Comparison], planned: Contrasts | None = None) -> Scan:
    """Put the comparisons of the cells together, by their folders, and test the contrasts over them.

    Raises:
        InputError: two cells differ in more than the scanned keys.
    """
    folders = cell_folders(design.values)
    first = next(iter(found.values()))
    for folder, comparison in found.items():
        for key, value in folders[folder].items():
            made_with = _shared(comparison).get(key)
            if made_with != value:
                raise InputError(f"{folder}: was made with {key}={made_with!r}; scan anew")
        for field, mine, theirs in _differing(first, comparison, tuple(design.values)):
            raise InputError(f"{folder}: differs from the other cells in {field} ({mine!r}, {theirs!r}); scan anew")
    cells = [_cell(folder, folders[folder], comparison) for folder, comparison in found.items()]
    told: dict[str, list[str]] = {}
    for folder, comparison in found.items():
        for note in comparison.notes:
            told.setdefault(note, []).append(cell_name(folders[folder]))
    notes = [f"{_cells_in_words(of, len(found))}: {note}" for note, of in told.items()]
    splits = list(next(iter(first.arms.values())).metrics)
    differences = {cell.folder: cell.differences for cell in cells}
    missing = [folder for folder in folders if folder not in found]
    across = _cut_differently(list(found.values()), tuple(design.values))
    of_arms = [Cell(comparison.arms, folders[folder]) for folder, comparison in found.items()]
    values_of_missing = [folders[folder] for folder in missing]
    made_of = [
        f"{SCAN_SCHEMA_VERSION} {__version__}",
        design.model_dump_json(),
        *(f"{folder} {comparison.records_sha256}" for folder, comparison in found.items()),
    ]
    return Scan(
        design=design,
        corpus=first.corpus,
        unit="bits a byte" if across else "nats a token",
        cells=cells,
        contrasts=[
            result
            for split in splits
            for result in contrast_results(planned, of_arms, split, missing=values_of_missing)
        ],
        tests=[
            test
            for split in splits
            for test in cell_tests(split, differences, _bits_of_a_nat(found, split) if across else None)
        ],
        missing=missing,
        shared_config=_without(first.shared_config, tuple(design.values)),
        provenance={
            field: sorted({value for comparison in found.values() for value in comparison.provenance[field]})
            for field in first.provenance
        },
        notes=notes,
        records_sha256=hashlib.sha256("\n".join(made_of).encode()).hexdigest(),
    )


def _cells_in_words(names: list[str], number: int) -> str:
    if len(names) == number:
        return "all cells"
    return "; ".join(names) if len(names) <= MAX_CELLS_NAMED else f"{len(names)} cells"


def _differing(first: Comparison, second: Comparison, keys: Sequence[str]) -> list[tuple[str, Any, Any]]:
    facts: list[tuple[str, Any, Any]] = [
        ("arms", list(first.arms), list(second.arms)),
        *(
            (f"arm {arm}", summary.overrides, second.arms[arm].overrides)
            for arm, summary in first.arms.items()
            if arm in second.arms
        ),
    ]
    mine, theirs = (_without(_shared(comparison), keys) for comparison in (first, second))
    facts += [(field, mine.get(field), theirs.get(field)) for field in {**mine, **theirs}]
    if not _decide_tokens(keys, mine):
        one, other = (next(iter(comparison.arms.values())).metrics["valid"] for comparison in (first, second))
        facts.append(("the unigram perplexity of valid", one.unigram_perplexity, other.unigram_perplexity))
    for field in ("device", "precision"):
        facts.append((field, first.provenance[field], second.provenance[field]))
    return [fact for fact in facts if fact[1] != fact[2]]


def _cut_differently(comparisons: Sequence[Comparison], keys: Sequence[str]) -> bool:
    """Whether the cells have different vocabularies; where all tokens are whole words, a token is the same in each."""
    shared = list(map(_shared, comparisons))
    are_words = all((of.get("corpus.tokenizer"), of.get("corpus.vocabulary")) == ("word", "whole") for of in shared)
    return _decide_tokens(keys, shared[0]) and not are_words


def _bits_of_a_nat(found: Mapping[str, Comparison], split: str) -> dict[str, float]:
    """How many bits a byte one nat a token is in each cell: its text has the same tokens and bytes in all arms."""
    return {
        folder: next(iter(comparison.arms.values())).metrics[split].bits_of_a_nat
        for folder, comparison in found.items()
    }


def _decide_tokens(keys: Sequence[str], shared: Mapping[str, Any]) -> bool:
    """Whether cells that differ in these keys may have other tokens, or other counts of them in train."""
    deciding = {"corpus.name", "corpus.tokenizer", "corpus.vocabulary"}
    if shared.get("corpus.vocabulary") == "fraction":
        deciding |= {"corpus.fraction", "corpus.fraction_seed", "corpus.seq_length"}
    return not deciding.isdisjoint(keys)


def _shared(comparison: Comparison) -> dict[str, Any]:
    """What is equal in all arms, neutral values too, which are not written."""
    overridden = {place for summary in comparison.arms.values() for place in summary.overrides}
    return _without(neutral_values(), tuple(overridden)) | comparison.shared_config


def _without(fields: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {field: value for field, value in fields.items() if field not in keys}


def _cell(folder: str, values: dict[str, Any], comparison: Comparison) -> ScanCell:
    valid = {arm: summary.metrics["valid"] for arm, summary in comparison.arms.items()}
    unigram = next(iter(valid.values())).unigram_perplexity
    return ScanCell(
        folder=folder,
        values=values,
        seeds=comparison.seeds,
        perplexities={arm: metrics.masked_lm_perplexity.mean for arm, metrics in valid.items()},
        bits_per_byte={arm: metrics.bits_per_byte.mean for arm, metrics in valid.items()},
        unigram_perplexity=unigram,
        unigram_bits_per_byte=math.log(unigram) * next(iter(valid.values())).bits_of_a_nat,
        differences=comparison.differences,
    )

"""Numbers of what runs are and what they took: parameters, vocabulary, epochs, seeds, minutes and machines."""

from __future__ import annotations

from loaded import all_records, comparison

from tiedlm.counting.shown.count_tables import percent
from tiedlm.record.run_record import RunRecord


def saved(folder: str) -> str:
    """What tying saves, in parameters and of the untied model: `1,280,384 (39.7 %)`."""
    found = comparison(folder).saved
    return f"{found.parameters:,} ({percent(found.fraction)})"


def vocab(folder: str) -> str:
    """How many tokens the vocabulary has, special ones included: `10,003`."""
    return f"{all_records(folder)[0].data.vocab_size:,}"


def epochs(folder: str) -> str:
    """How many times a run reads its text: `9.0`."""
    return f"{comparison(folder).trained_on.epochs:.1f}"


def num_runs(folder: str, besides: str = "") -> int:
    """How many records a folder has, with its cells and its tuning, besides those of another."""
    return len(_made_here(folder, besides))


def run_minutes(folder: str, besides: str = "") -> str:
    """What these runs took in sum, side by side or not."""
    return f"{sum(record.cost.total_seconds for record in _made_here(folder, besides)) / 60:.0f} minutes"


def made_on(folder: str) -> str:
    """The processors and devices of a folder's records, with those of its tuning."""
    return " and ".join(sorted({record.provenance.processor for record in all_records(folder)}))


def _made_here(folder: str, besides: str) -> list[RunRecord]:
    others = {record.sha256 for record in all_records(besides)} if besides else set()
    return [record for record in all_records(folder) if record.sha256 not in others]

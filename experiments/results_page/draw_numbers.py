"""Numbers over cells of a map that ask the same thing of other draws of a text.

A difference is untied − tied in nats a token, the mean over the cells, with its 95 % interval. `[UNK]` stands for the
words that a vocabulary does not have. Where that is the vocabulary of the train split, no training shows them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from loaded import records
from map_numbers import cell_folders

from tiedlm.comparison.paired_statistics import paired_t
from tiedlm.record.metrics import SplitMetrics
from tiedlm.reporting.wording import with_interval


def over_seeds(folder: str, split: str = "valid", **values: float | str) -> str:
    """Over seeds, these draws taken as they are: `-0.079 [-0.100, -0.057]`."""
    return _over_seeds(folder, split, values, lambda text: text.masked_lm_loss_nats)


def over_draws(folder: str, split: str = "valid", **values: float | str) -> str:
    """Over draws, each with the mean of its seeds."""
    leads = _leads(folder, split, values, lambda text: text.masked_lm_loss_nats)
    return _shown([statistics.fmean(of_cell) for of_cell in leads])


def draw_std(folder: str, **values: float | str) -> str:
    """How far the means over seeds of different draws lie apart on valid, as a standard deviation: `0.031`."""
    leads = _leads(folder, "valid", values, lambda text: text.masked_lm_loss_nats)
    return f"{statistics.stdev(statistics.fmean(of_cell) for of_cell in leads):.3f}"


def without_unk(folder: str, split: str = "valid", **values: float | str) -> str:
    """At the tokens that the vocabulary has, over seeds."""

    def nats(text: SplitMetrics) -> float:
        return (text.total_nll_nats - text.unk_nll_nats) / (text.num_tokens - text.num_unk)

    return _over_seeds(folder, split, values, nats)


def known_band(folder: str, least_count: int, split: str = "valid", **values: float | str) -> str:
    """The same at those that train has at least so often, up to the next band."""

    def nats(text: SplitMetrics) -> float:
        (band,) = (item for item in text.bands or [] if item.least_count == least_count)
        has_unk = least_count == 0
        return (band.total_nll_nats - has_unk * text.unk_nll_nats) / (band.num_tokens - has_unk * text.num_unk)

    return _over_seeds(folder, split, values, nats)


def unk_share(folder: str, split: str = "valid", **values: float | str) -> str:
    """Which share of the difference lies with `[UNK]`: `61 %`."""
    return _share(folder, split, values, lambda text: text.unk_nll_nats)


def share_below(folder: str, below: int, split: str = "valid", **values: float | str) -> str:
    """Which share of it lies with tokens that train has less often: `97 %`."""
    return _share(
        folder, split, values, lambda text: sum(b.total_nll_nats for b in text.bands or [] if b.least_count < below)
    )


def unk_loss(folder: str, arm: str, split: str = "valid", **values: float | str) -> str:
    """What an arm gives each `[UNK]` in nats, the lowest and the highest of its runs: `13.2 to 13.7`."""
    runs = [run.metrics[split] for cell in cell_folders(folder, **values) for run in records(cell)[arm].values()]
    found = [text.unk_nll_nats / text.num_unk for text in runs]
    return f"{min(found):.1f} to {max(found):.1f}"


def _over_seeds(
    folder: str, split: str, values: dict[str, float | str], measured: Callable[[SplitMetrics], float]
) -> str:
    of_seeds = zip(*_leads(folder, split, values, measured), strict=True)
    return _shown([statistics.fmean(of_seed) for of_seed in of_seeds])


def _share(folder: str, split: str, values: dict[str, float | str], part: Callable[[SplitMetrics], float]) -> str:
    some, whole = (
        sum(statistics.fmean(of_cell) for of_cell in _leads(folder, split, values, measured))
        for measured in (part, lambda text: text.total_nll_nats)
    )
    return f"{100 * some / whole:.0f} %"


def _leads(
    folder: str, split: str, values: dict[str, float | str], measured: Callable[[SplitMetrics], float]
) -> Iterator[list[float]]:
    """untied − tied of each cell, of each seed in the order of its seeds."""
    for cell in cell_folders(folder, **values):
        tied, untied = records(cell)["tied"], records(cell)["untied"]
        yield [measured(untied[seed].metrics[split]) - measured(tied[seed].metrics[split]) for seed in sorted(tied)]


def _shown(values: Sequence[float]) -> str:
    found = paired_t(list(values))
    return with_interval(found.mean, found.ci95)

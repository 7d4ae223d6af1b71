"""What a tuning says, in words and tables, once for all forms of a report. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tuning_table import LowestCell, TunedCell, Tuning
from tiedlm.config.tune import Tune
from tiedlm.reporting.tables import Strong, Table
from tiedlm.reporting.wording import count_seeds, pair_name

EXPECTED = (
    "What a search of n trials finds on average: the expected lowest loss on valid of n of these trials, drawn with "
    "replacement, in nats a token (Dodge et al. 2019, §3.1). A trial that diverged or ended above the token "
    "frequencies' loss counts as these."
)


def tuning_sentence(tuning: Tuning) -> str:
    """What the table of a tuning shows."""
    seeds = count_seeds(tuning.design.seeds)
    told = f"Perplexity on valid of {seeds} that the comparison does not use; in bold the lowest of each arm."
    if tuning.design.trials is None:
        return told
    ranges = "; ".join(range_sentences(tuning.design))
    return f"{told} Every arm has the same {tuning.design.trials} trials, drawn at random: {ranges}."


def lowest_sentences(tuning: Tuning) -> list[str]:
    """One an arm."""
    return [lowest_sentence(tuning, arm) for arm in tuning.lowest]


def lowest_sentence(tuning: Tuning, arm: str) -> str:
    """The values of an arm's lowest loss. They are not called the best where a better one may lie beyond the edge."""
    cell = tuning.lowest[arm]
    values = ", ".join(f"{key}={value}" for key, value in cell.values.items())
    trial = "" if tuning.design.trials is None else f"{cell.folder}, "
    idle = [key for key in tuning.cells[0].values if key not in cell.values]
    ignored = f"; {', '.join(idle)} does nothing in this arm" if idle else ""
    return f"{arm}: {values} ({trial}perplexity {math.exp(cell.loss_nats):,.1f}), {_called(cell)}{ignored}"


def _called(cell: LowestCell) -> str:
    if not cell.edges:
        return "the best of what was searched"
    edges = " and ".join(f"{key} ({edge})" for key, edge in cell.edges.items())
    return f"the lowest of what was searched; it lies at the edge of {edges}"


def range_sentences(design: Tune) -> list[str]:
    """`train.learning_rate from 0.001 to 0.02 (log)`, for each range of a search."""
    return [f"{key} {of.words}" for key, of in (design.ranges or {}).items()]


def cells_table(tuning: Tuning) -> Table:
    """Perplexity in each cell, the lowest of an arm standing out; of a search with the values of each trial."""
    arms, keys = list(tuning.cells[0].losses_nats), list(tuning.design.ranges or {})
    if tuning.design.trials is None:
        keys = []
    rows = []
    for cell in tuning.cells:
        values = [str(cell.values[key]) for key in keys]
        rows.append([cell.folder, *values, *(_cell(tuning, cell, arm) for arm in arms)])
    return Table(["trial" if keys else "values", *(key.rpartition(".")[2] for key in keys), *arms], rows)


def _cell(tuning: Tuning, cell: TunedCell, arm: str) -> str:
    if arm not in cell.losses_nats:
        return "–"
    losses = cell.losses_nats[arm]
    if diverged := losses.count(None):
        return "diverged" if len(losses) == 1 else f"diverged ({diverged} of {count_seeds(len(losses))})"
    shown = f"{math.exp(cell.mean_nats(arm)):,.1f}"
    lowest = tuning.lowest.get(arm)
    return Strong(shown) if lowest is not None and lowest.folder == cell.folder else shown


def shown_numbers(num_trials: int) -> list[int]:
    """1, 2, 4, … and all trials."""
    return [*(2**power for power in range(num_trials.bit_length()) if 2**power < num_trials), num_trials]


def expected_table(comparison: Comparison) -> Table | None:
    """The expected lowest loss of each arm against the number of trials; None where nothing was drawn."""
    if comparison.tuning is None or comparison.tuning.expected_lowest_nats is None:
        return None
    expected = comparison.tuning.expected_lowest_nats
    first, *others = [arm for arm in comparison.arms if arm in expected] or [""]
    if not first:
        return None
    rows = []
    for number in shown_numbers(len(expected[first])):
        losses = [expected[arm][number - 1] for arm in (first, *others)]
        rows.append([f"{number}", *_nats(losses), *(f"{loss - losses[0]:+.4f}" for loss in losses[1:])])
    return Table(["trials", first, *others, *(pair_name((first, arm)) for arm in others)], rows)


def _nats(losses: Sequence[float]) -> list[str]:
    return [f"{loss:.4f}" for loss in losses]

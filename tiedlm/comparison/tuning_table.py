"""The runs of a tuning → each arm's losses on valid by cell, where they are lowest, and what fewer trials find."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tiedlm.comparison.cells import cells_with_records
from tiedlm.comparison.comparability import check_comparable
from tiedlm.comparison.trials import tuned_folders
from tiedlm.config.ranges import Edge
from tiedlm.config.strict import Strict
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.record.divergence import Divergence, load_divergences
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord

TUNE_FOLDER = "tune"
FIRST_TUNING_SEED = 1_000_000

Result = RunRecord | Divergence


class TunedCell(Strict):
    """One combination of the tuned values, or one trial."""

    folder: str
    values: dict[str, Any]
    losses_nats: dict[str, list[float | None]]
    """On valid, by arm and seed; None where the run diverged."""

    def mean_nats(self, arm: str) -> float:
        """Over seeds; infinite where one diverged."""
        return statistics.fmean(math.inf if loss is None else loss for loss in self.losses_nats[arm])


class LowestCell(Strict):
    """Where an arm has its lowest loss; of equal ones, the first."""

    folder: str
    values: dict[str, Any]
    """Without those that do nothing in this arm."""
    loss_nats: float
    """Mean over seeds."""
    edges: dict[str, Edge]
    """The keys whose values lie at an end of what was tried, so that better ones may lie beyond."""


class Tuning(Strict):
    """What was tried, and what came of it."""

    design: Tune
    cells: list[TunedCell]
    lowest: dict[str, LowestCell]
    """By arm, of those that were trained in every cell."""
    expected_lowest_nats: dict[str, list[float]] | None
    """By arm, for 1, 2, … trials: `expected_lowest`; None of a grid, whose cells are not drawn. A trial that diverged,
    or ended above what token frequencies reach alone, counts as these, which take no training."""


def read_tuning(folder: Path, tune: Tune, check: Callable[[Sequence[Result], Path], None] = lambda *_: None) -> Tuning:
    """A tuning by the records in a folder of each cell below `folder`.

    `check` is told what each cell holds, and its folder.

    Raises:
        InputError: a cell has no records, or they are not of its values, of its seeds or of one text; or there is a
            cell more; or an arm has diverged in every cell.
    """
    found = _read_cells(folder, tune, check)
    values = tuned_folders(tune)
    cells = [TunedCell(folder=name, values=values[name], losses_nats=_losses(of)) for name, of in found.items()]
    results = [result for of_cell in found.values() for result in of_cell]
    arms = [arm for arm in cells[0].losses_nats if all(arm in cell.losses_nats for cell in cells)]
    lowest = {}
    for arm in arms:
        if all(math.isinf(cell.mean_nats(arm)) for cell in cells):
            raise InputError(f"{folder}: {arm} has diverged in every cell; tune over lower rates, in another --out")
        config = next(result.config for result in results if result.arm == arm)
        idle = config.intervention.idle_keys(config.model.tie_word_embeddings)
        lowest[arm] = _lowest(cells, arm, tune, {f"intervention.{key}" for key in idle})
    expected = None
    if tune.trials is not None:
        records = (result for result in results if isinstance(result, RunRecord))
        untrained = max((math.log(record.metrics["valid"].unigram_perplexity) for record in records), default=0.0)
        expected = {arm: expected_lowest([min(cell.mean_nats(arm), untrained) for cell in cells]) for arm in arms}
    return Tuning(design=tune, cells=cells, lowest=lowest, expected_lowest_nats=expected)


def check_not_tuned(runs: Iterable[RunId]) -> None:
    """Refuse to compare seeds by which a tuning chooses, which are then no fresh ones.

    Raises:
        InputError: a seed is one of a tuning's.
    """
    seed = max(run.seed for run in runs)
    if seed >= FIRST_TUNING_SEED:
        raise InputError(f"seed {seed} is one by which a tuning chooses; compare seeds below {FIRST_TUNING_SEED:,}")


def _read_cells(folder: Path, tune: Tune, check: Callable[[Sequence[Result], Path], None]) -> dict[str, list[Result]]:
    """What each cell's folder holds."""
    known = tuned_folders(tune)
    for name in cells_with_records(folder):
        if name not in known:
            raise InputError(f"{folder / name}: is no cell of this tuning; put back its tune.json, or tune anew")
    found: dict[str, list[Result]] = {}
    for name, values in known.items():
        divergences = load_divergences(folder / name)
        records = load_records(folder / name, may_be_empty=bool(divergences))
        found[name] = [*records, *divergences]
        check(found[name], folder / name)
        if records:
            check_comparable(records)
        _check_cell(found[name], folder / name, values, tune)
        for result in found[name]:
            if result.data != next(iter(found.values()))[0].data:
                raise InputError(f"{folder / name / result.file_name}: is of other text than {folder}; tune anew")
    return found


def _check_cell(results: Sequence[Result], folder: Path, values: dict[str, Any], tune: Tune) -> None:
    """Refuse what is not of the cell's values, or lacks a seed or has one too many."""
    seeds: dict[str, list[int]] = {}
    for result in results:
        config = result.config.every_key()
        if any(config.get(key) != value for key, value in values.items()) or result.seed < FIRST_TUNING_SEED:
            raise InputError(f"{folder / result.file_name}: is no record of this cell; delete it")
        seeds.setdefault(result.arm, []).append(result.seed)
    for arm, of_arm in seeds.items():
        if sorted(of_arm) != list(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + tune.seeds)):
            raise InputError(
                f"{folder}: has {len(of_arm)} seeds of {arm}, the tuning is over {tune.seeds}; give the command with "
                "--tune again, or put back its tune.json"
            )


def _losses(results: Sequence[Result]) -> dict[str, list[float | None]]:
    losses: dict[str, list[float | None]] = {}
    for result in sorted(results, key=lambda result: result.run):
        loss = result.metrics["valid"].masked_lm_loss_nats if isinstance(result, RunRecord) else None
        losses.setdefault(result.arm, []).append(loss)
    return losses


def _lowest(cells: Sequence[TunedCell], arm: str, tune: Tune, idle: set[str]) -> LowestCell:
    cell = min(cells, key=lambda cell: cell.mean_nats(arm))
    values = {key: value for key, value in cell.values.items() if key not in idle}
    edges = {key: edge for key, value in values.items() if (edge := tune.edge(key, value)) is not None}
    return LowestCell(folder=cell.folder, values=values, loss_nats=cell.mean_nats(arm), edges=edges)


def expected_lowest(losses: Sequence[float]) -> list[float]:
    """The expected lowest of n losses, for n from 1 to their number (Dodge et al. 2019, §3.1, where it is the highest).

    The n are drawn from these losses with replacement, so that of N sorted ones the i-th is the lowest with
    probability `((N − i + 1) / N)ⁿ − ((N − i) / N)ⁿ`.
    """
    rising, number = sorted(losses), len(losses)
    return [
        math.fsum(
            loss * (((number - place) / number) ** n - ((number - place - 1) / number) ** n)
            for place, loss in enumerate(rising)
        )
        for n in range(1, number + 1)
    ]

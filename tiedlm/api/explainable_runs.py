"""A folder of runs → which of them can be explained, and by what command. Reads no model, and needs no torch."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tiedlm.api.run_states import RunState, find_run_states
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.exchange.foreign_folder import CONFIG
from tiedlm.record.run_id import RunId

NOT_DONE = {
    "running": "is still running",
    "failed": "has failed",
    "unfinished": "is not trained to its end",
    "missing": "is not trained",
}


@dataclass(frozen=True)
class ExplainableRun:
    """One run; of `command` and `reason` one is there."""

    cell: str
    """The folder of its cell; empty where there are no cells."""
    arm: str
    seed: int
    command: str | None
    """That explains it."""
    reason: str | None
    """Why none does."""


@dataclass(frozen=True)
class ExplainableRuns:
    """All runs of a folder."""

    schema_version: Literal[1] = field(default=1, init=False)
    path: str
    runs: list[ExplainableRun]


def explainable_runs(folder: Path, sentence: str) -> ExplainableRuns | None:
    """The runs of a folder, each with the command that explains the sentence by it; None where it is no folder of runs.

    A folder with a `config.json` is a model.

    Raises:
        InputError: a design or a plan of the folder is damaged.
    """
    if (folder / CONFIG).exists():
        return None
    states = find_run_states(folder)
    if states is None:
        return None
    return ExplainableRuns(str(folder), [_explainable(folder, run, sentence) for run in states.runs])


def _explainable(folder: Path, state: RunState, sentence: str) -> ExplainableRun:
    place, run = folder / state.cell, RunId(state.arm, state.seed)
    reason = NOT_DONE.get(state.state)
    if reason is None and not (place / run.record_file).exists():
        reason = "has diverged, so it has no model"
    for name in (run.model_file, TOKENIZER_FILE):
        if reason is None and not (place / name).is_file():
            reason = f"{place / name} is not here"
    command = shlex.join(["tiedlm", "explain", str(place / run.model_file), sentence]) if reason is None else None
    return ExplainableRun(state.cell, state.arm, state.seed, command, reason)

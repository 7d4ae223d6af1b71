"""Train what has no record yet, then compare: the two acts of the project, for the commands and for Python."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.begun_runs import text_sha256_of
from tiedlm.api.load_experiment import going_on, load_experiment
from tiedlm.api.measure_similarity import measure_similarity
from tiedlm.api.places import RUNS_FOLDER
from tiedlm.api.run_folder import RunFolder
from tiedlm.api.seeds import both_stages, check_seed, chosen_runs, decide, plan_stages, stages_sentence
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.designs import is_trial, put_back
from tiedlm.config.experiment import Experiment
from tiedlm.data.sources.corpus import Corpus, check_is_here, load_corpus_again
from tiedlm.errors import DivergedTrial, InputError, RunsFailed
from tiedlm.execution.folder_lock import PATIENCE_SECONDS, locked
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.write import update_report

if TYPE_CHECKING:
    from tiedlm.execution.plan import Plan


def train(
    experiment: Experiment | str | Path | None = None,
    arm: str = "tied",
    seed: int = 0,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> RunRecord:
    """Train one arm with one seed in a process of its own, unless its record is there, and return the record.

    `experiment` is one of `load_experiment`, or what that takes. `out` is the folder of the record and the model, by
    default `runs/NAME`, or the folder of runs that `experiment` names. `data_dir` (else `TIEDLM_DATA`) is the folder of
    a known corpus's files, which else are fetched. `text_column` is the column of the text where a file has several.

    Raises:
        InputError: the experiment, the arm, the text or the folder is unfit.
        RunsFailed: the run failed.
        DivergedTrial: it has diverged, in a cell of a tuning.
    """
    out, _ = going_on(experiment, out, seed)
    experiment = as_experiment(experiment)
    experiment.check_arm(arm)
    check_seed(seed)
    run = RunId(arm, seed)
    folder = run_folder(experiment, out, data_dir, text_column, options)
    folder.train_missing([run])
    if folder.divergence_counts and (folder.place / run.divergence_file).exists():
        raise DivergedTrial(f"{folder.place / run.divergence_file}: {run} has diverged, which is its result")
    return load_record(folder.place / run.record_file)


def compare(
    experiment: Experiment | str | Path | None = None,
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    to_within: float | None = None,
    max_seeds: int = 20,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Comparison:
    """Train the runs that have no record yet, then compare the arms.

    `arms` are by default all of the experiment's. `seeds` is how many, from seed 0 on, or which; by default as many as
    the experiment says. With `to_within`, in nats a token, these seeds are a first stage: from their variance follows
    how many seeds the 95 % interval takes to be no wider than ± that, and these are trained too, `max_seeds` at most.
    The rest is as for `train`. Without `arms` and `seeds`, all records of the folder are compared. The comparison,
    REPORT.md and the plots are written beside the records.

    Raises:
        InputError: the experiment, the arms, the text or the folder is unfit.
        RunsFailed: runs failed. What the others allow has been compared and written; it is the error's `comparison`.
    """
    out, seeds = going_on(experiment, out, seeds)
    experiment = as_experiment(experiment)
    folder = run_folder(experiment, out, data_dir, text_column, options)
    place = folder.place
    runs = chosen_runs(experiment, arms, seeds)
    compares_all = arms is None and seeds is None
    try:
        if to_within is not None:
            runs = _both_stages(folder, runs, to_within, max_seeds)
        folder.train_missing(runs)
    except RunsFailed as failed:
        try:
            with locked(place, PATIENCE_SECONDS):
                failed.comparison = update_report(place, runs=None if compares_all else runs)
        except InputError as error:  # what is left cannot be compared
            raise failed from error
        raise
    with locked(place, PATIENCE_SECONDS):  # whoever finishes last writes the whole
        measure_similarity(place, folder.token_counts)
        return update_report(place, runs=None if compares_all else runs)


def _both_stages(folder: RunFolder, first_stage: list[RunId], to_within: float, max_seeds: int) -> list[RunId]:
    """Train the first stage by its plan, and tell the runs of both."""
    place, contrasts = folder.place, folder.experiment.contrasts
    design = plan_stages(first_stage, to_within, max_seeds, place, contrasts)
    put_back("to-within", design, place)
    folder.train_missing(first_stage, _decision(folder, first_stage, to_within, max_seeds))
    stages = both_stages(first_stage, design.design, place, contrasts)
    folder.options.listener.notice(stages_sentence(stages, design.design))
    return stages.runs


def stages_to_train(
    folder: RunFolder, first_stage: list[RunId], to_within: float, max_seeds: int
) -> tuple[list[RunId], Callable[[], None], bool]:
    """The runs that `--to-within` takes as far as they are known, what writes its plan down, and if the first stage is
    all that is known.

    Raises:
        InputError: as `compare`.
    """
    place, contrasts = folder.place, folder.experiment.contrasts
    design = plan_stages(first_stage, to_within, max_seeds, place, contrasts)
    put_back("to-within", design, place)
    stages = both_stages(first_stage, design.design, place, contrasts)
    folder.options.listener.notice(stages_sentence(stages, design.design))
    decide = _decision(folder, first_stage, to_within, max_seeds)
    return stages.runs, decide, stages.seeds_needed is None


def _decision(folder: RunFolder, first_stage: list[RunId], to_within: float, max_seeds: int) -> Callable[[], None]:
    """Writes the plan down, made anew while the folder is locked: another command may have begun a second stage."""
    place, contrasts = folder.place, folder.experiment.contrasts
    return lambda: decide(plan_stages(first_stage, to_within, max_seeds, place, contrasts), place)


def plan_comparison(
    experiment: Experiment | str | Path | None = None,
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    to_within: float | None = None,
    max_seeds: int = 20,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Plan:
    """What `compare` with the same arguments would train, and how long that takes by a few timed steps.

    With `to_within`, of both stages where the folder has all of the first, else of the first. Nothing is written but
    the cache of tokens.

    Raises:
        InputError: as `compare` does before it trains.
    """
    from tiedlm.execution.plan import PlannedWidth  # here, since it imports torch

    out, seeds = going_on(experiment, out, seeds)
    experiment = as_experiment(experiment)
    folder = run_folder(experiment, out, data_dir, text_column, options)
    runs = chosen_runs(experiment, arms, seeds)
    if to_within is None:
        return folder.plan(runs)
    design = plan_stages(runs, to_within, max_seeds, folder.place, experiment.contrasts).design
    stages = both_stages(runs, design, folder.place, experiment.contrasts)
    plan = folder.plan(stages.runs)
    width = PlannedWidth(design.half_width_nats, stages.seeds_needed, stages_sentence(stages, design))
    return dataclasses.replace(plan, width=width)


def out_folder(experiment: Experiment, out: str | Path | None, suffix: str = "") -> Path:
    """The folder that a command writes to: the one given, or `runs/NAME`, and after the name a suffix.

    Raises:
        InputError: it is a file.
    """
    if out is not None and str(out) == "":
        raise InputError("--out '': names no folder; give one, or . for the current one")
    folder = Path(RUNS_FOLDER, experiment.name + suffix) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is not a folder; choose another")
    return folder


def run_folder(
    experiment: Experiment,
    out: str | Path | None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> RunFolder:
    """The folder of an experiment's runs, whose text is read once it is needed; a long one takes a while to hash.

    Raises:
        InputError: it is a file.
    """
    options, data_place = options or RunOptions(), None if data_dir is None else Path(data_dir)
    name, place = experiment.corpus.name, out_folder(experiment, out)

    @functools.cache
    def find_text() -> Corpus:
        text_sha256 = text_sha256_of(place)
        if text_sha256 is not None:
            check_is_here(name, "give the command there")
        return load_corpus_again(name, text_sha256, data_place, text_column, options.listener)

    return RunFolder(experiment, place, find_text, options, divergence_counts=is_trial(place))


def as_experiment(given: Experiment | str | Path | None) -> Experiment:
    """An experiment, or the one that is named."""
    return given if isinstance(given, Experiment) else load_experiment(given)

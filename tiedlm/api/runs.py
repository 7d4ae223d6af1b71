"""Train what has no record yet, then compare: the two acts of the project, for the commands and for Python."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.load_experiment import load_experiment
from tiedlm.api.measure_similarity import measure_similarity
from tiedlm.api.seeds import check_seed, chosen_runs, plan_stages, second_stage
from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.comparability import check_reusable, check_runtime, check_text, missing_runs
from tiedlm.comparison.comparison import Comparison
from tiedlm.config.experiment import Experiment
from tiedlm.data.sources.corpus import Corpus, is_own_text, load_corpus
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.errors import InputError, RunsFailed
from tiedlm.execution.folder_lock import locked
from tiedlm.execution.local.start_method import start_server
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import load_record, load_records
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.report.write import DESIGN_FILE, save_decision, update_report

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tiedlm.data.tokens import TokenizedCorpus
    from tiedlm.execution.job import Job
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
    default `results/NAME`. `data_dir` (else `TIEDLM_DATA`) is the folder of a known corpus's files, which else are
    fetched. `text_column` is the column of the text where a file has several.

    Raises:
        InputError: the experiment, the arm, the text or the folder is unfit.
        RunsFailed: the run failed.
    """
    experiment = _experiment(experiment)
    experiment.run_config(arm)
    check_seed(seed)
    run = RunId(arm, seed)
    options, folder = options or RunOptions(), out_folder(experiment, out)
    find_text = text_finder(experiment, data_dir, text_column, options)
    train_missing(experiment, [run], folder, find_text, options)
    return load_record(folder / run.record_file)


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
    experiment = _experiment(experiment)
    options, folder = options or RunOptions(), out_folder(experiment, out)
    runs = chosen_runs(experiment, arms, seeds)
    compared = None if arms is None and seeds is None else runs
    find_text = text_finder(experiment, data_dir, text_column, options)
    design = None if to_within is None else plan_stages(runs, to_within, max_seeds, folder)
    try:
        train_missing(experiment, runs, folder, find_text, options)
        if design is not None:
            save_decision(design, folder / DESIGN_FILE)
            runs = second_stage(runs, design, folder, options)
            compared = None if compared is None else runs
            train_missing(experiment, runs, folder, find_text, options)
    except RunsFailed as failed:
        try:
            failed.comparison = update_report(folder, runs=compared)
        except InputError as error:  # what is left cannot be compared
            raise failed from error
        raise
    measure_similarity(folder, lambda: _count_tokens(experiment, find_text, options))
    return update_report(folder, runs=compared)


def _count_tokens(
    experiment: Experiment, find_text: Callable[[], Corpus], options: RunOptions
) -> npt.NDArray[np.int64]:
    return _tokenized(experiment, find_text, options).token_counts("train")


def _tokenized(experiment: Experiment, find_text: Callable[[], Corpus], options: RunOptions) -> TokenizedCorpus:
    from tiedlm.data.tokens import tokenize  # here so that the other commands stay light

    return tokenize(find_text(), experiment.corpus, options.listener)


def plan_comparison(
    experiment: Experiment | str | Path | None = None,
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Plan:
    """What `compare` with the same arguments would train, and how long that takes by a few timed steps.

    Nothing is written but the cache of tokens.

    Raises:
        InputError: as `compare` does before it trains.
    """
    experiment = _experiment(experiment)
    options, folder = options or RunOptions(), out_folder(experiment, out)
    find_text = text_finder(experiment, data_dir, text_column, options)
    return plan_runs(experiment, chosen_runs(experiment, arms, seeds), folder, find_text, options)


def plan_runs(
    experiment: Experiment,
    runs: list[RunId],
    folder: Path,
    find_text: Callable[[], Corpus],
    options: RunOptions,
) -> Plan:
    """As `plan_comparison`, for any runs."""
    from tiedlm.execution.dry_run import time_plan
    from tiedlm.execution.local.scheduler import LocalProcesses

    for run in runs:
        experiment.run_config(run.arm)
    records = _reusable_records(experiment, folder, find_text, options)
    jobs, plan = _prepare(experiment, runs, records, folder, find_text, options)
    if not jobs:
        return plan
    return time_plan(plan, jobs, LocalProcesses(plan.side_by_side))


def out_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of an experiment's records: the one given, or its own below `results`.

    Raises:
        InputError: it is a file.
    """
    if out is not None and str(out) == "":
        raise InputError("--out '': names no folder; give one, or . for the current one")
    folder = Path("results", experiment.name) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is not a folder; choose another")
    return folder


def _experiment(given: Experiment | str | Path | None) -> Experiment:
    return given if isinstance(given, Experiment) else load_experiment(given)


def text_finder(
    experiment: Experiment, data_dir: str | Path | None, text_column: str | None, options: RunOptions
) -> Callable[[], Corpus]:
    """Finds the text of an experiment when it is first asked for; reading a long one for its hash takes a while."""
    place = None if data_dir is None else Path(data_dir)
    return functools.cache(lambda: load_corpus(experiment.corpus.name, place, text_column, options.listener))


def _reusable_records(
    experiment: Experiment, folder: Path, find_text: Callable[[], Corpus], options: RunOptions
) -> list[RunRecord]:
    """What the folder holds, all of it of this experiment, machine and text."""
    records = load_records(folder, may_be_empty=True) if folder.exists() else []
    check_reusable(records, experiment)
    check_runtime(records, options.device, options.precision)
    if records and is_own_text(experiment.corpus.name) and Path(experiment.corpus.name).exists():
        check_text(records, experiment.corpus.name, find_text().sha256)
    return records


def _prepare(
    experiment: Experiment,
    runs: list[RunId],
    records: list[RunRecord],
    folder: Path,
    find_text: Callable[[], Corpus],
    options: RunOptions,
) -> tuple[list[Job], Plan]:
    """The jobs of the runs without a record, and the plan of all; everything is checked, and nothing written."""
    corpus = _tokenized(experiment, find_text, options)
    start_server()

    from tiedlm.execution.plan import make_plan  # torch takes long to import: the text is checked first
    from tiedlm.execution.preflight import prepare_jobs
    from tiedlm.training.device import resolve_runtime

    missing = missing_runs(records, runs)
    jobs, side_by_side = prepare_jobs(experiment, corpus, missing, records, folder, options) if missing else ([], 0)
    runtime = resolve_runtime(options.device, options.precision)
    there = [run for run in runs if run not in missing]
    return jobs, make_plan(experiment, corpus, missing, there, folder, runtime, side_by_side)


def train_missing(
    experiment: Experiment,
    runs: list[RunId],
    folder: Path,
    find_text: Callable[[], Corpus],
    options: RunOptions,
) -> None:
    """Train those runs that have no record.

    Raises:
        InputError: the text or the folder is unfit.
        RunsFailed: some runs failed.
    """
    records = _reusable_records(experiment, folder, find_text, options)
    if not missing_runs(records, runs):
        if any(folder.glob("*.safetensors")) and not (folder / TOKENIZER_FILE).exists():
            _keep_tokenizer(_tokenized(experiment, find_text, options), folder)
        return
    jobs, plan = _prepare(experiment, runs, records, folder, find_text, options)

    from tiedlm.execution.local.scheduler import LocalProcesses
    from tiedlm.execution.output_folder import clear_leftovers, make_folder

    make_folder(folder)
    with locked(folder):
        if any((folder / job.run.record_file).exists() for job in jobs):
            raise InputError(f"--out {folder}: another command has just trained there; give this one again")
        clear_leftovers(folder)
        _keep_tokenizer(jobs[0].corpus, folder)
        options.listener.begin(plan)
        try:
            failures = LocalProcesses(plan.side_by_side).run(jobs, options.listener)
        finally:
            options.listener.end()
            clear_leftovers(folder)
    if failures:
        raise RunsFailed(failures, len(jobs))


def _keep_tokenizer(corpus: TokenizedCorpus, folder: Path) -> None:
    """Write the tokenizer beside the models, which are of no use without it."""
    write_atomically(folder / TOKENIZER_FILE, corpus.tokenizer_text())

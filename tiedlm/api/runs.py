"""Train what has no record yet, then compare: the two acts of the project, for the commands and for Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiedlm.api.experiment import load_experiment
from tiedlm.comparison.comparability import check_reusable, check_runtime, check_text, missing_runs
from tiedlm.comparison.compare import Comparison
from tiedlm.config import Experiment
from tiedlm.data.corpus import folder_sha256, is_own_text, load_corpus
from tiedlm.errors import InputError, RunsFailed
from tiedlm.execution.folder_lock import locked
from tiedlm.execution.run_options import RunOptions
from tiedlm.execution.start_method import start_server
from tiedlm.record import RunRecord, load_record, load_records, record_file_name
from tiedlm.report.write import update_report

MAX_SEEDS = 1_000


def train(
    experiment: Experiment | str | Path | None = None,
    arm: str = "tied",
    seed: int = 0,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    options: RunOptions | None = None,
) -> RunRecord:
    """Train one arm with one seed in a process of its own, unless its record is there, and return the record.

    `experiment` is one of `load_experiment`, or what that takes. `out` is the folder of the record and the model, by
    default `results/NAME`. `data_dir` (else `TIEDLM_DATA`) is the folder of a named corpus's files.

    Raises:
        InputError: the experiment, the arm, the text or the folder is unfit.
        RunsFailed: the run failed.
    """
    experiment = _experiment(experiment)
    experiment.run_config(arm)
    options, folder = options or RunOptions(), out_folder(experiment, out)
    records = _reusable_records(experiment, folder, options)
    if (arm, seed) not in {(record.arm, record.seed) for record in records}:
        _train_all(experiment, [(arm, seed)], records, folder, data_dir, options)
    return load_record(folder / record_file_name(arm, seed))


def compare(
    experiment: Experiment | str | Path | None = None,
    arms: Sequence[str] | None = None,
    seeds: int | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    options: RunOptions | None = None,
) -> Comparison:
    """Train the runs that have no record yet, then compare the arms over all records of the folder.

    `arms` are by default all of the experiment's, `seeds` as many as it says; the rest is as for `train`. The
    comparison, REPORT.md and the plots are written beside the records.

    Raises:
        InputError: the experiment, the arms, the text or the folder is unfit.
        RunsFailed: runs failed. What the others allow has been compared and written.
    """
    experiment = _experiment(experiment)
    names = experiment.arm_names if arms is None else list(arms)
    for name in names:
        experiment.run_config(name)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(
            f"--arms {','.join(names)}: a comparison needs two or more different arms; choose from "
            f"{', '.join(experiment.arm_names)}"
        )
    num_seeds = experiment.seeds if seeds is None else seeds
    if not 0 < num_seeds <= MAX_SEEDS:
        raise InputError(f"seeds={num_seeds} is not a number from 1 to {MAX_SEEDS:,}; correct it")
    options, folder = options or RunOptions(), out_folder(experiment, out)
    records = _reusable_records(experiment, folder, options)
    missing = missing_runs(records, names, num_seeds)
    try:
        if missing:
            _train_all(experiment, missing, records, folder, data_dir, options)
    except RunsFailed as failed:
        try:
            update_report(folder)
        except InputError as error:  # what is left cannot be compared
            raise failed from error
        failed.others_compared = True
        raise
    return update_report(folder)


def out_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of an experiment's records: the one given, or its own below `results`.

    Raises:
        InputError: it is a file.
    """
    folder = Path("results", experiment.name) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is not a folder; choose another")
    return folder


def _experiment(given: Experiment | str | Path | None) -> Experiment:
    return given if isinstance(given, Experiment) else load_experiment(given)


def _reusable_records(experiment: Experiment, folder: Path, options: RunOptions) -> list[RunRecord]:
    """What the folder holds, all of it of this experiment, machine and text."""
    records = load_records(folder, may_be_empty=True) if folder.exists() else []
    check_reusable(records, experiment)
    check_runtime(records, options.device, options.precision)
    if records and is_own_text(experiment.corpus.name) and Path(experiment.corpus.name).is_dir():
        check_text(records, experiment.corpus.name, folder_sha256(experiment.corpus.name))
    return records


def _train_all(
    experiment: Experiment,
    runs: list[tuple[str, int]],
    records: list[RunRecord],
    folder: Path,
    data_dir: str | Path | None,
    options: RunOptions,
) -> None:
    from tiedlm.data.tokens import tokenize  # here, as below, so that the other commands stay light

    text = load_corpus(experiment.corpus.name, None if data_dir is None else Path(data_dir))
    corpus = tokenize(text, experiment.corpus)
    start_server()

    from tiedlm.execution.preflight import prepare_jobs  # torch takes long to import: the text is checked first
    from tiedlm.execution.scheduler import clear_leftovers, run_jobs

    jobs, num_side_by_side = prepare_jobs(experiment, corpus, runs, records, folder, options)
    with locked(folder):
        if any((folder / record_file_name(arm, seed)).exists() for arm, seed in runs):
            raise InputError(f"--out {folder}: another command has just trained there; give this one again")
        clear_leftovers(folder)
        options.listener.begin(len(jobs))
        try:
            failures = run_jobs(jobs, num_side_by_side, options.listener)
        finally:
            options.listener.end()
            clear_leftovers(folder)
    if failures:
        raise RunsFailed(failures, len(jobs))

"""What `tiedlm train`, `compare` and `report` do, once their options are parsed and before anything is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tiedlm.comparison.comparability import check_reusable, check_runtime, check_text, missing_runs
from tiedlm.comparison.compare import Comparison
from tiedlm.config import Experiment
from tiedlm.data.corpus import default_tokenizer, folder_sha256, is_own_text, load_corpus
from tiedlm.errors import InputError, RunsFailed
from tiedlm.execution.folder_lock import locked
from tiedlm.execution.start_method import start_server
from tiedlm.experiment_file import find_experiment, load_experiment, shipped_experiments
from tiedlm.record import RunRecord, load_record, load_records, record_file_name
from tiedlm.report.update import update_report


@dataclass(frozen=True)
class Training:
    """The options that `train` and `compare` share."""

    experiment: str | None
    corpus: str | None
    data_dir: Path | None
    out: Path | None
    settings: Sequence[str]
    steps: int | None
    device: str
    precision: str
    resume: bool
    checkpoint_seconds: float
    quiet: bool


def train_arm(training: Training, arms: Sequence[str], seed: int, stderr: Console) -> RunRecord:
    """Train the one arm given with one seed, unless its record is there.

    Raises:
        InputError: there is not exactly one arm, or the experiment, the text or the folder is unfit.
        RunsFailed: the run failed.
    """
    if len(arms) != 1:
        given = " and ".join(f"{name!r}" for name in arms) or "none"
        raise InputError(f"one arm is trained at a time, given: {given}; pass one of --tied, --untied and --arm NAME")
    experiment = _load(training)
    experiment.run_config(arms[0])
    folder, records = _records(training, experiment)
    if (arms[0], seed) not in {(record.arm, record.seed) for record in records}:
        failed = _train(training, experiment, [(arms[0], seed)], records, folder, 1, stderr)
        if failed:
            raise failed
    elif not training.quiet:
        stderr.print(f"{arms[0]} seed {seed} has its record already; nothing was trained", highlight=False)
    return load_record(folder / record_file_name(arms[0], seed))


def compare_arms(
    training: Training, arms: str | None, seeds: int | None, jobs: str, stderr: Console
) -> tuple[Comparison, Path, RunsFailed | None]:
    """Train the runs that have no record yet; then compare the arms over all records of the folder.

    If some runs failed, what the others allow is compared.

    Raises:
        InputError: an option, the experiment, the text or the folder is unfit.
        RunsFailed: runs failed, and the others cannot be compared.
    """
    if jobs != "auto" and not (jobs.isdecimal() and len(jobs) < 10 and int(jobs) > 0):
        raise InputError(f"--jobs {jobs!r} is neither auto nor a number above 0; give one of these")
    experiment = _load(training)
    names = experiment.arm_names if arms is None else arms.split(",")
    for name in names:
        experiment.run_config(name)
    if len(set(names)) != len(names) or len(names) < 2:
        choices = ", ".join(experiment.arm_names)
        raise InputError(f"--arms {arms}: a comparison needs two or more different arms; choose from {choices}")
    folder, records = _records(training, experiment)
    missing = missing_runs(records, names, seeds or experiment.seeds)
    failed = None
    if missing:
        failed = _train(training, experiment, missing, records, folder, None if jobs == "auto" else int(jobs), stderr)
    elif not training.quiet:
        sentence = (
            f"nothing was trained: {folder} holds every record that is asked for; with another --out all are made"
        )
        stderr.print(sentence, highlight=False, markup=False, soft_wrap=True)
    try:
        return update_report(folder), folder, failed
    except InputError as error:
        if failed:
            raise failed from error
        raise


def _load(training: Training) -> Experiment:
    """The experiment with the command's changes; another corpus brings its own tokenizer and name."""
    corpus = training.corpus
    path = find_experiment(training.experiment or (corpus if corpus in shipped_experiments() else "pydoc"))
    changes = list(training.settings)
    if training.steps is not None:
        changes.append(f"train.num_steps={training.steps}")
    loaded = load_experiment(path, changes)
    if corpus is None or corpus == loaded.corpus.name:
        return loaded
    slug = re.sub(r"[^a-z0-9]+", "-", Path(corpus).resolve().name.lower()).strip("-")[:40] or "corpus"
    name = f"{loaded.name}-{slug}" if training.experiment else slug
    own = {"name": name, "corpus.name": corpus, "corpus.tokenizer": default_tokenizer(corpus)}
    return load_experiment(path, [f"{place}={json.dumps(value)}" for place, value in own.items()] + changes)


def _records(training: Training, experiment: Experiment) -> tuple[Path, list[RunRecord]]:
    folder = training.out or Path("results") / experiment.name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is not a folder; choose another")
    records = load_records(folder, may_be_empty=True) if folder.exists() else []
    check_reusable(records, experiment)
    check_runtime(records, training.device, training.precision)
    if records and is_own_text(experiment.corpus.name) and Path(experiment.corpus.name).is_dir():
        check_text(records, experiment.corpus.name, folder_sha256(experiment.corpus.name))
    return folder, records


def _train(
    training: Training,
    experiment: Experiment,
    runs: list[tuple[str, int]],
    records: list[RunRecord],
    folder: Path,
    num_side_by_side: int | None,
    stderr: Console,
) -> RunsFailed | None:
    from tiedlm.data.tokens import tokenize  # here, as below, so that the other commands stay light

    corpus = tokenize(load_corpus(experiment.corpus.name, training.data_dir), experiment.corpus)
    start_server()

    from tiedlm.cli.progress import ProgressDisplay
    from tiedlm.execution.scheduler import (  # torch takes long to import: the text is checked first
        clear_leftovers,
        prepare_jobs,
        run_jobs,
    )

    jobs, side_by_side = prepare_jobs(
        experiment,
        corpus,
        runs,
        records,
        folder,
        training.device,
        training.precision,
        num_side_by_side,
        training.resume,
        training.checkpoint_seconds,
    )
    with locked(folder):
        if any((folder / record_file_name(arm, seed)).exists() for arm, seed in runs):
            raise InputError(f"--out {folder}: another command has just trained there; give this one again")
        clear_leftovers(folder)
        try:
            with ProgressDisplay(stderr, len(jobs), training.quiet) as display:
                failures = run_jobs(jobs, side_by_side, display.update, display.notice)
        finally:
            clear_leftovers(folder)
    return RunsFailed(failures, len(jobs)) if failures else None

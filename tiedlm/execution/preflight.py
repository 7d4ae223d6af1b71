"""Everything that can be checked before the first step: runs that are asked for → jobs that can be started."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from tiedlm.comparison.comparability import check_runtime, check_text
from tiedlm.config.experiment import Experiment
from tiedlm.data.output_map import read_output_map
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.errors import InputError
from tiedlm.execution.job import Job
from tiedlm.execution.memory_check import check_memory
from tiedlm.execution.run_lock import held_runs
from tiedlm.execution.run_options import RunOptions
from tiedlm.processes.available_cpus import available_cpus
from tiedlm.processes.ranks import check_rows, ranks_of_environment
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.training.checkpoint import CheckpointFiles
from tiedlm.training.device import Runtime
from tiedlm.training.provenance import command_line
from tiedlm.training.resume import run_key


def prepare_jobs(
    experiment: Experiment,
    corpus: TokenizedCorpus,
    runs: list[RunId],
    records: list[RunRecord],
    out: Path,
    runtime: Runtime,
    options: RunOptions,
) -> list[Job]:
    """Check everything that can be checked before training, and return the jobs; `share_machine` gives them threads.

    `records` are those that the new ones will be compared with.

    Raises:
        InputError: corpus and device do not fit the records or the checkpoints of unfinished runs.
    """
    check_records(records, corpus, runtime)
    arms = {run.arm: experiment.arm_config(run.arm) for run in runs}
    if any(arm.config.intervention.output_rows == "map" for arm in arms.values()):
        read_output_map(corpus)
    check_rows(ranks_of_environment(), experiment.train.batch_size)
    if options.resume:
        for run in runs:
            CheckpointFiles(out, run).check(run_key(experiment.name, run, arms[run.arm].config, corpus, runtime))
    command = command_line()
    rest = (corpus, runtime, out, command, 1, options.resume, options.checkpoint_seconds)
    return [
        Job(
            experiment.name,
            run,
            arms[run.arm],
            *rest,
            micro_batch=options.micro_batch,
            resources=experiment.resources,
        )
        for run in runs
    ]


def share_machine(jobs: list[Job], options: RunOptions) -> tuple[list[Job], int]:
    """The jobs with the threads that each has, and how many run side by side.

    Raises:
        InputError: they need more memory than there is.
    """
    runtime, num_side_by_side = jobs[0].runtime, options.jobs
    if num_side_by_side is None:  # on a CPU, one thread a run is faster in sum than one run at a time
        num_side_by_side = torch.cuda.device_count() if runtime.device == "cuda" else available_cpus()
    num_side_by_side = min(num_side_by_side, len(jobs))
    check_memory(jobs, num_side_by_side, ranks_of_environment())
    num_threads = options.num_threads or max(1, available_cpus() // num_side_by_side)
    return [dataclasses.replace(job, num_threads=num_threads) for job in jobs], num_side_by_side


def check_records(records: list[RunRecord], corpus: TokenizedCorpus, runtime: Runtime) -> None:
    """Refuse a corpus and a device that do not fit the records of a folder.

    Raises:
        InputError: naming the record.
    """
    check_runtime(records, runtime.device, runtime.precision)
    check_text(records, corpus.name, corpus.text_sha256)
    for record in records:
        _check_tokenizer(record, corpus)


def check_holders(out: Path, experiment: Experiment, runtime: Runtime) -> None:
    """Refuse to train beside another command that trains something else in the folder now.

    Raises:
        InputError: naming who, and the first field that differs.
    """
    for run, holder in held_runs(out).items():
        if holder is None:
            continue
        theirs = {"experiment": holder.experiment, "device": holder.device, "precision": holder.precision}
        mine: dict[str, object] = {
            "experiment": experiment.name,
            "device": runtime.device,
            "precision": runtime.precision,
        }
        if run.arm in experiment.arm_names:
            mine |= experiment.run_config(run.arm).every_key()
            theirs |= holder.config.every_key()
        for field, value in mine.items():
            if value != theirs.get(field):
                raise InputError(
                    f"--out {out}: {holder} is training {run} there with {field}={theirs.get(field)!r}, now it is "
                    f"{value!r}; set it back, wait for it or choose another --out"
                )


def _check_tokenizer(record: RunRecord, corpus: TokenizedCorpus) -> None:
    if record.data.tokenizer_sha256 != corpus.tokenizer_sha256:
        raise InputError(
            f"{record.file_name} in the output folder was made with another tokenizer than corpus {corpus.name!r} has "
            "now; choose another --out"
        )

"""Runs side by side: one process a run, so that one run's failure or memory is not another's."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tiedlm.atomic_file import remove_partial_files
from tiedlm.comparison.comparability import check_runtime, check_text
from tiedlm.config import Experiment
from tiedlm.counting.parameters import TRAINING_RECIPES, count_config
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.errors import InputError
from tiedlm.execution.start_method import CONTEXT
from tiedlm.execution.worker import Failure, Job, Notice, work
from tiedlm.record import RunRecord, load_records, record_file_name
from tiedlm.training.checkpoint import CHECKPOINTS_FOLDER, CheckpointFiles
from tiedlm.training.monitor import Progress
from tiedlm.training.provenance import command_line
from tiedlm.training.resume import run_key
from tiedlm.training.runtime import Runtime, available_cpus, resolve_runtime

BYTES_PER_PARAMETER = TRAINING_RECIPES["float32"].total


def prepare_jobs(
    experiment: Experiment,
    corpus: TokenizedCorpus,
    runs: list[tuple[str, int]],
    records: list[RunRecord],
    out: Path,
    device: str,
    precision: str,
    num_side_by_side: int | None,
    resume: bool,
    checkpoint_seconds: float,
) -> tuple[list[Job], int]:
    """Check everything that can be checked before training, and return the jobs and how many run side by side.

    `records` are those that the new ones will be compared with.

    Raises:
        InputError: the device or the output folder cannot be used, or corpus and device do not fit the records
            or the checkpoints of unfinished runs.
    """
    runtime = resolve_runtime(device, precision)
    check_runtime(records, runtime.device, runtime.precision)
    check_text(records, corpus.name, corpus.text_sha256)
    for record in records:
        _check_tokenizer(record, corpus)
    if resume:
        for arm, seed in runs:
            CheckpointFiles(out, arm, seed).check(run_key(experiment, arm, seed, corpus, runtime))
    if num_side_by_side is None:  # on a CPU, one thread a run is faster in sum than one run at a time
        num_side_by_side = 1 if runtime.device == "cuda" else available_cpus()
    num_side_by_side = min(num_side_by_side, len(runs))
    _check_memory(experiment, runs, corpus.vocab_size, num_side_by_side, runtime)
    _make_folder(out)
    num_threads = max(1, available_cpus() // num_side_by_side)
    command = command_line()
    rest = (corpus, runtime, out, command, num_threads, resume, checkpoint_seconds)
    return [Job(experiment, arm, seed, *rest) for arm, seed in runs], num_side_by_side


def _check_tokenizer(record: RunRecord, corpus: TokenizedCorpus) -> None:
    if record.data.tokenizer_sha256 != corpus.tokenizer_sha256:
        raise InputError(
            f"{record.file_name} in the output folder was made with another tokenizer than corpus {corpus.name!r} has "
            "now; choose another --out"
        )


def _make_folder(out: Path) -> None:
    if (out / CHECKPOINTS_FOLDER).is_symlink():
        raise InputError(f"{out / CHECKPOINTS_FOLDER}: is a link to elsewhere; remove it or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error


def _check_memory(
    experiment: Experiment, runs: list[tuple[str, int]], vocab_size: int, num_side_by_side: int, runtime: Runtime
) -> None:
    """Refuse what no machine of this size can do, rather than let the kernel kill whatever it chooses."""
    if runtime.device != "cpu" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    parameters = {
        arm: count_config(arm, experiment.run_config(arm).model.config_json(vocab_size)).total for arm, _ in runs
    }
    largest = sorted((parameters[arm] for arm, _ in runs), reverse=True)[:num_side_by_side]
    needed = BYTES_PER_PARAMETER * sum(largest)
    if needed > memory:
        raise InputError(
            f"{num_side_by_side} runs side by side with up to {largest[0]:,} parameters need {needed / 1e9:,.0f} GB "
            f"for weights, gradients and optimizer states, and this machine has {memory / 1e9:,.0f} GB; lower --jobs "
            "or the model's sizes"
        )


def clear_leftovers(folder: Path) -> None:
    """Remove what ended processes left in a folder that is locked: partial files, checkpoints of finished runs."""
    remove_partial_files(folder)
    for record in load_records(folder, may_be_empty=True):
        CheckpointFiles(folder, record.arm, record.seed).delete()
    checkpoints = folder / CHECKPOINTS_FOLDER
    if checkpoints.is_dir():
        remove_partial_files(checkpoints)
        if not any(checkpoints.iterdir()):
            checkpoints.rmdir()


def run_jobs(
    jobs: list[Job],
    num_side_by_side: int,
    on_progress: Callable[[Progress], None],
    on_notice: Callable[[str], None],
) -> list[str]:
    """Run all jobs, at most `num_side_by_side` at a time; return one sentence for each that failed.

    A failed run does not stop the others. An interrupt stops them all after the step under way; finished runs have
    their records, the others their checkpoints. A second interrupt kills them.
    """
    waiting, workers = list(jobs), _Workers(on_progress, on_notice)
    try:
        while waiting or workers.running:
            while waiting and len(workers.running) < num_side_by_side:
                workers.start(waiting.pop(0))
            workers.listen()
    except BaseException:
        workers.stop()
        raise
    return list(workers.failures.values())


class _Workers:
    """The processes that run, and what they have told."""

    def __init__(self, on_progress: Callable[[Progress], None], on_notice: Callable[[str], None]) -> None:
        self.on_progress, self.on_notice = on_progress, on_notice
        self.running: dict[Connection, tuple[Job, BaseProcess]] = {}
        self.failures: dict[str, str] = {}
        self.standings: dict[str, Progress] = {}
        self.is_stopping = False

    def start(self, job: Job) -> None:
        receiver, sender = CONTEXT.Pipe(duplex=False)
        process: BaseProcess = CONTEXT.Process(target=work, args=(job, sender), name=job.name, daemon=True)
        process.start()
        sender.close()  # the worker holds the other end; its death is then an end of file here
        self.running[receiver] = (job, process)

    def listen(self) -> None:
        """Wait for news and take one from each process that has some."""
        ready = wait(list(self.running))
        for receiver in [receiver for receiver in self.running if receiver in ready]:
            job, process = self.running[receiver]
            try:
                message = receiver.recv()
            except EOFError:
                del self.running[receiver]
                self._end(job, process)
                continue
            match message:
                case Progress():
                    self.standings[job.name] = message
                    self.on_progress(message)
                case Notice(sentence):
                    self.on_notice(f"{job.name}: {sentence}")
                case Failure(sentence):
                    self.failures[job.name] = f"{job.name}: {sentence}"

    def stop(self) -> None:
        """Let every process finish its step and save; listen on, since a full pipe would hold it up."""
        if not self.running:
            return
        self.is_stopping = True
        self.on_notice("stopping after the step under way; again to stop at once")
        processes = [process for _, process in self.running.values()]
        try:
            for process in processes:
                process.terminate()
            while self.running:
                self.listen()
        finally:  # a second interrupt
            for process in processes:
                process.kill()

    def _end(self, job: Job, process: BaseProcess) -> None:
        process.join()
        standing = self.standings.get(job.name)
        if (job.out / record_file_name(job.arm, job.seed)).exists():
            return
        if self.is_stopping:
            if job.name in self.failures:
                self.on_notice(self.failures[job.name])
            place = f"stands at step {standing.step:,} of {standing.num_steps:,}" if standing else "has done no step"
            self.on_notice(f"{job.name} {place}; the same command goes on from there")
        elif job.name not in self.failures:
            place = f" at step {standing.step:,}" if standing else ""
            cause = f"was stopped{place}; the same command goes on with it"
            self.failures[job.name] = f"{job.name}: {_death(process.exitcode, place) if process.exitcode else cause}"


def _death(exit_code: int, place: str) -> str:
    """In words; a negative code is a signal's number."""
    if exit_code >= 0:
        return f"its process ended with status {exit_code}{place}"
    name = signal.Signals(-exit_code).name
    cause = "; the kernel does so when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{place}{cause}"

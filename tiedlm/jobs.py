"""Runs side by side: one process a run, so that one run's failure or memory is not another's."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tiedlm.config import Experiment
from tiedlm.eligible import check_text
from tiedlm.errors import InputError
from tiedlm.record import RunRecord
from tiedlm.run import Progress, run
from tiedlm.runtime import Runtime, available_cpus, command_line, resolve_runtime
from tiedlm.tokens import TokenizedCorpus
from tiedlm.train import RunFailed
from tiedlm.workers import CONTEXT


def prepare_jobs(
    experiment: Experiment,
    corpus: TokenizedCorpus,
    runs: list[tuple[str, int]],
    records: list[RunRecord],
    out: Path,
    device: str,
    precision: str,
    num_side_by_side: int | None,
) -> tuple[list[Job], int]:
    """Check everything that can be checked before training, and return the jobs and how many run side by side.

    `records` are those that the new ones will be compared with.

    Raises:
        InputError: the device or the output folder cannot be used, or corpus and device do not fit the records.
    """
    runtime = resolve_runtime(device, precision)
    for record in records:
        _check_fits(record, corpus, runtime)
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error
    if num_side_by_side is None:  # on a CPU, one thread a run is faster in sum than one run at a time
        num_side_by_side = 1 if runtime.device == "cuda" else available_cpus()
    num_side_by_side = min(num_side_by_side, len(runs))
    num_threads = max(1, available_cpus() // num_side_by_side)
    command = command_line()
    jobs = [Job(experiment, arm, seed, corpus, runtime, out, command, num_threads) for arm, seed in runs]
    return jobs, num_side_by_side


def _check_fits(record: RunRecord, corpus: TokenizedCorpus, runtime: Runtime) -> None:
    check_text([record], corpus.name, corpus.text_sha256)
    if record.data.tokenizer_sha256 != corpus.tokenizer_sha256:
        raise InputError(
            f"{record.file_name} in the output folder was made with another tokenizer than corpus {corpus.name!r} has "
            "now; choose another --out"
        )
    if (record.provenance.device, record.provenance.precision) != (runtime.device, runtime.precision):
        raise InputError(
            f"{record.file_name} in the output folder was run in {record.provenance.precision} on "
            f"{record.provenance.device}, this run would be in {runtime.precision} on {runtime.device}; set "
            "--precision and --device as there, or choose another --out"
        )


@dataclass(frozen=True)
class Job:
    """Everything a process needs to do one run."""

    experiment: Experiment
    arm: str
    seed: int
    corpus: TokenizedCorpus
    runtime: Runtime
    out: Path
    command: str
    num_threads: int

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.arm} seed {self.seed}"


def run_jobs(jobs: list[Job], num_side_by_side: int, on_progress: Callable[[Progress], None]) -> list[str]:
    """Run all jobs, at most `num_side_by_side` at a time; return one sentence for each that failed.

    A failed run does not stop the others. An interrupt ends them all; finished runs have their records.
    """
    waiting, failures = list(jobs), []
    running: dict[Connection, tuple[Job, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < num_side_by_side:
                receiver, sender = CONTEXT.Pipe(duplex=False)
                job = waiting.pop(0)
                process: BaseProcess = CONTEXT.Process(target=_work, args=(job, sender), name=job.name, daemon=True)
                process.start()
                sender.close()  # the worker holds the other end; its death is then an end of file here
                running[receiver] = (job, process)
            ready = wait(list(running))
            for receiver in [receiver for receiver in running if receiver in ready]:
                job, process = running[receiver]
                try:
                    message = receiver.recv()
                except EOFError:
                    del running[receiver]
                    process.join()
                    if process.exitcode:
                        failures.append(f"{job.name}: its process ended with status {process.exitcode}")
                    continue
                if isinstance(message, Progress):
                    on_progress(message)
                else:
                    failures.append(f"{job.name}: {message}")
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
    return failures


def _work(job: Job, sender: Connection) -> None:
    """The body of a worker process: progress and a failure's sentence go through the pipe."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    torch.set_num_threads(job.num_threads)
    try:
        run(job.experiment, job.arm, job.seed, job.corpus, job.runtime, job.out, job.command, sender.send)
    except (RunFailed, OSError) as error:
        sender.send(str(error))
    finally:
        sender.close()

"""Experiment + arm + seed → RunRecord: the only place where the pieces meet."""

from __future__ import annotations

import datetime
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tiedlm import __version__
from tiedlm.checkpoint import save_model
from tiedlm.config import Experiment, InputError
from tiedlm.evaluate import EvalTotals, evaluate
from tiedlm.model import MaskedLM, build_model, check_tie, measure_parameters
from tiedlm.record import SCHEMA_VERSION, Cost, CurvePoint, Data, Provenance, RunRecord, SplitMetrics, save_record
from tiedlm.tokens import TokenizedCorpus
from tiedlm.train import Step, train

CURVE_BLOCKS = 512  # evenly spaced, of train and of valid alike, for each point of the learning curve
EVALUATED_SPLITS = ("valid", "test")


@dataclass(frozen=True)
class Runtime:
    """The device and the precision of matrix products; weights are always fp32."""

    device: str
    precision: str

    def autocast(self) -> torch.amp.autocast_mode.autocast:
        """The context of every forward pass."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


def resolve_runtime(device: str, precision: str) -> Runtime:
    """Turn `auto` into what this machine has.

    Raises:
        InputError: a device was asked for that this machine lacks.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu or auto")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        has_bf16 = torch.cuda.is_bf16_supported() if device == "cuda" else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if has_bf16 else "fp32"
    return Runtime(device, precision)


@dataclass(frozen=True)
class Progress:
    """One run's state for whoever watches."""

    arm: str
    seed: int
    phase: str
    """`training`, or `evaluating` at the end."""
    step: int
    num_steps: int
    loss_nats: float
    tokens_per_second: float


def run(
    experiment: Experiment,
    arm: str,
    seed: int,
    corpus: TokenizedCorpus,
    runtime: Runtime,
    out: Path,
    command: str,
    on_progress: Callable[[Progress], None],
) -> RunRecord:
    """Train and evaluate one arm with one seed; write its model and, last, its record to `out`.

    Raises:
        RunFailed: training diverged.
        TieError: the model's tie is not what the arm says.
    """
    started = time.perf_counter()
    config = experiment.run_config(arm)
    model = build_model(config.model, corpus.vocab_size, seed).to(runtime.device)
    watcher = _Watcher(experiment, arm, seed, corpus, model, runtime, on_progress)
    watcher.look(Step(0, float("nan"), 0.0))
    train(model, watcher.blocks("train"), config.train, corpus.vocab_size, seed, runtime.autocast(), watcher.on_step)
    check_tie(model, "after training")
    metrics = {split: watcher.measure(split) for split in EVALUATED_SPLITS}
    checkpoint_bytes = save_model(model, corpus.vocab_size, out / f"{arm}-seed{seed}.safetensors")
    train_seconds = watcher.last_step.train_seconds
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        experiment=experiment.name,
        arm=arm,
        seed=seed,
        overrides=experiment.overrides(arm),
        config=config,
        data=Data(
            corpus=corpus.name,
            text_sha256=corpus.text_sha256,
            num_tokens=corpus.num_tokens,
            tokenizer_sha256=corpus.tokenizer_sha256,
            vocab_size=corpus.vocab_size,
        ),
        parameters=measure_parameters(model),
        metrics=metrics,
        curve=watcher.curve,
        cost=Cost(
            train_seconds=train_seconds,
            tokens_per_second=watcher.tokens_read(config.train.num_steps) / train_seconds,
            total_seconds=time.perf_counter() - started,
            peak_memory_bytes=_peak_memory_bytes(runtime),
            checkpoint_bytes=checkpoint_bytes,
        ),
        provenance=_provenance(command, runtime),
    )
    save_record(record, out)
    return record


class _Watcher:
    """Looks at the model while it trains: reports each step and draws the learning curve."""

    def __init__(
        self,
        experiment: Experiment,
        arm: str,
        seed: int,
        corpus: TokenizedCorpus,
        model: MaskedLM,
        runtime: Runtime,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.config, self.arm, self.seed = experiment.run_config(arm), arm, seed
        self.corpus, self.model, self.runtime, self.on_progress = corpus, model, runtime, on_progress
        num_steps, num_evaluations = self.config.train.num_steps, self.config.train.num_evaluations
        self.curve_steps = {round(num_steps * (index + 1) / num_evaluations) for index in range(num_evaluations)}
        self.curve: list[CurvePoint] = []
        self.last_step = Step(0, float("nan"), 0.0)

    def blocks(self, split: str) -> Tensor:
        """(N, T) of a split."""
        return torch.from_numpy(self.corpus.blocks(split, self.config.corpus.seq_length))

    def tokens_read(self, step: int) -> int:
        """In training, up to and with a step; padding of a short block counts as read."""
        return step * self.config.train.batch_size * self.config.corpus.seq_length

    def on_step(self, step: Step) -> None:
        """Tell of a step and, at the points of the learning curve, look."""
        self.last_step = step
        self._tell("training")
        if step.step in self.curve_steps:
            self.look(step)

    def look(self, step: Step) -> None:
        """Add a point to the learning curve, by one fold of some blocks of train and valid."""
        losses = {}
        for split in ("train", "valid"):
            blocks = self.blocks(split)
            rows = torch.linspace(0, len(blocks) - 1, min(CURVE_BLOCKS, len(blocks))).long()
            losses[split] = self._evaluate(blocks[rows], folds=range(1)).masked_lm_loss_nats
        self.curve.append(
            CurvePoint(
                step=step.step,
                num_tokens=self.tokens_read(step.step),
                train_seconds=step.train_seconds,
                train_loss_nats=losses["train"],
                valid_loss_nats=losses["valid"],
            )
        )

    def measure(self, split: str) -> SplitMetrics:
        """The full fold evaluation of a split."""
        self._tell(f"evaluating {split}")
        totals = self._evaluate(self.blocks(split))
        return SplitMetrics(
            num_tokens=int(totals.block_num_tokens.sum()),
            total_nll_nats=float(totals.block_nll_nats.sum()),
            num_correct=int(totals.block_num_correct.sum()),
            unigram_perplexity=self.corpus.unigram_perplexity(split),
            block_nll_nats=totals.block_nll_nats.tolist(),
            block_num_tokens=totals.block_num_tokens.int().tolist(),
        )

    def _evaluate(self, blocks: Tensor, **folds: range) -> EvalTotals:
        return evaluate(self.model, blocks, self.config.train.eval_mask_seed, self.runtime.autocast(), **folds)

    def _tell(self, phase: str) -> None:
        step = self.last_step
        self.on_progress(
            Progress(
                self.arm,
                self.seed,
                phase,
                step.step,
                self.config.train.num_steps,
                step.loss_nats,
                self.tokens_read(step.step) / step.train_seconds,
            )
        )


def _peak_memory_bytes(runtime: Runtime) -> int:
    if runtime.device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts from the fork on, when this process was still its parent
        return 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)[1])  # type: ignore[index]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _provenance(command: str, runtime: Runtime) -> Provenance:
    commit = _git("rev-parse", "HEAD")
    return Provenance(
        command=command,
        finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        tiedlm_version=__version__,
        git_commit=commit,
        git_dirty=None if commit is None else bool(_git("status", "--porcelain", "--", "tiedlm")),
        python=platform.python_version(),
        torch=torch.__version__,
        device=runtime.device,
        processor=_processor(runtime),
        precision=runtime.precision,
        num_threads=torch.get_num_threads(),
    )


def _git(*arguments: str) -> str | None:
    """git's answer about the checkout that this code runs from, or None where it is no checkout."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _processor(runtime: Runtime) -> str:
    if runtime.device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def command_line() -> str:
    """The command as the user typed it, with the program's name for its path."""
    return shlex.join(["tiedlm", *sys.argv[1:]])


def available_cpus() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

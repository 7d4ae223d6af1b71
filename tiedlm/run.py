"""Experiment + arm + seed → RunRecord: the only place where the pieces meet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tiedlm.checkpoint import save_model
from tiedlm.config import Experiment
from tiedlm.evaluate import EvalTotals, evaluate
from tiedlm.model import MaskedLM, build_model, check_tie, measure_parameters
from tiedlm.record import SCHEMA_VERSION, Cost, CurvePoint, Data, RunRecord, SplitMetrics, save_record
from tiedlm.runtime import Runtime, peak_memory_bytes, provenance
from tiedlm.tokens import TokenizedCorpus
from tiedlm.train import Step, train

CURVE_BLOCKS = 512  # evenly spaced, of train and of valid alike, for each point of the learning curve
EVALUATED_SPLITS = ("valid", "test")


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
            peak_memory_bytes=peak_memory_bytes(runtime),
            checkpoint_bytes=checkpoint_bytes,
        ),
        provenance=provenance(command, runtime),
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

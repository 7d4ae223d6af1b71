"""Looks at a model while it trains: tells of every step and draws the learning curve. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tiedlm.data.frequency_bands import LEAST_COUNTS, frequency_bands
from tiedlm.data.masking import fold_batch, fold_ranks
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.processes.ranks import ALONE, Ranks
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.metrics import MAX_NATS, BandMetrics, SplitMetrics
from tiedlm.training.checkpoint import RunKey
from tiedlm.training.device import Runtime
from tiedlm.training.fold_evaluation import EvalTotals, evaluate
from tiedlm.training.gradient_sides import gradient_sides
from tiedlm.training.loop import Diverged, Step
from tiedlm.training.progress import Progress

CURVE_TOKENS = 1 << 15  # in blocks evenly spaced, of train and of valid alike, for each point of the learning curve
GRADIENT_TOKENS = 1 << 12  # of train, for the gradients of each point


class Monitor:
    """Looks at the model while it trains: reports each step and draws the learning curve."""

    def __init__(
        self,
        key: RunKey,
        corpus: TokenizedCorpus,
        model: MaskedLM,
        runtime: Runtime,
        on_progress: Callable[[Progress], None],
        on_point: Callable[[CurvePoint], None],
        ranks: Ranks = ALONE,
    ) -> None:
        self.run, self.config = key.run, key.config
        self.corpus, self.model, self.runtime = corpus, model, runtime
        self.on_progress, self.on_point, self.ranks = on_progress, on_point, ranks
        self.bands = torch.from_numpy(frequency_bands(corpus.token_counts("train")))
        num_steps, num_evaluations = self.config.train.num_steps, self.config.train.num_evaluations
        self.curve_steps = {round(num_steps * (index + 1) / num_evaluations) for index in range(num_evaluations)}
        self.curve: list[CurvePoint] = []
        self.last_step = Step(0, float("nan"), 0.0, 0.0)

    def begin(self, curve: list[CurvePoint], step: int, train_seconds: float) -> None:
        """Go on with a learning curve after a step, or look at the untrained model if the curve is empty."""
        self.curve, self.last_step = list(curve), Step(step, float("nan"), 0.0, train_seconds)
        if not curve:
            self.look(self.last_step)

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
        losses = {
            split: self._evaluate(self._some(split, CURVE_TOKENS), folds=range(1)).masked_lm_loss_nats
            for split in ("train", "valid")
        }
        blocks = self._some("train", GRADIENT_TOKENS)
        batch = fold_batch(blocks, fold_ranks(blocks, self.config.train.eval_mask_seed), 0)
        try:
            gradients = gradient_sides(self.model, batch.to(torch.device(self.runtime.device)), self.runtime.autocast())
        except FloatingPointError as error:
            raise Diverged(f"step {step.step}: {error}; lower the learning rates or model.initializer_range") from error
        self.curve.append(
            CurvePoint(
                step=step.step,
                num_tokens=self.tokens_read(step.step),
                train_seconds=step.train_seconds,
                train_loss_nats=losses["train"],
                valid_loss_nats=losses["valid"],
                gradients=gradients,
            )
        )
        self.on_point(self.curve[-1])

    def _some(self, split: str, num_tokens: int) -> Tensor:
        """Blocks of so many tokens, evenly spaced over a split."""
        blocks = self.corpus.blocks(split, self.config.corpus)
        num_rows = min(max(1, num_tokens // blocks.shape[1]), len(blocks))
        return blocks[torch.linspace(0, len(blocks) - 1, num_rows).long()]

    def measure(self, split: str) -> SplitMetrics:
        """The full fold evaluation of a split."""
        phase = f"evaluating {split}"
        self._tell(phase, 0.0)
        totals = self._evaluate(
            self.corpus.blocks(split, self.config.corpus), on_batch=lambda done: self._tell(phase, done)
        )
        return SplitMetrics(
            num_tokens=int(totals.block_num_tokens.sum()),
            total_nll_nats=float(totals.block_nll_nats.sum()),
            num_correct=int(totals.block_num_correct.sum()),
            unigram_perplexity=self.corpus.unigram_perplexity(split),
            num_unk=int(totals.block_num_unk.sum()),
            unk_nll_nats=float(totals.block_unk_nll_nats.sum()),
            num_words=self.corpus.num_words[split],
            num_bytes=self.corpus.num_bytes[split],
            bands=[
                BandMetrics(
                    least_count=least_count,
                    num_tokens=int(totals.band_num_tokens[band]),
                    total_nll_nats=float(totals.band_nll_nats[band]),
                    num_correct=int(totals.band_num_correct[band]),
                )
                for band, least_count in enumerate(LEAST_COUNTS)
            ],
            block_nll_nats=totals.block_nll_nats.tolist(),
            block_num_tokens=totals.block_num_tokens.int().tolist(),
        )

    def _evaluate(self, blocks: Tensor, **options: Any) -> EvalTotals:
        seed = self.config.train.eval_mask_seed
        totals = evaluate(self.model, blocks, seed, self.runtime.autocast(), self.bands, ranks=self.ranks, **options)
        loss_nats = totals.masked_lm_loss_nats
        if not loss_nats < MAX_NATS:  # nor is NaN
            raise Diverged(
                f"step {self.last_step.step}: loss {loss_nats} in evaluation; lower the learning rates or "
                "model.initializer_range"
            )
        return totals

    def _tell(self, phase: str, evaluated: float = 0.0) -> None:
        step = self.last_step
        self.on_progress(
            Progress(
                self.run,
                phase,
                step.step,
                self.config.train.num_steps,
                self.tokens_read(step.step),
                step.loss_nats,
                step.learning_rate,
                self.tokens_read(step.step) / step.train_seconds,
                evaluated,
            )
        )

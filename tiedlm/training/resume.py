"""When a checkpoint is written, and how an interrupted run resumes from one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tiedlm.config.run_config import RunConfig
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.model.masked_lm import check_tie
from tiedlm.processes.ranks import ALONE, Ranks
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.origin import Data
from tiedlm.record.run_id import RunId
from tiedlm.training.checkpoint import CheckpointFiles, CheckpointHeader, DamagedCheckpoint, RunKey, load_checkpoint
from tiedlm.training.device import Runtime, peak_memory_bytes
from tiedlm.training.loop import RunFailed
from tiedlm.training.pairing import BatchChain
from tiedlm.training.provenance import present_code
from tiedlm.training.state import StateError, TrainingState


class Interrupted(Exception):
    """A run was asked to stop; where it stands is in its checkpoint."""


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a run saves, resumes and stops."""

    resume: bool = True
    """Go on from a checkpoint, if there is one."""
    checkpoint_seconds: float = 60.0
    """Between two checkpoints; one more is written when training ends, and one when the run is stopped."""
    should_stop: Callable[[], bool] = lambda: False
    """Asked after every step."""
    warn: Callable[[str], None] = lambda _: None
    """Told from which step the run goes on, and what is wrong with a checkpoint, without which it goes on."""
    ranks: Ranks = ALONE
    """Of which the first alone writes; all of them stop after the same step."""


def run_key(experiment: str, run: RunId, config: RunConfig, corpus: TokenizedCorpus, runtime: Runtime) -> RunKey:
    """What a run is made of."""
    data = Data(
        corpus=corpus.name,
        text_sha256=corpus.text_sha256,
        num_tokens=corpus.num_tokens,
        tokenizer_sha256=corpus.tokenizer_sha256,
        vocab_size=corpus.vocab_size,
    )
    return RunKey(
        experiment=experiment,
        arm=run.arm,
        seed=run.seed,
        config=config,
        data=data,
        device=runtime.device,
        precision=runtime.precision,
    )


class CheckpointManager:
    """Writes the checkpoints of one run and resumes it from them; knows what all its processes took."""

    def __init__(
        self, files: CheckpointFiles, key: RunKey, state: TrainingState, runtime: Runtime, policy: CheckpointPolicy
    ) -> None:
        self.files, self.key, self.state, self.runtime, self.policy = files, key, state, runtime, policy
        self.code = present_code()
        self.started = self.saved_at = time.monotonic()
        self.seconds_before, self.bytes_before = 0.0, 0

    @property
    def total_seconds(self) -> float:
        """Since the run began; the time between two of its processes does not count."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def peak_memory_bytes(self) -> int:
        """Of the process that took most."""
        return max(self.bytes_before, peak_memory_bytes(self.runtime))

    def resume(self) -> list[CurvePoint]:
        """Restore the newest checkpoint that is whole and return its learning curve; empty if the run begins now."""
        is_first = self.policy.ranks.is_first
        if not self.policy.resume and is_first:
            self.files.delete()
        for path in self.files.candidates() if self.policy.resume else ():
            try:
                header, tensors = load_checkpoint(path)
                if header.key != self.key or header.step > self.key.config.train.num_steps:
                    raise DamagedCheckpoint(f"{path}: is of another run")
                self.state.restore(tensors, header.step, header.train_seconds)
                self.state.batches = BatchChain(header.order_sha256, header.masks_sha256)
            except (DamagedCheckpoint, StateError) as error:
                words = str(error) if isinstance(error, DamagedCheckpoint) else f"{path}: {error}"
                self.policy.warn(f"{words}; it is not used")
                if is_first:
                    path.unlink(missing_ok=True)  # or the next one would push out the good one before it
            else:
                self._go_on(header)
                return header.curve
        return []

    def _go_on(self, header: CheckpointHeader) -> None:
        if self.policy.ranks.number == 1:
            torch.set_num_threads(header.num_threads)
        self.seconds_before, self.bytes_before = header.total_seconds, header.peak_memory_bytes
        if header.code == self.code:
            self.policy.warn(f"goes on from step {header.step:,}")
        else:
            changed = ", ".join(
                f"{field} {before} then, {getattr(self.code, field)} now"
                for field, before in header.code
                if before != getattr(self.code, field)
            )
            self.policy.warn(f"goes on from step {header.step:,} of other code ({changed}); its record says so")
            self.code = self.code.model_copy(update={"git_dirty": True})

    def on_step(self, curve: list[CurvePoint]) -> None:
        """Write a checkpoint if it is time for one.

        Raises:
            Interrupted: the run is to stop.
            RunFailed: the folder of the records is gone.
            TieError: the model's tie is not what the arm says; what was saved before stays.
        """
        if not self.files.out.is_dir():
            raise RunFailed(f"step {self.state.step}: {self.files.out} is gone, where the record was to be written")
        must_stop = self.policy.ranks.any(self.policy.should_stop())
        is_trained = self.state.step == self.key.config.train.num_steps
        if must_stop or is_trained or time.monotonic() - self.saved_at >= self.policy.checkpoint_seconds:
            self._save(curve)
        if must_stop:
            raise Interrupted

    def _save(self, curve: list[CurvePoint]) -> None:
        check_tie(self.state.model, f"at the checkpoint of step {self.state.step}")
        self.saved_at = time.monotonic()
        if not self.policy.ranks.is_first:
            return
        header = CheckpointHeader(
            checkpoint_format=5,
            key=self.key,
            code=self.code,
            step=self.state.step,
            order_sha256=self.state.batches.order_sha256,
            masks_sha256=self.state.batches.masks_sha256,
            train_seconds=self.state.train_seconds,
            total_seconds=self.total_seconds,
            peak_memory_bytes=self.peak_memory_bytes,
            num_threads=torch.get_num_threads(),
            curve=curve,
        )
        try:
            self.files.save(header, self.state.tensors())
        except OSError as error:
            self.policy.warn(f"{self.files.newest}: step {self.state.step} cannot be saved ({error})")
        self.saved_at = time.monotonic()

"""One run from start to end: its id, configuration and tokens → a model, and a RunRecord."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiedlm.config.corpus_config import EVALUATED_SPLITS
from tiedlm.config.experiment import ArmConfig
from tiedlm.data.output_map import read_output_map
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.model.masked_lm import build_model, check_tie, measure_parameters
from tiedlm.model.saved_model import save_model
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.origin import Cost, DesignOption, Pairing
from tiedlm.record.record_file import load_record, save_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import SCHEMA_VERSION, RunRecord
from tiedlm.training.checkpoint import CheckpointFiles
from tiedlm.training.device import Runtime
from tiedlm.training.loop import Step, train
from tiedlm.training.monitor import Monitor
from tiedlm.training.pairing import eval_masks, start_values
from tiedlm.training.parts import Division
from tiedlm.training.progress import Progress
from tiedlm.training.provenance import provenance
from tiedlm.training.resume import CheckpointManager, CheckpointPolicy, run_key
from tiedlm.training.state import TrainingState


def train_run(
    experiment: str,
    run: RunId,
    arm: ArmConfig,
    corpus: TokenizedCorpus,
    runtime: Runtime,
    out: Path,
    command: str,
    on_progress: Callable[[Progress], None],
    policy: CheckpointPolicy = CheckpointPolicy(),  # noqa: B008 (frozen)
    on_point: Callable[[CurvePoint], None] = lambda _: None,
    design_sha256: dict[DesignOption, str] | None = None,
    micro_batch: int | None = None,
) -> RunRecord:
    """Train and evaluate one arm of an experiment with one seed; write its model and, last, its record to `out`.

    `on_point` is told each point of the learning curve that is made here. `design_sha256` are the digests of the
    designs that led to the run, by option. Of several ranks of the `policy` each has a part of every batch, and the
    first one alone writes; `micro_batch` is how many blocks go through the model at a time.

    Raises:
        Diverged: the loss is not finite, or beyond all bounds.
        RunFailed: the folder of the record is gone.
        Interrupted: the run was asked to stop; the same call goes on from its checkpoint.
        TieError: the model's tie is not what the arm says.
    """
    config = arm.config
    key = run_key(experiment, run, config, corpus, runtime)
    output_map = read_output_map(corpus) if config.intervention.output_rows == "map" else None
    counts = corpus.token_counts("train")
    model = build_model(config.model, corpus.vocab_size, run.seed, counts, config.intervention, output_map)
    started_from = start_values(model)
    model = model.to(runtime.device)
    monitor = Monitor(key, corpus, model, runtime, on_progress, on_point, policy.ranks)
    blocks = corpus.blocks("train", config.corpus)
    state = TrainingState(model, len(blocks), config.train, run.seed, runtime.product_dtype)
    checkpoints = CheckpointManager(CheckpointFiles(out, run), key, state, runtime, policy)
    curve = checkpoints.resume()
    policy.ranks.check_agree("the step", state.step)
    monitor.begin(curve, state.step, state.train_seconds)
    check_tie(model, "before training")

    def on_step(step: Step) -> None:
        monitor.on_step(step)
        checkpoints.on_step(monitor.curve)

    division = Division(policy.ranks, micro_batch)
    train(state, blocks, config.train, corpus.vocab_size, runtime.autocast(), on_step, division)
    check_tie(model, "after training")
    metrics = {split: monitor.measure(split) for split in EVALUATED_SPLITS}
    if not policy.ranks.is_first:
        policy.ranks.wait()
        return load_record(out / run.record_file)
    saved = save_model(model, corpus.vocab_size, out / run.model_file)
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        experiment=experiment,
        arm=run.arm,
        seed=run.seed,
        overrides=arm.overrides,
        config=config,
        data=key.data,
        text_source=corpus.source,
        parameters=measure_parameters(model),
        metrics=metrics,
        curve=monitor.curve,
        pairing=Pairing(
            start_values=started_from,
            order_sha256=state.batches.order_sha256,
            masks_sha256=state.batches.masks_sha256,
            eval_masks_sha256={
                split: eval_masks(corpus.blocks(split, config.corpus), config.train.eval_mask_seed)
                for split in EVALUATED_SPLITS
            },
        ),
        model_sha256=saved.sha256,
        design_sha256=design_sha256,
        cost=Cost(
            train_seconds=state.train_seconds,
            tokens_per_second=monitor.tokens_read(config.train.num_steps) / state.train_seconds,
            total_seconds=checkpoints.total_seconds,
            peak_memory_bytes=checkpoints.peak_memory_bytes,
            checkpoint_bytes=saved.num_bytes,
        ),
        provenance=provenance(command, runtime, checkpoints.code, policy.ranks.number),
    ).sealed()
    save_record(record, out)
    checkpoints.files.delete()
    policy.ranks.wait()
    return record

"""Everything that can be checked before the first step: runs that are asked for → jobs that can be started."""

from __future__ import annotations

from pathlib import Path

from tiedlm.comparison.comparability import check_runtime, check_text
from tiedlm.config.experiment import ArmConfig, Experiment
from tiedlm.config.run_config import RunConfig
from tiedlm.counting.closed_forms.parameter_bytes import TRAINING_RECIPES
from tiedlm.counting.closed_forms.parameters import count_config
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.errors import InputError
from tiedlm.execution.job import Job
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.training.checkpoint import CheckpointFiles
from tiedlm.training.device import Runtime, available_cpus, available_memory_bytes, resolve_runtime
from tiedlm.training.provenance import command_line
from tiedlm.training.resume import run_key

BYTES_PER_PARAMETER = TRAINING_RECIPES["float32"].total


def prepare_jobs(
    experiment: Experiment,
    corpus: TokenizedCorpus,
    runs: list[RunId],
    records: list[RunRecord],
    out: Path,
    options: RunOptions,
) -> tuple[list[Job], int]:
    """Check everything that can be checked before training, and return the jobs and how many run side by side.

    `records` are those that the new ones will be compared with.

    Raises:
        InputError: the device or the output folder cannot be used, or corpus and device do not fit the records
            or the checkpoints of unfinished runs.
    """
    runtime = resolve_runtime(options.device, options.precision)
    check_runtime(records, runtime.device, runtime.precision)
    check_text(records, corpus.name, corpus.text_sha256)
    for record in records:
        _check_tokenizer(record, corpus)
    arms = {run.arm: experiment.arm_config(run.arm) for run in runs}
    if options.resume:
        for run in runs:
            CheckpointFiles(out, run).check(run_key(experiment.name, run, arms[run.arm].config, corpus, runtime))
    num_side_by_side = options.jobs
    if num_side_by_side is None:  # on a CPU, one thread a run is faster in sum than one run at a time
        num_side_by_side = 1 if runtime.device == "cuda" else available_cpus()
    num_side_by_side = min(num_side_by_side, len(runs))
    _check_memory(arms, runs, corpus.vocab_size, num_side_by_side, runtime)
    num_threads = max(1, available_cpus() // num_side_by_side)
    command = command_line()
    rest = (corpus, runtime, out, command, num_threads, options.resume, options.checkpoint_seconds)
    return [Job(experiment.name, run, arms[run.arm], *rest) for run in runs], num_side_by_side


def _check_tokenizer(record: RunRecord, corpus: TokenizedCorpus) -> None:
    if record.data.tokenizer_sha256 != corpus.tokenizer_sha256:
        raise InputError(
            f"{record.file_name} in the output folder was made with another tokenizer than corpus {corpus.name!r} has "
            "now; choose another --out"
        )


def _check_memory(
    arms: dict[str, ArmConfig], runs: list[RunId], vocab_size: int, num_side_by_side: int, runtime: Runtime
) -> None:
    """Refuse what no machine of this size can do, rather than let the kernel kill whatever it chooses."""
    memory = available_memory_bytes()
    if runtime.device != "cpu" or memory is None:
        return
    configs = {name: arm.config for name, arm in arms.items()}
    parameters = {arm: count_config(arm, configs[arm].trained_model.config_json(vocab_size)).total for arm in configs}
    states = {arm: BYTES_PER_PARAMETER * number for arm, number in parameters.items()}
    activations = {arm: _activation_bytes(config) for arm, config in configs.items()}
    needed = sorted((states[run.arm] + activations[run.arm] for run in runs), reverse=True)[:num_side_by_side]
    if sum(needed) > memory:
        raise InputError(
            f"{num_side_by_side} runs side by side with up to {max(parameters.values()):,} parameters need over "
            f"{sum(needed) / 1e9:,.1f} GB, of which {max(states.values()) / 1e9:,.1f} GB a run are weights, gradients "
            f"and optimizer states and {max(activations.values()) / 1e9:,.1f} GB activations, and {memory / 1e9:,.1f} "
            "GB may be used here; lower --jobs, train.batch_size or the model's sizes"
        )


def _activation_bytes(config: RunConfig) -> int:
    """A lower bound of what a step keeps for its backward pass, in 16-bit numbers.

    Of each layer the inputs of its linear maps, queries, keys and values, and both halves of the feed-forward: terms of
    the sum of Korthikanti et al. 2022 (Reducing Activation Recomputation, section 4.1), without those that a library
    may spare.
    """
    model, tokens = config.model, config.train.batch_size * config.corpus.seq_length
    return 2 * tokens * model.num_hidden_layers * (6 * model.hidden_size + 2 * model.intermediate_size)

"""What `tiedlm doctor` looks at: versions, processor, cache, data, and whether the experiment's promises hold here."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from tiedlm.atomic_file import TEMPORARY_PREFIX, temporary_folder
from tiedlm.config.experiment_file import find_experiment, read_experiment
from tiedlm.config.model_config import ModelConfig
from tiedlm.config.train_config import TrainConfig
from tiedlm.data.sources.cache import SUMS_FILE, cache_path, is_intact
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.errors import InputError
from tiedlm.generators import make_generator
from tiedlm.model.masked_lm import TieError, build_model, check_tie, measure_parameters
from tiedlm.model.saved_model import load_model, save_model
from tiedlm.processes.available_cpus import available_cpus
from tiedlm.training.device import Runtime, processor, resolve_runtime
from tiedlm.training.loop import RunFailed, Step, train
from tiedlm.training.state import TrainingState
from tiedlm.version import __version__

LIBRARIES = ("torch", "typer", "datasets", "tokenizers", "rich", "safetensors", "pydantic", "scipy", "matplotlib")
VOCAB_SIZE = 500
TOY_SETTINGS = [
    "model.hidden_size=64",
    "model.intermediate_size=96",
    "model.num_attention_heads=2",
    "model.hidden_dropout_prob=0.1",
    "train.num_steps=6",
]


@dataclass(frozen=True)
class Finding:
    """One line of the answer. Only what is `failed` makes the exit status 1."""

    name: str
    status: Literal["ok", "note", "failed"]
    text: str


@dataclass(frozen=True)
class Examination:
    """What `tiedlm doctor` has found."""

    schema_version: Literal[1] = field(default=1, init=False)
    findings: list[Finding]


def examine(data_dir: Path | None) -> Examination:
    """Look at everything; this takes a few seconds and leaves nothing behind but an empty cache folder."""
    runtime = resolve_runtime("auto", "auto")
    data = [_data(name, data_dir) for name in KNOWN]
    return Examination(
        [_versions(), _device(runtime), _precision(runtime), _cache(), *data, *_self_test(runtime)],
    )


def render_findings(findings: list[Finding]) -> Table:
    """A line each, for the terminal."""
    styles = {"ok": "green", "note": "yellow", "failed": "bold red"}
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(finding.name, Text(finding.status, style=styles[finding.status]), Text(finding.text))
    return table


def _versions() -> Finding:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return Finding(
        "versions", "ok", ", ".join([f"tiedlm {__version__}", f"Python {platform.python_version()}", *versions])
    )


def _device(runtime: Runtime) -> Finding:
    cpus = f"{available_cpus()} CPU cores to use, PyTorch takes {torch.get_num_threads()} threads"
    return Finding("device", "ok", f"{runtime.device}: {processor(runtime)}; {cpus}")


def _precision(runtime: Runtime) -> Finding:
    if runtime.precision == "bf16":
        return Finding("precision", "ok", "bf16 matrix products by --precision auto")
    return Finding("precision", "note", "no bf16 in hardware, so fp32 by --precision auto: a few times slower")


def _cache() -> Finding:
    place = cache_path()
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
        folders = [folder for folder in place.iterdir() if (folder / SUMS_FILE).is_file()]
        num_bytes = sum(_bytes_on_disk(path) for path in place.rglob("*") if path.is_file())
        damaged = [folder.name for folder in folders if not is_intact(folder)]
    except OSError as error:
        return Finding("cache", "failed", f"{place}: cannot be used ({error.strerror}); set XDG_CACHE_HOME")
    text = f"{place}: {len(folders)} entries, {num_bytes / 1e6:,.0f} MB"
    if damaged:
        return Finding("cache", "note", f"{text}; damaged, to be made again when needed: {', '.join(damaged)}")
    return Finding("cache", "ok", text)


def _bytes_on_disk(path: Path) -> int:
    """Zeros at the end of a file take none, where the system says so."""
    status = path.stat()
    return status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size


def _data(name: str, data_dir: Path | None) -> Finding:
    try:
        corpus = load_corpus(name, data_dir, may_fetch=False)
    except InputError as error:
        if data_dir is None:
            return Finding(name, "note", "not here; fetched when it is first needed, or taken from --data-dir")
        return Finding(name, "note", str(error))
    return Finding(name, "ok", f"found and verified: {corpus.source}")


def _self_test(runtime: Runtime) -> Iterator[Finding]:
    for name, check in {"tie": _check_tie, "determinism": _check_determinism}.items():
        started = time.perf_counter()
        try:
            text = check(runtime)
        except (TieError, RunFailed, _Broken) as error:
            yield Finding(name, "failed", str(error))
        else:
            yield Finding(name, "ok", f"{text} ({time.perf_counter() - started:.1f} s)")


class _Broken(Exception):
    """A promise does not hold on this machine; the message says which."""


def _check_tie(runtime: Runtime) -> str:
    """One matrix before and after training, and after saving and loading; untied, one more of exactly V × H."""
    tied = _trained(runtime, tie=True).model
    check_tie(tied, "after training")
    with temporary_folder(TEMPORARY_PREFIX) as folder:
        path = folder / "model.safetensors"
        save_model(tied, VOCAB_SIZE, path)
        loaded = load_model(path)
    if any(not torch.equal(a.cpu(), b) for a, b in zip(tied.parameters(), loaded.parameters(), strict=True)):
        raise _Broken("a saved model came back with other values")
    model, _ = _toy(tie=False)
    saved = VOCAB_SIZE * model.hidden_size
    untied = build_model(model, VOCAB_SIZE, seed=0)
    if sum(measure_parameters(untied).values()) - sum(measure_parameters(loaded).values()) != saved:
        raise _Broken("the arms do not differ by vocab_size × hidden_size parameters")
    return f"one matrix, trained, saved and loaded; untied, {saved:,} = V × H parameters more"


def _check_determinism(runtime: Runtime) -> str:
    """The same run twice, and once stopped in the middle and taken up again."""
    whole, again, stopped = (_trained(runtime, stop=stop) for stop in (False, False, True))
    for other, words in ((again, "repeated"), (stopped, "stopped and taken up again")):
        theirs = other.tensors()
        differing = [name for name, tensor in whole.tensors().items() if not torch.equal(tensor, theirs[name])]
        if differing:
            raise _Broken(f"a run that is {words} is not equal bit for bit here, first in {differing[0]}")
    return f"a run in {runtime.precision}, repeated or stopped and taken up again, is equal bit for bit"


def _toy(tie: bool) -> tuple[ModelConfig, TrainConfig]:
    experiment = read_experiment(find_experiment("pydoc"), TOY_SETTINGS)
    config = experiment.run_config("tied" if tie else "untied")
    return config.model, config.train


def _trained(runtime: Runtime, tie: bool = True, stop: bool = False) -> TrainingState:
    """A few steps on random blocks; with `stop`, the second half by another state, restored from the middle."""
    model_config, config = _toy(tie)
    blocks = torch.randint(10, VOCAB_SIZE, (64, 32), generator=make_generator(0, "doctor"))

    def state() -> TrainingState:
        model = build_model(model_config, VOCAB_SIZE, seed=0).to(runtime.device)
        return TrainingState(model, len(blocks), config, 0, runtime.product_dtype)

    kept: dict[str, Tensor] = {}
    current = state()

    def keep_the_middle(step: Step) -> None:
        if step.step == config.num_steps // 2:
            kept.update({name: tensor.clone() for name, tensor in current.tensors().items()})

    train(current, blocks, config, VOCAB_SIZE, runtime.autocast(), keep_the_middle)
    if stop:
        current = state()
        current.restore(kept, config.num_steps // 2, 0.0)
        train(current, blocks, config, VOCAB_SIZE, runtime.autocast(), lambda _: None)
    return current

"""What `count-params` is asked about → its answer: a known model, a configuration, a checkpoint, an experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.blueprint import NoClosedForm
from tiedlm.checkpoint_count import CheckpointCount, TieClaim, count_checkpoint
from tiedlm.counting import ParameterCount, count_config
from tiedlm.errors import InputError, printable
from tiedlm.hub import HUB_NAME, fetch_config, fetch_tensors
from tiedlm.json_file import read_json
from tiedlm.known_models import KNOWN_MODELS
from tiedlm.safetensors_header import StoredTensor, read_header, read_index

if TYPE_CHECKING:
    from tiedlm.config import CorpusConfig
    from tiedlm.record import RunRecord

WEIGHTS = ("model.safetensors.index.json", "model.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5", ".gguf")
HEADS = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForPreTraining")


@dataclass(frozen=True)
class Answer:
    """A count, and what it was made from."""

    count: ParameterCount
    config: Mapping[str, Any] | None = None
    """The model's `config.json`, where there is one: what `--what-if` changes."""
    checkpoint: CheckpointCount | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """The JSON of `count-params --json`."""
        checkpoint = None if self.checkpoint is None else self.checkpoint.document()
        return self.count.document() | {"checkpoint": checkpoint, "notes": list(self.notes)}


def list_counts() -> list[ParameterCount]:
    """Every known model."""
    return [count_config(name, model.config, model.source) for name, model in KNOWN_MODELS.items()]


def count_named(name: str) -> Answer:
    """Count what a name stands for: see `count-params --help`.

    Raises:
        InputError: the name stands for nothing, or for something that cannot be read or counted.
    """
    if name in KNOWN_MODELS:
        known = KNOWN_MODELS[name]
        return Answer(count_config(name, known.config, known.source), known.config)
    path = Path(name)
    if path.is_file() and path.suffix != ".toml":
        return _count_file(path)
    from tiedlm.config import shipped_experiments  # here, as below: pydantic takes longer to import than to count

    if path.is_file() or name in shipped_experiments():
        return _count_experiment(name)
    if path.is_dir():
        return _count_folder(path)
    if HUB_NAME.fullmatch(name) and not path.exists():
        return _count_hub(name)
    raise InputError(
        f"model {name!r} is neither a known model, a file, a folder, an experiment nor owner/name on the Hub; "
        "try tiedlm count-params --list"
    )


def _count_file(path: Path) -> Answer:
    if path.suffix == ".safetensors":
        tensors, metadata = read_header(path)
        config = _own_config(metadata, path) if "tiedlm" in metadata else _config_beside(path)
        return _answer(str(path), config, tensors)
    if path.name.endswith(".safetensors.index.json"):
        return _answer(str(path), _config_beside(path), read_index(path))
    if path.suffix == ".json":
        return _answer(str(path), read_json(path))
    if path.suffix in PICKLES:
        raise InputError(f"{path}: {path.suffix} files are not opened, since some run code; save it as .safetensors")
    raise InputError(f"{path}: is none of config.json, .safetensors, .safetensors.index.json and .toml; give one")


def _count_folder(folder: Path) -> Answer:
    for file_name in WEIGHTS:
        if (folder / file_name).is_file():
            return _count_file(folder / file_name)
    if (folder / "config.json").is_file():
        return _count_file(folder / "config.json")
    return _count_records(folder)


def _count_records(folder: Path) -> Answer:
    """A run folder: the model of its first record, and for each other arm what that holds."""
    from tiedlm.record import load_records

    arms = {record.arm: record for record in reversed(load_records(folder))}
    first, *others = (_count_record(folder, arms[name]) for name in sorted(arms))
    totals = (
        f"{other.count.name}: {other.count.total:,} parameters, {other.count.total - first.count.total:+,}"
        for other in others
    )
    return Answer(first.count, first.config, first.checkpoint, (*first.notes, *totals))


def _count_record(folder: Path, record: RunRecord) -> Answer:
    """By the model's file where it is there, else by closed form; either must be what was measured in training."""
    name = f"{record.experiment}, arm {record.arm}"
    weights = folder / Path(record.file_name).with_suffix(".safetensors")
    config = record.config.model.config_json(record.data.vocab_size)
    answer = _answer(name, config, read_header(weights)[0] if weights.is_file() else None)
    if answer.count.groups != record.parameters:
        raise InputError(
            f"{folder / record.file_name}: says {record.parameters}, but its model has {answer.count.groups}; "
            "train it again"
        )
    return answer


def _count_experiment(name: str) -> Answer:
    from tiedlm.config import find_experiment, load_experiment

    experiment = load_experiment(find_experiment(name))
    return _answer(experiment.name, experiment.model.config_json(_vocab_size(experiment.corpus)))


def _vocab_size(corpus: CorpusConfig) -> int:
    from tiedlm.corpus import load_corpus
    from tiedlm.vocabulary import declared_vocab_size

    declared = declared_vocab_size(corpus)
    if declared is not None:
        return declared
    from tiedlm.tokens import tokenize  # here because a known corpus needs no tokenizer

    return tokenize(load_corpus(corpus.name, None), corpus).vocab_size


def _count_hub(name: str) -> Answer:
    config = fetch_config(name)
    try:
        return _answer(name, config, fetch_tensors(name))
    except InputError as error:  # the configuration alone is an answer too
        answer = _answer(name, config)
        return Answer(answer.count, config, None, (*answer.notes, f"counted by its configuration alone: {error}"))


def _config_beside(path: Path) -> dict[str, Any] | None:
    beside = path.parent / "config.json"
    return read_json(beside) if beside.is_file() else None


def _own_config(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    """The configuration that our own models carry in their header."""
    from tiedlm.config import ModelConfig

    try:
        stored = json.loads(metadata["tiedlm"])
        return ModelConfig.model_validate(stored["model"]).config_json(int(stored["vocab_size"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: its tiedlm metadata is damaged; train the model again") from error


def _answer(name: str, config: Mapping[str, Any] | None, tensors: list[StoredTensor] | None = None) -> Answer:
    """Count by configuration, by stored tensors, or by both, and say where the two disagree."""
    if tensors is None:
        assert config is not None, "there is something to count"
        count = _count_config(name, config)
        return Answer(count, config, None, _class_note(count, config))
    if config is None:
        checkpoint = count_checkpoint(tensors, name, None)
        return Answer(_stored_count(name, checkpoint, None), None, checkpoint)
    planned = _count_config(name, config)
    checkpoint = count_checkpoint(tensors, name, _claim(planned, config))
    stored = _stored_count(name, checkpoint, planned)
    return Answer(stored, config, checkpoint, (*_class_note(planned, config), *_difference_note(stored, planned)))


def _count_config(name: str, config: Mapping[str, Any]) -> ParameterCount:
    try:
        return count_config(name, config)
    except NoClosedForm as reason:
        from tiedlm.meta_device import count_built

        return count_built(name, config, str(reason))


def _stored_count(name: str, checkpoint: CheckpointCount, planned: ParameterCount | None) -> ParameterCount:
    vocab_size, width = checkpoint.input_embedding.shape
    return ParameterCount(
        name,
        vocab_size,
        width if planned is None else planned.hidden_size,
        width,
        checkpoint.is_tied,
        checkpoint.groups,
        None if planned is None else planned.architecture,
        None,
        None if planned is None else planned.multiply_adds,
    )


def _claim(planned: ParameterCount, config: Mapping[str, Any]) -> TieClaim:
    named = config.get("architectures") or [planned.architecture]
    has_head = isinstance(named, list) and str(named[0]).endswith(HEADS)
    return TieClaim(planned.tie_word_embeddings, has_head, is_decoder=_is_decoder(planned))


def _is_decoder(planned: ParameterCount) -> bool:
    return "decoder_layers" in planned.groups and not planned.groups["encoder_layers"]


def _class_note(count: ParameterCount, config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("architectures")
    if not isinstance(named, list) or not named or count.architecture in named:
        return ()
    return (f"counted as {count.architecture}; the configuration names {printable(str(named[0])[:80])}",)


def _difference_note(stored: ParameterCount, planned: ParameterCount) -> tuple[str, ...]:
    planned_total = planned.total_tied if stored.tie_word_embeddings else planned.total_untied
    difference = stored.total - planned_total
    form = f"the closed form of {planned.architecture}"
    if planned.multiply_adds is None:
        form = f"the {planned.architecture} that transformers builds"
    if not difference:
        return (f"as many parameters as {form}",)
    groups = {
        group: stored.groups.get(group, 0) - planned.groups.get(group, 0)
        for group in stored.groups | planned.groups
        if group != "decoder_weight"
    }
    parts = ", ".join(f"{group} {number:+,}" for group, number in groups.items() if number)
    return (f"{difference:+,} parameters against {form} ({parts})",)

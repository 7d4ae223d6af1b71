"""What `count-params` is asked about → its answer: a known model, a configuration, a checkpoint, an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.counting.closed_forms.configuration import TIE_KEY
from tiedlm.counting.closed_forms.known_models import KNOWN_MODELS
from tiedlm.counting.closed_forms.parameters import ParameterCount, count_config
from tiedlm.counting.cross_check import Answer, answer_config, answer_gguf, answer_tensors
from tiedlm.counting.draft_answer import answer_draft
from tiedlm.counting.hub import fetch_config, fetch_tensors
from tiedlm.counting.layouts import native_params
from tiedlm.counting.layouts.adapter import FILES as ADAPTER_FILES
from tiedlm.counting.layouts.adapter import adapter_sentence
from tiedlm.counting.layouts.drafts import draft_of
from tiedlm.counting.layouts.empty_tensors import empty_sentence
from tiedlm.counting.layouts.foreign_layouts import config_sentence
from tiedlm.counting.layouts.gguf_kinds import gguf_sentence
from tiedlm.counting.layouts.known_layouts import FOLDER_MARKS, Told, lone_weights, told_of, unread_commands
from tiedlm.counting.layouts.model_parts import why_no_whole
from tiedlm.counting.stored.gguf_header import read_gguf
from tiedlm.counting.stored.json_file import UnreadableJson, read_json
from tiedlm.counting.stored.other_formats import unread_note
from tiedlm.counting.stored.safetensors_header import WEIGHTS, read_header
from tiedlm.counting.stored.torch_archive import UnreadArchive
from tiedlm.counting.stored.weight_files import Weights, is_index, joined, read_weights
from tiedlm.errors import InputError
from tiedlm.hub_client import HUB_NAME
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.config.corpus_config import CorpusConfig
    from tiedlm.counting.stored.safetensors_header import StoredTensor
    from tiedlm.record.run_record import RunRecord


def list_counts(words: Sequence[str] = ()) -> list[ParameterCount]:
    """Every known model; or those with one of the words in their name, here or on the Hub.

    Raises:
        InputError: a word is in no name.
    """
    found = {name: f"{name} {model.hub_name}".lower() for name, model in KNOWN_MODELS.items()}
    for word in words:
        if not any(word.lower() in names for names in found.values()):
            raise InputError(f"--list {word[:60]!r}: no known model has it in its name; give --list alone to see all")
    return [
        count_config(name, KNOWN_MODELS[name].config, KNOWN_MODELS[name].source)
        for name, names in found.items()
        if not words or any(word.lower() in names for word in words)
    ]


def count_params(model: str | Path) -> Answer:
    """Count a model's parameters by group, tied and untied, without loading the model.

    `model` is a known model, a `config.json`, a `.safetensors` file or its index, a `.gguf` file, a
    `pytorch_model.bin`, a folder of these, `owner/name` on the Hugging Face Hub, an experiment, or a folder of records.
    The sums are in `.count`, a `ParameterCount`. What is no whole model, such as an adapter or one part of several, is
    told as what it is, and not counted.

    Raises:
        InputError: the name stands for nothing, or for something that cannot be read or counted.
    """
    name = str(model)
    if name in KNOWN_MODELS:
        known = KNOWN_MODELS[name]
        return Answer(count_config(name, known.config, known.source), "known model", known.config)
    try:
        return _count_path_or_hub(name)
    except OSError as error:  # no right to look, too long for a path, …
        raise InputError(
            f"model {name[:60]!r}: cannot be read ({error.strerror}); try tiedlm count-params --list"
        ) from error


def _count_path_or_hub(name: str) -> Answer:
    path = Path(name)
    is_file = path.is_file()
    if is_file and path.suffix != ".toml":
        return _count_file(path)
    from tiedlm.config.experiment_file import (
        shipped_experiments,  # here, as below: pydantic takes longer to import than to count
    )

    if is_file or name in shipped_experiments():
        return _count_experiment(name)
    if name and path.is_dir():
        return _count_folder(path)
    if HUB_NAME.fullmatch(name) and not path.exists():
        return _count_hub(name)
    base = _base_of(name)
    if base is not None and not path.exists():
        return replace(count_params(base), notes=(f"{name} is taken for {base}",))
    begun = [known for known in KNOWN_MODELS if name and known.startswith(name.lower())]
    like = begun[:1] or get_close_matches(name.lower(), KNOWN_MODELS, n=1)
    raise InputError(
        f"model {name!r} is neither a known model, a file, a folder, an experiment nor owner/name on the Hub; "
        + (f"did you mean {like[0]}, or " if like else "")
        + "try tiedlm count-params --list"
    )


def _base_of(name: str) -> str | None:
    """`bert` → bert-base-uncased, as people say it; None where a family has no model of base size."""
    beginnings = (f"{name.lower()}-base", f"{name.lower()}-uncased")
    return next((known for known in KNOWN_MODELS if known.startswith(beginnings)), None)


def _count_file(path: Path) -> Answer:
    name = path.name.lower()
    if name.endswith(".gguf"):
        model = read_gguf(path)
        sentence = gguf_sentence(path, model)
        if sentence is not None:
            raise InputError(sentence)
        return answer_gguf(str(path), model)
    if name.endswith(".json") and not is_index(path):
        return _count_json(path)
    sentence = why_no_whole(path) if path.is_file() else None
    if sentence is not None:
        raise InputError(sentence)
    return _count_weights(path, read_weights(path))


def _count_json(path: Path) -> Answer:
    """By the file alone; where it marks what its folder is, as the folder."""
    if path.name in FOLDER_MARKS:
        told = FOLDER_MARKS[path.name](path.parent)
        if told is not None:
            return _count_told(path.parent, told)
    if path.name == native_params.FILE:
        config = native_params.read_params(path)
        if config is not None:
            return _said_by_params(answer_config(str(path), config), path)
    sentence = config_sentence(path)
    if sentence is not None:
        raise InputError(sentence)
    answer = answer_config(str(path), read_json(path))
    return replace(answer, notes=(*answer.notes, *unread_commands(path.parent), *unread_note(path.parent, [])))


def _count_weights(path: Path, weights: Weights) -> Answer:
    """Count tensors, once they are a model's: what they are comes before how large it is."""
    if "tiedlm" in weights.metadata:
        return answer_tensors(str(path), weights.tensors, _own_config(weights.metadata, path), is_own=True)
    folder = path if path.is_dir() else path.parent
    is_native = native_params.is_native(path)
    config, notes = _config_in(folder, is_native)
    answer = _answer_kind(path, weights.tensors, config, weights.metadata)
    if config is not None and is_native:
        answer = _said_by_params(answer, folder / native_params.FILE)
    unread = unread_note(folder, {path, *(tensor.file for tensor in weights.tensors if tensor.file)})
    return replace(answer, notes=(*answer.notes, *weights.notes, *unread, *notes))


def _answer_kind(
    place: Path, tensors: list[StoredTensor], config: dict[str, Any] | None, aliases: dict[str, str]
) -> Answer:
    """The answer for what tensors are by their names: a draft, or a model; an adapter, or empty ones, are refused."""
    sentence = adapter_sentence(place, tensors, is_named=place.name in ADAPTER_FILES)
    sentence = sentence or empty_sentence(str(place), tensors)
    if sentence is not None:
        raise InputError(sentence)
    draft = draft_of(tensors, config)
    if draft is not None:
        return answer_draft(str(place), draft, tensors, config, aliases)
    return answer_tensors(str(place), tensors, config, aliases)


def _config_in(folder: Path, is_native: bool) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The configuration beside weights, and why there is none where one lies there that cannot be read."""
    try:
        if is_native:
            return native_params.read_params(folder / native_params.FILE), ()
        return (read_json(folder / "config.json") if (folder / "config.json").is_file() else None), ()
    except UnreadableJson as error:  # what is stored is an answer without it
        return None, (str(error),)


def _said_by_params(answer: Answer, path: Path) -> Answer:
    """An answer whose words for the tie are those of a `params.json`."""
    who, checkpoint = native_params.who_says(path), answer.checkpoint
    source = who if answer.count.source and TIE_KEY in answer.count.source else answer.count.source
    if checkpoint is not None and checkpoint.claim is not None and checkpoint.claim.who is not None:
        checkpoint = replace(checkpoint, claim=replace(checkpoint.claim, who=who))
    return replace(answer, count=replace(answer.count, source=source), checkpoint=checkpoint)


def _count_folder(folder: Path) -> Answer:
    told = told_of(folder)
    if told is None and any(RunId.of_record_file(path.name) for path in folder.iterdir()):
        return _count_records(folder)
    told = told or lone_weights(folder)
    if told is not None:
        return _count_told(folder, told)
    raise InputError(
        "; ".join(
            [
                f"{folder}: holds no records, no {', no '.join(WEIGHTS)} and no config.json",
                *unread_note(folder, []),
                "give the folder or file",
            ]
        )
    )


def _count_told(folder: Path, told: Told) -> Answer:
    if told.refused is not None:
        raise InputError(told.refused)
    path, *more = told.counted
    config = path.parent / "config.json"
    try:
        answer = _count_weights(folder, joined(told.counted)) if more else _count_file(path)
    except UnreadArchive as error:
        if not config.is_file():
            raise
        answer = _count_json(config)
        return replace(answer, notes=(f"counted by its configuration alone: {error}", *answer.notes))
    return replace(answer, notes=(*answer.notes, *told.notes))


def _count_records(folder: Path) -> Answer:
    """A run folder: the model of its first record, and for each other arm what that holds."""
    from tiedlm.record.record_file import load_records

    arms = {record.arm: record for record in reversed(load_records(folder))}
    first, *others = (_count_record(folder, arms[name]) for name in sorted(arms))
    totals = (
        f"{other.count.name}: {other.count.total:,} parameters, {other.count.total - first.count.total:+,}"
        for other in others
    )
    return replace(first, notes=(*first.notes, *totals))


def _count_record(folder: Path, record: RunRecord) -> Answer:
    """By the model's file where it is there, else by closed form; either must be what was measured in training."""
    name = f"{record.experiment}, arm {record.arm}"
    weights = folder / record.run.model_file
    config = record.config.trained_model.config_json(record.data.vocab_size)
    is_there = weights.is_file()
    answer = (
        answer_tensors(name, read_header(weights)[0], config, is_own=True)
        if is_there
        else answer_config(name, config, is_own=True)
    )
    if answer.count.groups != record.parameters:
        raise InputError(
            f"{folder / record.file_name}: says {record.parameters}, but its model has {answer.count.groups}; "
            "train it again"
        )
    return answer


def _count_experiment(name: str) -> Answer:
    from tiedlm.config.experiment_file import find_experiment, read_experiment

    experiment = read_experiment(find_experiment(name))
    config = experiment.model.config_json(_vocab_size(experiment.corpus))
    return answer_config(experiment.name, config, is_own=True)


def _vocab_size(corpus: CorpusConfig) -> int:
    from tiedlm.data.sources.corpus import load_corpus
    from tiedlm.data.vocabulary import declared_vocab_size

    declared = declared_vocab_size(corpus)
    if declared is not None:
        return declared
    from tiedlm.data.tokens import tokenize  # here because a known corpus needs no tokenizer

    return tokenize(load_corpus(corpus.name, None), corpus).vocab_size


def _count_hub(name: str) -> Answer:
    try:
        config = fetch_config(name)
    except InputError as error:
        known = [short for short, model in KNOWN_MODELS.items() if model.hub_name.lower() == name.lower()]
        if not known:
            raise
        answer = count_params(known[0])
        return replace(answer, notes=(f"counted as {known[0]}, which is known here: {error}",))
    try:
        tensors = fetch_tensors(name)
    except InputError as error:  # the configuration alone is an answer too
        return answer_config(name, config, f"counted by its configuration alone: {error}")
    return _answer_kind(Path(name), tensors, config, {})


def _own_config(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    """The configuration that our own models carry in their header."""
    from tiedlm.config.saved_model_config import read_saved_model_config

    try:
        stored = read_saved_model_config(metadata["tiedlm"])
    except ValueError as error:
        raise InputError(f"{path}: its tiedlm metadata is damaged; train the model again") from error
    return stored.model.config_json(stored.vocab_size)

"""What `count-params` is asked about → its parameter count: a known model, an experiment or a folder of records."""

from __future__ import annotations

from pathlib import Path

from tiedlm.config import CorpusConfig, find_experiment, load_experiment, shipped_experiments
from tiedlm.corpus import load_corpus
from tiedlm.counting import PRESETS, ParameterCount, count_parameters, shape_of
from tiedlm.errors import InputError
from tiedlm.record import load_records
from tiedlm.vocabulary import declared_vocab_size


def list_counts() -> list[ParameterCount]:
    """Every known model."""
    return [count_parameters(name, shape) for name, shape in PRESETS.items()]


def count_named(name: str) -> ParameterCount:
    """Count a known model, an experiment's model or that of a folder of records.

    Raises:
        InputError: the name is none of these.
    """
    if name in PRESETS:
        return count_parameters(name, PRESETS[name])
    if Path(name).is_dir() and name not in shipped_experiments():
        return _count_records(Path(name))
    if Path(name).is_file() or name in shipped_experiments():
        experiment = load_experiment(find_experiment(name))
        return count_parameters(experiment.name, shape_of(experiment.model, _vocab_size(experiment.corpus)))
    raise InputError(
        f"model {name!r} is neither a known model, an experiment nor a folder; try tiedlm count-params --list"
    )


def _count_records(folder: Path) -> ParameterCount:
    """The first record's model, by the counts that were measured on it when it was trained."""
    records = load_records(folder)
    record = records[0]
    model = record.config.model
    return ParameterCount(
        f"{record.experiment}, arm {record.arm}",
        record.data.vocab_size,
        model.hidden_size,
        model.tie_word_embeddings,
        record.parameters,
    )


def _vocab_size(corpus: CorpusConfig) -> int:
    declared = declared_vocab_size(corpus)
    if declared is not None:
        return declared
    from tiedlm.tokens import tokenize  # here because a known corpus needs no tokenizer

    return tokenize(load_corpus(corpus.name, None), corpus).vocab_size

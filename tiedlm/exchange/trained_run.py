"""A run on disk: its record, its model and its vocabulary, each held to what the record says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiedlm.config.interventions import Intervention
from tiedlm.config.older_schemas import MOVED_IN_6
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.data.tokenizer import Vocabulary, read_tokenizer, read_vocabulary, sha256_of
from tiedlm.errors import InputError
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.model.saved_model import load_model
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord


@dataclass(frozen=True)
class TrainedRun:
    """Everything that is left of a run."""

    record: RunRecord
    model: MaskedLM
    vocabulary: Vocabulary

    @property
    def notes(self) -> list[str]:
        """What its files leave open."""
        if self.record.model_sha256 is not None:
            return []
        return [
            "The record of this run is older than the digests of models: another model of its sizes would pass for it."
        ]


def open_run(path: Path) -> TrainedRun:
    """Read a run by its record or its model, `DIR/ARM-seedN.json` or `.safetensors`; the other lies beside it.

    Raises:
        InputError: something of it is missing, damaged, or of another run.
        TieError: the model's tie is not what its header says.
    """
    if RunId.of_file(path) is None:
        raise InputError(f"{path}: is no run; give DIR/ARM-seedN.safetensors, as tiedlm train writes it")
    record_path, model_path = path.with_suffix(".json"), path.with_suffix(".safetensors")
    for part in (record_path, model_path):
        if not part.is_file():
            raise InputError(f"{part}: is not there, and a run is both its record and its model; train it again")
    record = load_record(record_path)
    model = load_model(model_path, record.model_sha256)
    found = (model.config, _in_model(model.intervention), model.head.decoder.out_features)
    if found != (record.config.trained_model, _in_model(record.config.intervention), record.data.vocab_size):
        raise InputError(f"{model_path}: is not the model of the record beside it; train it again")
    return TrainedRun(record, model, _vocabulary(record, path.parent / TOKENIZER_FILE))


def _in_model(intervention: Intervention) -> dict[str, Any]:
    """What a model of any schema has in its header."""
    return intervention.model_dump(exclude=set(MOVED_IN_6["train"]))


def _vocabulary(record: RunRecord, path: Path) -> Vocabulary:
    if not path.is_file():
        raise InputError(
            f"{path}: is not there, so the run's tokens have no names; tiedlm compare writes it, also where every "
            "run has its record: give the same command again"
        )
    text = read_tokenizer(path)
    if sha256_of(text) != record.data.tokenizer_sha256:
        raise InputError(f"{path}: is not the tokenizer of {record.file_name}; delete it and give its command again")
    return read_vocabulary(text, record.config.corpus.tokenizer)

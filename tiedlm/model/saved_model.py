"""A trained model on disk, in `safetensors`, with its configuration in the header.

Every tensor is stored once, under its first name, and a tie is recorded and measured. Nothing is pickled, so a
file can be wrong but it cannot run code.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from tiedlm.atomic_file import replacement
from tiedlm.config.saved_model_config import (
    METADATA_KEY,
    MODEL_SCHEMA_VERSION,
    SavedModelConfig,
    read_saved_model_config,
)
from tiedlm.errors import InputError
from tiedlm.model.masked_lm import MaskedLM, check_tie


class SavedFile(NamedTuple):
    """What is known of the file of a model, once it is written."""

    num_bytes: int
    sha256: str


def save_model(model: MaskedLM, vocab_size: int, path: Path) -> SavedFile:
    """Write the parameters under their first names, so a tied matrix is stored once."""
    check_tie(model, "before saving")
    metadata = {METADATA_KEY: _config(model, vocab_size).model_dump_json()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _stored(model).items()}
    with replacement(path) as temporary:
        write_tensors(tensors, temporary, metadata)
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return SavedFile(path.stat().st_size, sha256)


def load_model(path: str | Path, sha256: str | None = None) -> MaskedLM:
    """Build the stored model and fill it in place, which keeps its tie; then measure the tie.

    `path` is a `.safetensors` file that `tiedlm train` or `compare` wrote, `sha256` the digest that its record
    gives it, where one does. The model is in training mode, on the CPU.

    Raises:
        InputError: it is no such file, its tensors are not those of the model that its header describes or not finite,
            or it is not the file of that digest.
        TieError: the model's tie is not what its header says.
    """
    path = Path(path)
    try:
        content = _content(path)  # and not by its name, which the library takes as UTF-8 alone
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        stored = read_saved_model_config(header["__metadata__"][METADATA_KEY])
        untied_rows = tensors.get("untied_rows")
        if (untied_rows is None) == stored.intervention.ties_some_rows:
            raise ValueError("it is not said which rows are untied")
        model = MaskedLM(stored.model, stored.vocab_size, stored.intervention, untied_rows)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as .safetensors ({error}); give a model of tiedlm train") from error
    except MemoryError as error:
        raise InputError(f"{path}: is larger than the memory here; give a model of tiedlm train") from error
    except (ValueError, KeyError, RuntimeError) as error:  # the last: of a size that no memory holds
        raise InputError(f"{path}: has no model of tiedlm in its header; give one that tiedlm train wrote") from error
    if sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise InputError(
            f"{path}: is not the model of the record beside it, or was changed since; put back the one that its run "
            "wrote, or train it again"
        )
    stored_as = _stored(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = {name: tuple(parameter.shape) for name, parameter in stored_as.items()}
    if shapes != expected:
        name = min(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
        raise InputError(
            f"{path}: {name} has shape {shapes.get(name)}, its header asks for {expected.get(name)}; train it again"
        )
    for name, tensor in stored_as.items():
        if not torch.isfinite(tensors[name]).all():
            raise InputError(f"{path}: {name} has numbers that are not finite; the model is damaged, train it again")
        tensor.data.copy_(tensors[name])
    check_tie(model, f"after loading {path}")
    return model


def _config(model: MaskedLM, vocab_size: int) -> SavedModelConfig:
    return SavedModelConfig(
        schema_version=MODEL_SCHEMA_VERSION, model=model.config, intervention=model.intervention, vocab_size=vocab_size
    )


def _content(path: Path) -> bytes:
    """All of a file; of one that begins with no length of a header within it, the first bytes alone.

    Raises:
        OSError: it cannot be read, or is no regular file; a pipe would be waited for.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        beginning = file.read(8)
        if not 0 < int.from_bytes(beginning, "little") <= size - 8:
            return beginning
        file.seek(0)
        return file.read()


def _stored(model: MaskedLM) -> dict[str, Tensor]:
    """Every parameter under its first name, and what was drawn once: whose rows score a token, how they are turned."""
    drawn = {"head.output_rows": model.head.output_rows, "head.rotation": model.head.rotation}
    drawn["untied_rows"] = model.untied_rows
    return dict(model.named_parameters()) | {name: tensor for name, tensor in drawn.items() if tensor is not None}


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a `.safetensors` file.

    Raises:
        OSError: it cannot be written, e.g. because the disk is full.
    """
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # how the library says that the disk is full
        raise OSError(f"{path}: {error}") from error

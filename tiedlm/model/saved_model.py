"""A trained model on disk, in `safetensors`, with its configuration in the header.

Every tensor is stored once, under its first name, and a tie is recorded and measured. Nothing is pickled, so a
file can be wrong but it cannot run code.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tiedlm.atomic_file import replacement
from tiedlm.config import ModelConfig
from tiedlm.model.masked_lm import MaskedLM, check_tie

METADATA_KEY = "tiedlm"


def save_model(model: MaskedLM, vocab_size: int, path: Path) -> int:
    """Write the parameters under their first names, so a tied matrix is stored once; return the file's bytes."""
    check_tie(model, "before saving")
    metadata = {METADATA_KEY: json.dumps({"model": model.config.model_dump(), "vocab_size": vocab_size})}
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}
    with replacement(path) as temporary:
        write_tensors(tensors, temporary, metadata)
    return path.stat().st_size


def load_model(path: Path) -> MaskedLM:
    """Build the stored model and fill it in place, which keeps its tie; then measure the tie.

    Raises:
        KeyError: the file and the model have not the same tensors.
    """
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()[METADATA_KEY])
        model = MaskedLM(ModelConfig.model_validate(stored["model"]), stored["vocab_size"])
        parameters = dict(model.named_parameters())
        if parameters.keys() != set(file.keys()):
            raise KeyError(f"{path}: holds {sorted(file.keys())}, the model has {sorted(parameters)}")
        for name, parameter in parameters.items():
            parameter.data.copy_(file.get_tensor(name))
    check_tie(model, f"after loading {path}")
    return model


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a `.safetensors` file.

    Raises:
        OSError: it cannot be written, e.g. because the disk is full.
    """
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:  # how the library says that the disk is full
        raise OSError(f"{path}: {error}") from error

"""A trained model on disk, in `safetensors`: every tensor once, with its tie recorded and checked."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save

from tiedlm.config import ModelConfig
from tiedlm.model import MaskedLM, check_tie
from tiedlm.record import write_atomically


def save_model(model: MaskedLM, vocab_size: int, path: Path) -> int:
    """Write the parameters under their first names, so a tied matrix is stored once; return the file's bytes."""
    check_tie(model, "before saving")
    metadata = {"tiedlm": json.dumps({"model": model.config.model_dump(), "vocab_size": vocab_size})}
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}
    write_atomically(path, save(tensors, metadata=metadata))
    return path.stat().st_size


def load_model(path: Path) -> MaskedLM:
    """Build the stored model and fill it in place, which keeps its tie; then measure the tie.

    Raises:
        KeyError: the file and the model have not the same tensors.
    """
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()["tiedlm"])
        model = MaskedLM(ModelConfig.model_validate(stored["model"]), stored["vocab_size"])
        parameters = dict(model.named_parameters())
        if parameters.keys() != set(file.keys()):
            raise KeyError(f"{path}: holds {sorted(file.keys())}, the model has {sorted(parameters)}")
        for name, parameter in parameters.items():
            parameter.data.copy_(file.get_tensor(name))
    check_tie(model, f"after loading {path}")
    return model

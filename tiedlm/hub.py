"""A model on the Hugging Face Hub: its `config.json` and the headers of its weights, never the weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tiedlm.errors import InputError
from tiedlm.json_file import read_json
from tiedlm.known_models import KNOWN_MODELS
from tiedlm.safetensors_header import DTYPE_BITS, StoredTensor, read_header, read_index

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def fetch_config(hub_name: str) -> dict[str, Any]:
    """Read `config.json`, from the local cache of the Hub where it is there.

    Raises:
        InputError: the Hub cannot be reached, or has no such model for this user.
    """
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(hub_name, "config.json")
    except Exception as error:  # its network library, and so its errors, differ from version to version
        raise InputError(_explain(hub_name, "config.json", error)) from error
    return read_json(Path(path))


def fetch_tensors(hub_name: str) -> list[StoredTensor]:
    """The tensors of the model's `.safetensors` files by their headers: from the cache, else by range requests.

    Raises:
        InputError: the Hub cannot be reached, or the model has no such files.
    """
    from huggingface_hub import get_safetensors_metadata, try_to_load_from_cache

    for file_name, read in ((WEIGHTS, lambda path: read_header(path)[0]), (INDEX, read_index)):
        cached = try_to_load_from_cache(hub_name, file_name)
        if isinstance(cached, str) and (file_name == WEIGHTS or _has_all_shards(Path(cached))):
            return read(Path(cached))
    try:
        stored = get_safetensors_metadata(hub_name)
    except Exception as error:  # as above
        raise InputError(_explain(hub_name, "its .safetensors files", error)) from error
    tensors = []
    for file in stored.files_metadata.values():
        for name, tensor in file.tensors.items():
            if tensor.dtype not in DTYPE_BITS:
                raise InputError(f"{hub_name}: tensor {name!r} has the unknown dtype {tensor.dtype!r}; report it")
            tensors.append(StoredTensor(name, tensor.dtype, tuple(tensor.shape), None))
    return tensors


def _has_all_shards(index: Path) -> bool:
    return all((index.parent / name).exists() for name in set(read_json(index).get("weight_map", {}).values()))


def _explain(hub_name: str, wanted: str, error: Exception) -> str:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        NotASafetensorsRepoError,
        RepositoryNotFoundError,
        SafetensorsParsingError,
    )

    known = [name for name, model in KNOWN_MODELS.items() if model.hub_name == hub_name]
    hint = (
        f"tiedlm count-params {known[0]} knows its sizes offline"
        if known
        else "give a config.json or a .safetensors file"
    )
    match error:
        case GatedRepoError():
            reason = "its owner asks for consent; accept it on its page, set HF_TOKEN"
        case RepositoryNotFoundError():
            reason = (
                "there is no such file or folder here and no such model on the Hub, or it is private; check the name"
            )
        case NotASafetensorsRepoError():
            reason = "it has no .safetensors files on the Hub"
        case SafetensorsParsingError():
            reason = f"the Hub gave an unsound header ({str(error)[:120]})"
        case LocalEntryNotFoundError():
            reason = f"no such file or folder is here, and the Hub cannot be reached for {wanted}"
        case EntryNotFoundError():
            reason = f"it has no {wanted} on the Hub"
        case _:
            first_line = str(error).strip().split("\n")[0][:160]
            reason = f"the Hub cannot be asked for {wanted} ({type(error).__name__}: {first_line})"
    return f"{hub_name}: {reason}; {hint}"

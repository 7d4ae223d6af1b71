"""A model on the Hugging Face Hub: its `config.json` and the headers of its weights, never the weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.counting.stored.json_file import MAX_JSON_BYTES, read_json
from tiedlm.counting.stored.safetensors_header import StoredTensor, checked_tensor, read_header
from tiedlm.counting.stored.weight_files import MAX_INDEX_BYTES, read_index, read_weight_map
from tiedlm.errors import InputError
from tiedlm.hub_client import be_quiet, first_line, why_not_given, within

if TYPE_CHECKING:
    from huggingface_hub import SafetensorsRepoMetadata

MAX_SHARDS = 1_000
MAX_SECONDS = 120.0  # for a configuration, or for all headers
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


def fetch_config(hub_name: str) -> dict[str, Any]:
    """Read `config.json`; where the Hub does not give it, from its local cache.

    Raises:
        InputError: the Hub cannot be reached, or has no such model for this user.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    def ask() -> str:
        # One try: a download would try for half a minute. And its size is asked before it is fetched and kept.
        _check_size(hub_name, CONFIG, get_hf_file_metadata(hf_hub_url(hub_name, CONFIG)).size)
        return hf_hub_download(hub_name, CONFIG)

    be_quiet()
    try:
        path = within(MAX_SECONDS, ask)
    except InputError:
        raise
    except Exception as error:  # its network library, and so its errors, differ from version to version
        cached = try_to_load_from_cache(hub_name, CONFIG)
        if not isinstance(cached, str):
            raise InputError(_explain(hub_name, CONFIG, error)) from error
        path = cached
    return read_json(Path(path))


def fetch_tensors(hub_name: str) -> list[StoredTensor]:
    """The tensors of the model's `.safetensors` files by their headers: from the cache, else by range requests.

    Raises:
        InputError: the Hub cannot be reached, or the model has no such files.
    """
    from huggingface_hub import get_safetensors_metadata, try_to_load_from_cache

    be_quiet()
    weights, index = (try_to_load_from_cache(hub_name, file_name) for file_name in (WEIGHTS, INDEX))
    if isinstance(weights, str):
        return read_header(Path(weights))[0]
    if isinstance(index, str) and _has_all_shards(Path(index)):
        return read_index(Path(index)).tensors

    def ask() -> SafetensorsRepoMetadata:
        _check_index(hub_name)
        return get_safetensors_metadata(hub_name)

    try:
        stored = within(MAX_SECONDS, ask)
        described = [
            (name, tensor.dtype, list(tensor.shape))
            for file in stored.files_metadata.values()
            for name, tensor in file.tensors.items()
        ]
    except InputError:
        raise
    except (TypeError, AttributeError, ValueError, KeyError) as error:  # the client believes what a header says
        raise InputError(
            f"{hub_name}: the Hub gave an unsound header ({first_line(error)}); give a config.json or a .safetensors "
            "file"
        ) from error
    except Exception as error:  # as above
        raise InputError(_explain(hub_name, "its .safetensors files", error)) from error
    return [checked_tensor(hub_name, name, dtype, shape) for name, dtype, shape in described]


def _check_index(hub_name: str) -> None:
    """Refuse an index of more files than any model has, each of which would be asked for its header."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    try:
        size = get_hf_file_metadata(hf_hub_url(hub_name, INDEX)).size
    except EntryNotFoundError:
        return  # one file
    _check_size(hub_name, INDEX, size, MAX_INDEX_BYTES)
    files = set(read_weight_map(Path(hf_hub_download(hub_name, INDEX))).values())
    if not 0 < len(files) <= MAX_SHARDS:
        raise InputError(
            f"{hub_name}: its {INDEX} names {len(files):,} files, not 1 to {MAX_SHARDS:,}; give a .safetensors file"
        )


def _check_size(hub_name: str, file_name: str, size: int | None, limit: int = MAX_JSON_BYTES) -> None:
    if size is None or size > limit:
        told = "of unknown size" if size is None else f"of {size:,} bytes"
        raise InputError(f"{hub_name}: its {file_name} is {told}, over the limit of {limit:,}; give a smaller one")


def _has_all_shards(index: Path) -> bool:
    return all((index.parent / name).exists() for name in set(read_weight_map(index).values()))


def _explain(hub_name: str, wanted: str, error: Exception) -> str:
    return f"{hub_name}: {why_not_given(wanted, error)}; give a config.json or a .safetensors file"

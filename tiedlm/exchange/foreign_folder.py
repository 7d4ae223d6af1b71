"""A stranger's model on disk, as far as its files tell without being believed: its configuration and its headers.

All that is found here is found at once, before a library is imported or memory taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiedlm.config.strict import validated
from tiedlm.counting.built.build_limits import check_cheaply
from tiedlm.counting.stored.json_file import MAX_JSON_BYTES, read_json
from tiedlm.counting.stored.other_formats import unread_note
from tiedlm.counting.stored.safetensors_header import WEIGHTS, StoredTensor
from tiedlm.counting.stored.weight_files import read_weights
from tiedlm.data.sources.fetch import MAX_TOKENIZER_BYTES
from tiedlm.errors import InputError
from tiedlm.exchange.exported_origin import OWN_KEY, Origin
from tiedlm.hub_client import HUB_NAME, be_quiet, why_not_given
from tiedlm.record.run_id import RunId

CONFIG = "config.json"
TOKENIZER_FILES = ("tokenizer*", "*vocab*", "*.model", "special_tokens_map.json")
WANTED = "config.json, model.safetensors and a tokenizer"
FETCHED = ("*.json", "*.txt", "*.model", "*.codes", "*.spm", "*.tokenizer", "model*.safetensors")
"""Of a repository: configuration, whatever a tokenizer is kept in, and weights."""
NOT_FETCHED = ("*/*", "model.*.safetensors")
"""Other formats, and the same weights at another precision."""


@dataclass(frozen=True)
class ForeignFolder:
    """What is known of it."""

    source: str
    """As the user named it."""
    path: Path
    raw: dict[str, Any]
    """Its `config.json`."""
    tensors: dict[str, StoredTensor]
    """By name, from headers alone."""
    origin: Origin | None
    """Of its run, where `tiedlm export` wrote it."""

    @property
    def num_elements(self) -> int:
        """Of all its tensors."""
        return sum(tensor.num_elements for tensor in self.tensors.values())


def open_foreign(source: str) -> ForeignFolder:
    """A folder as `transformers` saves it, or `OWNER/NAME` on the Hub, whose files are fetched unless they are here.

    Raises:
        InputError: it is nowhere, or its files are missing, unsound, or too large for what they are.
    """
    given = Path(source)
    is_folder = bool(source) and given.is_dir()
    source = source.removeprefix("hub:")  # as a text or a tokenizer on the Hub is named
    if not is_folder and (given.is_file() or not HUB_NAME.fullmatch(source)):
        raise InputError(
            f"{source or repr(source)}: is no run, no folder and no owner/name on the Hub; give "
            f"DIR/ARM-seedN.safetensors of a run, or a folder with {WANTED}"
        )
    path = Path(source) if is_folder else _fetched(source)
    _check_files(path, source)
    tensors = _read_weights(path)
    if not any(file.is_file() for pattern in TOKENIZER_FILES for file in path.glob(pattern)):
        raise InputError(f"{source}: has no tokenizer, so no text can be read; put its tokenizer.json beside it")
    raw = read_json(path / CONFIG)
    _check_config(raw, tensors, str(path / CONFIG))
    own = raw.get(OWN_KEY)
    origin = None if own is None else validated(Origin, own, f"{source}, {CONFIG}, {OWN_KEY}")
    return ForeignFolder(source, path, raw, tensors, origin)


def _fetched(hub_name: str) -> Path:
    """Where the cache of the Hub's client has it."""
    from huggingface_hub import snapshot_download

    be_quiet()
    try:
        return Path(snapshot_download(hub_name, allow_patterns=list(FETCHED), ignore_patterns=list(NOT_FETCHED)))
    except Exception as error:  # its network library, and so its errors, differ from version to version
        raise InputError(f"{hub_name}: {why_not_given('it', error)}; give a folder with {WANTED}") from error


def _check_files(folder: Path, source: str) -> None:
    """Nothing there is waited for without end, or read to the end of the memory."""
    for path in folder.iterdir():
        if path.is_dir():
            continue
        if not path.is_file():
            raise InputError(f"{path}: is no regular file; remove it")
        if path.suffix == ".json" or any(path.match(pattern) for pattern in TOKENIZER_FILES):
            limit = MAX_JSON_BYTES if path.name == CONFIG else MAX_TOKENIZER_BYTES
            if (size := path.stat().st_size) > limit:
                raise InputError(f"{path}: has {size:,} bytes, over the limit of {limit:,}; give a smaller one")
    if not (folder / CONFIG).exists():
        if runs := RunId.of_models_in(folder):
            raise InputError(
                f"{source}: is a folder of runs, {len(runs)} of them with a model; name one of these, e.g. "
                f"{folder / runs[0].model_file}, or two of them to evaluate; evaluate --pairs takes the folder"
            )
        raise InputError(f"{source}: has no {CONFIG}; give a folder with {WANTED}")
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{source}: holds an adapter (adapter_config.json), which is a part of a model; give the model with the "
            "adapter merged into it"
        )


def _read_weights(folder: Path) -> dict[str, StoredTensor]:
    files = [folder / name for name in WEIGHTS if (folder / name).exists()]
    if not files:
        others = [f" ({note})" for note in unread_note(folder, [])]
        raise InputError(f"{folder}: has no {' and no '.join(WEIGHTS)}{''.join(others)}; give a folder with {WANTED}")
    tensors = read_weights(files[0]).tensors
    if not tensors:
        raise InputError(f"{files[0]}: holds no tensors; give the weights of a masked LM")
    return {tensor.name: tensor for tensor in tensors}


def _check_config(raw: Mapping[str, Any], tensors: Mapping[str, StoredTensor], place: str) -> None:
    if not isinstance(raw.get("model_type"), str):
        raise InputError(
            f"{place}: model_type={raw.get('model_type')!r:.60} is no name of a model's family; add the one that it "
            "has, e.g. bert"
        )
    if raw.get("quantization_config") is not None:
        raise InputError(f"{place}: has a quantization_config; give the model before it was quantised")
    check_cheaply(place, raw)
    rows, longest = raw.get("vocab_size"), max([0, *(size for tensor in tensors.values() for size in tensor.shape)])
    if isinstance(rows, int) and rows > longest:
        raise InputError(
            f"{place}: vocab_size={rows:,}, but no tensor of its weights is longer than {longest:,}; give the "
            f"{CONFIG} of these weights"
        )

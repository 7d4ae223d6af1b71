"""A model's weights on disk → its tensors: one file of any format that is read here, or an index and its files.

Only headers are read: of `.safetensors` the header, of an archive of `torch.save` its directory and its pickle's words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiedlm.counting.stored.header_json import MAX_ENTRIES, index_entries
from tiedlm.counting.stored.numpy_archive import read_npz
from tiedlm.counting.stored.other_formats import PICKLES, why_not_opened
from tiedlm.counting.stored.safetensors_header import WEIGHTS, StoredTensor, read_header
from tiedlm.counting.stored.torch_archive import UnreadArchive, is_archive, read_archive
from tiedlm.errors import InputError, listed
from tiedlm.regular_file import read_regular_file

FOLDER_WEIGHTS = (
    *WEIGHTS,
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "weights.npz",
)
"""What a folder's weights are called: by transformers, in its order (`modeling_utils.py`), and by MLX."""
MAX_INDEX_BYTES = 100_000_000
"""As of a header: an index names no more tensors than one file could hold."""
INDEX_NAME = re.compile(r".+\.index(\.[\w-]+)?\.json", re.ASCII)
"""`model.safetensors.index.json`, of a variant `model.safetensors.index.fp16.json` (transformers, `_add_variant`)."""
PART_NAME = re.compile(r"[\w.-]{1,250}\.(safetensors|bin|pt|pth)", re.ASCII)


@dataclass(frozen=True)
class Weights:
    """What a file, or an index and its files, hold."""

    tensors: list[StoredTensor]
    metadata: dict[str, str]
    """What a `.safetensors` file says of itself, or the further names of tensors that an archive holds once."""
    notes: tuple[str, ...] = ()
    """In a sentence each, how an index and its files differ."""


def is_index(path: Path) -> bool:
    """Whether a name is that of an index."""
    return INDEX_NAME.fullmatch(path.name.lower()) is not None


def read_weights(path: Path) -> Weights:
    """The tensors of a `.safetensors` file, of an archive of `torch.save`, or of an index and its files.

    Raises:
        InputError: it is none of these, or not sound.
    """
    if is_index(path):
        return read_index(path)
    if path.name.lower().endswith(".safetensors"):
        return Weights(*read_header(path))
    if path.suffix.lower() == ".npz" and path.is_file():
        return Weights(read_npz(path), {})
    is_pickle = path.suffix.lower() in PICKLES and path.is_file()
    if is_pickle and is_archive(path):
        return Weights(*read_archive(path))
    raise (UnreadArchive if is_pickle else InputError)(
        why_not_opened(path)
        or f"{path}: is none of config.json, .safetensors, .safetensors.index.json, .gguf and .toml; give one"
    )


def read_index(path: Path) -> Weights:
    """The tensors of all the files that an index names, which lie beside it, and their metadata.

    A file's own names count, as they do for loaders (`transformers` 5.24, `modeling_utils.py`, which reads all that the
    named files hold, in the order of their names): a note says which names differ. Of a tensor in two files the last
    counts, as there.

    Raises:
        InputError: the index is unsound, names a file elsewhere or one that is missing, or a file cannot be read.
    """
    weight_map = read_weight_map(path)
    names = sorted(set(weight_map.values()))
    ending = ".safetensors" if ".safetensors.index" in path.name.lower() else PICKLES
    odd = next((name for name in names if not PART_NAME.fullmatch(name) or not name.endswith(ending)), None)
    if odd is not None:
        kind = ending if isinstance(ending, str) else ".bin"
        raise InputError(f"{path}: names {odd!r:.80}, which is no {kind} file beside it; correct it")
    missing = [name for name in names if not (path.parent / name).exists()]
    if missing:
        raise InputError(
            f"{path}: cannot be read, since of the files that it names ({len(names):,}) these do not lie beside it: "
            f"{listed(missing)}; get them too"
        )
    whole = joined([path.parent / name for name in names])
    held = {tensor.name for tensor in whole.tensors}
    told = {
        "names tensors that no file holds": [name for name in weight_map if name not in held | whole.metadata.keys()],
        "does not name tensors that its files hold": [tensor for tensor in held if tensor not in weight_map],
    }
    notes = tuple(f"{path.name} {what}: {listed(sorted(differ))}" for what, differ in told.items() if differ)
    return Weights(whole.tensors, whole.metadata, notes + whole.notes)


def joined(files: Sequence[Path]) -> Weights:
    """The tensors of the parts of a model, in the order of their files; of a tensor in two of them the last counts.

    Raises:
        InputError: a file cannot be read.
    """
    tensors: dict[str, StoredTensor] = {}
    metadata: dict[str, str] = {}
    twice = []
    for file in files:
        part = read_weights(file)
        twice += [tensor.name for tensor in part.tensors if tensor.name in tensors]
        tensors |= {tensor.name: tensor for tensor in part.tensors}
        metadata |= part.metadata
        if len(tensors) > MAX_ENTRIES:
            raise InputError(f"{file}: is of a model of over {MAX_ENTRIES:,} tensors; give a part of the model")
    notes = (f"several files hold the same tensors, of which the last counts: {listed(twice)}",) if twice else ()
    return Weights(list(tensors.values()), metadata, notes)


def read_weight_map(path: Path) -> dict[str, str]:
    """The tensors that an index names, and the file of each.

    Raises:
        InputError: it cannot be read, or is no index within the limits.
    """
    try:
        text = read_regular_file(path, MAX_INDEX_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give an index of weights") from error
    if len(text) > MAX_INDEX_BYTES:
        raise InputError(f"{path}: is over the limit of {MAX_INDEX_BYTES:,} bytes of an index; give a file of weights")
    return dict(index_entries(text, str(path)))

"""What a folder is, before it is counted: a table of layouts, asked in order, each known by the files that mark it.

A layout tells which file of the folder is counted, or in a sentence why none is and what to give instead. What a file
is by its tensors, `adapter`, `empty_tensors` and `drafts` tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tiedlm.counting.layouts import adapter, native_params
from tiedlm.counting.layouts.foreign_layouts import (
    config_sentence,
    deepspeed_sentence,
    distributed_sentence,
    megatron_weights,
    onnx_sentence,
    pipeline_sentence,
)
from tiedlm.counting.layouts.model_parts import NUMBERED, numbered_parts, why_no_whole
from tiedlm.counting.layouts.sentence_modules import further_modules, transformer_folder
from tiedlm.counting.stored.other_formats import NO_WEIGHTS, PICKLES, READ
from tiedlm.counting.stored.torch_archive import is_archive
from tiedlm.counting.stored.weight_files import FOLDER_WEIGHTS

CONFIG = "config.json"
MAX_COMMANDS = 4


@dataclass(frozen=True)
class Told:
    """What a folder is."""

    counted: tuple[Path, ...] = ()
    """The file that is counted; several where a model lies in numbered parts without an index."""
    refused: str | None = None
    """In a sentence, why nothing is, and what to give."""
    notes: tuple[str, ...] = ()


def told_of(folder: Path) -> Told | None:
    """What a folder is by its layout; None where no layout is known.

    Raises:
        InputError: a file that marks its layout cannot be read.
    """
    return next((told for layout in LAYOUTS if (told := layout(folder)) is not None), None)


def lone_weights(folder: Path) -> Told | None:
    """The only file of weights in a folder, whatever it is called; or of several, the commands."""
    files = _readable_weights(folder)
    if not files:
        return None
    if len(files) == 1:
        return Told((files[0],))
    return Told(
        refused=f"{folder}: holds {len(files):,} files of weights and no config.json; give one: {_commands(files)}"
    )


def unread_commands(folder: Path) -> tuple[str, ...]:
    """A note of how the weights in a folder are counted whose configuration alone was read."""
    files = [path for path in _readable_weights(folder) if path.stat().st_size and not why_no_whole(path)]
    return (f"its weights are counted by {_commands(files)}",) if files else ()


def _readable_weights(folder: Path) -> list[Path]:
    """Each file of weights that is read here, of a GGUF model's parts the first."""
    files = [path for path in sorted(folder.iterdir()) if _is_readable(path)]
    firsts = {re.sub(r"-\d{5}-of-", "-#-of-", path.name): path for path in reversed(files)}
    return sorted(firsts.values())


def _commands(files: Sequence[Path]) -> str:
    return " or ".join(f"tiedlm count-params {path}" for path in files[:MAX_COMMANDS])


def _is_readable(path: Path) -> bool:
    ending = path.suffix.lower()
    is_known = ending in READ or (ending in PICKLES and path.is_file() and is_archive(path))
    return is_known and path.is_file() and not NO_WEIGHTS.fullmatch(path.name)


def _saved_by_transformers(folder: Path) -> Told | None:
    file = next((folder / name for name in FOLDER_WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        return None
    notes = further_modules(folder)
    if (folder / adapter.CONFIG).is_file():
        notes += (f"beside it lies an adapter ({adapter.CONFIG}), which is not counted",)
    return Told((file,), notes=notes)


def _parts_without_index(folder: Path) -> Told | None:
    named = next((path for path in sorted(folder.iterdir()) if NUMBERED.fullmatch(path.name)), None)
    parts = None if named is None else numbered_parts(named)
    if named is None or parts is None:
        return None
    if parts.is_whole:
        return Told(tuple(parts.files), notes=(f"its {parts.of:,} parts were read without an index, which lacks",))
    return None if (folder / CONFIG).is_file() else Told(refused=why_no_whole(named))


def _adapter(folder: Path) -> Told | None:
    is_one = any((folder / name).is_file() for name in (adapter.CONFIG, *adapter.FILES))
    return Told(refused=adapter.folder_sentence(folder)) if is_one else None


def _native(folder: Path) -> Told | None:
    has_params, has_config = ((folder / name).is_file() for name in (native_params.FILE, CONFIG))
    file = next((folder / name for name in native_params.WEIGHTS if (folder / name).is_file()), None)
    return Told((file,)) if file is not None and (has_params or not has_config) else None


def _sentence_transformer(folder: Path) -> Told | None:
    inner = transformer_folder(folder)
    if inner is None or inner == folder:
        return None
    told = told_of(inner)
    if told is None:
        return Told(
            refused=f"{folder}: is a sentence-transformers model, whose {inner.name} holds no weights; get them"
        )
    note = f"{inner.name} of a sentence-transformers model is counted"
    return replace(told, notes=(note, *further_modules(folder), *told.notes))


def _pipeline(folder: Path) -> Told | None:
    return _refusal(pipeline_sentence(folder))


def _configured(folder: Path) -> Told | None:
    if not (folder / CONFIG).is_file():
        return None
    rank = folder / "rank0.safetensors"
    if rank.is_file() and not why_no_whole(rank):
        return Told((rank,), notes=("rank0.safetensors of a TensorRT-LLM checkpoint is counted",))
    return _refusal(config_sentence(folder / CONFIG)) or Told((folder / CONFIG,))


def _megatron(folder: Path) -> Told | None:
    found = megatron_weights(folder)
    return Told((found,)) if isinstance(found, Path) else _refusal(found)


def _deepspeed(folder: Path) -> Told | None:
    return _refusal(deepspeed_sentence(folder))


def _distributed(folder: Path) -> Told | None:
    return _refusal(distributed_sentence(folder))


def _onnx(folder: Path) -> Told | None:
    return _refusal(onnx_sentence(folder))


def _refusal(sentence: str | None) -> Told | None:
    return None if sentence is None else Told(refused=sentence)


LAYOUTS: tuple[Callable[[Path], Told | None], ...] = (
    _saved_by_transformers,
    _parts_without_index,
    _adapter,
    _native,
    _sentence_transformer,
    _pipeline,
    _configured,
    _megatron,
    _deepspeed,
    _distributed,
    _onnx,
)
"""In this order: weights that can be read come before what marks a folder that has none."""

FOLDER_MARKS = {adapter.CONFIG: _adapter, "modules.json": _sentence_transformer, "model_index.json": _pipeline}
"""Files that are given for what their folder is."""

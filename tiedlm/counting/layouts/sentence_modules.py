"""A folder of sentence-transformers: which of its modules is the transformer, and what the others hold.

`modules.json` lists them (sentence-transformers, `base/model.py`): the transformer lies in the folder itself, or in one
of its own, such as `0_Transformer`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tiedlm.counting.stored.json_file import MAX_JSON_BYTES, UnreadableJson, parse_json_object
from tiedlm.counting.stored.weight_files import FOLDER_WEIGHTS, read_weights
from tiedlm.errors import InputError, printable
from tiedlm.regular_file import read_regular_file

FILE = "modules.json"
PLACE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*){0,3}", re.ASCII)
"""Within the folder."""


def transformer_folder(folder: Path) -> Path | None:
    """Where the first module that is a transformer lies; None where the folder is no sentence-transformers model.

    Raises:
        UnreadableJson: `modules.json` cannot be read, or names no place in the folder.
    """
    modules = _modules(folder)
    named = [place for kind, place in modules if kind.endswith(("Transformer", "Embedding", "Embeddings", "CLIPModel"))]
    places = named or [place for _, place in modules]
    return folder / places[0] if places else None


def further_modules(folder: Path) -> tuple[str, ...]:
    """A note of the parameters in the modules after the transformer, such as a dense layer, or why none are known."""
    found = []
    try:
        modules = _modules(folder)
    except UnreadableJson as error:  # the transformer is an answer without it
        return (str(error),)
    for kind, place in modules:
        files = [folder / place / name for name in FOLDER_WEIGHTS if place and not kind.endswith("Transformer")]
        file = next((file for file in files if file.is_file()), None)
        if file is not None:
            found.append(f"{place} ({_told(file)})")
    return (f"further modules of a sentence-transformers model, not counted: {', '.join(found)}",) if found else ()


def _told(file: Path) -> str:
    try:
        return f"{sum(tensor.num_elements for tensor in read_weights(file).tensors):,} parameters"
    except InputError:
        return f"{file.name}, which cannot be read"


def _modules(folder: Path) -> list[tuple[str, str]]:
    """The class of each module and its place in the folder."""
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        text = read_regular_file(path, MAX_JSON_BYTES)
    except OSError as error:
        raise UnreadableJson(f"{path}: cannot be read ({error.strerror}); give a file of JSON") from error
    # A list, as which nothing else here is written; within a table the limits of one hold.
    listed = parse_json_object(b'{"modules":' + text + b"}", str(path)).get("modules")
    return [_module(path, module) for module in listed] if isinstance(listed, list) else []


def _module(path: Path, module: Any) -> tuple[str, str]:
    kind, place = (module.get(key, "") if isinstance(module, dict) else None for key in ("type", "path"))
    if not isinstance(kind, str) or not isinstance(place, str) or (place and not PLACE.fullmatch(place)):
        raise UnreadableJson(
            f"{path}: has the module {printable(str(module)[:60])}, which names no folder in it; correct it"
        )
    return kind, place

"""The user's cache folder: what can be made again, under a hash of what it is made from."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from tiedlm.errors import InputError


def cached_folder(ingredients: list[Any], fill: Callable[[Path], None]) -> Path:
    """The folder that `fill` makes of these ingredients (as JSON), made now unless it is there.

    It is filled under another name and renamed, so that a reader finds all of it or nothing.

    Raises:
        InputError: the cache cannot be written.
    """
    key = hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()
    folder = Path(platformdirs.user_cache_dir("tiedlm")) / key[:32]
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            filled = Path(temporary) / folder.name
            filled.mkdir()
            fill(filled)
            _keep_first(filled, folder)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    return folder


def _keep_first(filled: Path, folder: Path) -> None:
    """Give a folder its name, unless another process has made the same one meanwhile."""
    try:
        filled.rename(folder)
    except OSError:
        if not folder.exists():
            raise

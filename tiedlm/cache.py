"""The user's cache folder: what can be made again, under a hash of what it is made from."""

from __future__ import annotations

import hashlib
import json
import shutil
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
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    try:
        fill(temporary)
        if not folder.exists():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder

"""The user's cache folder: what can be made again, under a hash of what it is made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from tiedlm.atomic_file import hold_folder, take_folder
from tiedlm.errors import InputError

SUMS_FILE = "sha256.json"
FILLING_PREFIX = "filling-"
SECONDS_UNTIL_ABANDONED = 86_400.0  # without a new file; whoever fills a folder writes one every few minutes


def cache_path() -> Path:
    """Where everything is cached; `XDG_CACHE_HOME` moves it.

    Raises:
        InputError: the user has no home folder, as some user ids of a container, and the variable is not set.
    """
    try:
        return Path(platformdirs.user_cache_dir("tiedlm"))
    except RuntimeError as error:
        raise InputError("the cache: this user has no home folder; set XDG_CACHE_HOME to a folder") from error


def cached_folder(ingredients: list[Any], fill: Callable[[Path], None]) -> Path:
    """The folder that `fill` makes of these ingredients (as JSON), made now unless it is there as it was made.

    It is filled under another name and renamed, so that a reader finds all of it or nothing. Every file's SHA-256 is
    kept beside it and checked each time: what a disk or a hand has changed is made again. Where a process was stopped
    or killed, `fill` is given the half-filled folder again, and may go on from what lies there.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = _folder_of(ingredients)
    try:
        if is_intact(folder):
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        with _half_filled(folder) as filled:
            fill(filled)
            (filled / SUMS_FILE).write_text(json.dumps(_sums(filled)))
            _give_name(filled, folder)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be used ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    return folder


def find_cached(ingredients: list[Any]) -> Path | None:
    """The folder that was made of these ingredients, if it is there as it was made."""
    folder = _folder_of(ingredients)
    return folder if is_intact(folder) else None


def _folder_of(ingredients: list[Any]) -> Path:
    return cache_path() / hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:32]


def is_intact(folder: Path) -> bool:
    """Whether a folder of the cache holds what was put there under its name, no more and no less."""
    sums = folder / SUMS_FILE
    return sums.is_file() and sums.read_bytes() == json.dumps(_sums(folder)).encode()


def _sums(folder: Path) -> dict[str, str]:
    sums = {"folder": folder.name}  # so that an entry under another's name is none
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            sums[path.name] = "no file"
        elif path.name != SUMS_FILE:
            with path.open("rb") as file:
                sums[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


@contextlib.contextmanager
def _half_filled(folder: Path) -> Iterator[Path]:
    """A folder to fill, held by this process: the one that an ended process left of the same, or a new one.

    An error removes it; a signal does not, since the next command goes on with it.
    """
    descriptor = None
    for place in folder.parent.glob(f"{FILLING_PREFIX}*"):
        if (place / folder.name).is_dir() and (descriptor := take_folder(place)) is not None:
            break
    else:
        place = Path(tempfile.mkdtemp(dir=folder.parent, prefix=FILLING_PREFIX))
        descriptor = hold_folder(place)
        (place / folder.name).mkdir()
    try:
        yield place / folder.name
    except Exception:
        shutil.rmtree(place, ignore_errors=True)
        raise
    else:
        shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_abandoned(cache: Path) -> None:
    """Remove what killed processes left half-filled and nobody has gone on with for long."""
    for folder in cache.glob(f"{FILLING_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it, or given it its name
            written_at = max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
            if time.time() - written_at > SECONDS_UNTIL_ABANDONED:
                shutil.rmtree(folder)


def _give_name(filled: Path, folder: Path) -> None:
    """Put a folder into its place, unless another process has put the same one there meanwhile."""
    if folder.exists() and not is_intact(folder):
        folder.rename(filled.with_name("damaged"))  # it goes with the temporary folder
    try:
        filled.rename(folder)
    except OSError:
        if not is_intact(folder):
            raise

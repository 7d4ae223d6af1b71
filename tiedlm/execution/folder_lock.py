"""One command at a time decides in a folder of records: a lock of the operating system, which ends with its holder."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tiedlm.errors import InputError
from tiedlm.regular_file import read_regular_file

LOCK_FILE, HOLDER_FILE = ".lock", ".lock-holder"
MAX_HOLDER_BYTES = 200
PATIENCE_SECONDS = 600.0
"""For a lock that is held for a moment: to write down what is decided, or to draw a report."""


@contextmanager
def locked(folder: Path, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold a folder. Who holds it is written beside the lock, for whoever is refused; it decides nothing.

    Where the file system has no locks, the library warns and takes the mere presence of a file for one.

    Raises:
        InputError: another process holds it, and still does after so many seconds, or what lies in the lock's place is
            no file.
    """
    path, holder = folder / LOCK_FILE, folder / HOLDER_FILE
    for place in (path, holder):
        if place.is_symlink() or (place.exists() and not place.is_file()):
            raise InputError(f"{place}: is no regular file, and the lock of the folder shall lie there; remove it")
    lock = FileLock(path, timeout=patience_seconds)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"--out {folder}: {_who(holder)} is training there; wait for it or choose another --out"
        ) from error
    try:
        holder.write_text(f"{os.getpid()}\n{platform.node()}\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a command is training in a folder; a killed one is not, whatever it left there.

    Nothing is written, and no lock is tried where no holder has named itself, so a command that begins meanwhile is not
    refused for it.
    """
    if not (folder / HOLDER_FILE).exists():
        return False
    try:
        import fcntl
    except ImportError:  # Unix alone has it; elsewhere the name of the holder must do
        return True
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:  # the lock is gone, so nobody holds it
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # it is held, or the file system has no locks and the file's presence is the lock
        return True
    finally:
        os.close(descriptor)
    return False


def _who(holder: Path) -> str:
    """The holder as it named itself; it may not have come to that yet."""
    try:
        words = read_regular_file(holder, MAX_HOLDER_BYTES).decode("utf-8", "replace").split()
    except OSError:
        words = []
    return f"process {words[0]} on host {words[1]}" if len(words) > 1 and words[0].isdecimal() else "another command"

"""One command at a time in a folder of records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLock, Timeout

from tiedlm.errors import InputError

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder. The lock file names this process and host; that of a process which is gone counts for nothing.

    Raises:
        InputError: another process holds it.
    """
    lock = SoftFileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        pid, host, *_ = [*_owner(folder / LOCK_FILE), "unknown", "unknown"]
        raise InputError(
            f"--out {folder}: process {pid} on host {host} is training there; wait for it or choose another --out "
            f"(should it be gone for good: delete {folder / LOCK_FILE})"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _owner(path: Path) -> list[str]:
    """Process and host, as filelock writes them."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:200].split()
    except OSError:  # it has just been released
        return []

"""Files that a reader finds whole or not at all, whatever happens to the writer."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
PARTIAL_NAME = re.compile(r"\..+\.(?P<pid>\d{1,10})-[a-z0-9_]{8}\.partial")


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; at the end it is synced and renamed into place."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}-", suffix=PARTIAL_SUFFIX)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of a file."""
    with replacement(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed writers left behind: files with the names that they have here, whose process is gone."""
    for path in folder.glob(f".*{PARTIAL_SUFFIX}"):
        matched = PARTIAL_NAME.fullmatch(path.name)
        if matched and not _is_alive(int(matched["pid"])):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # what this process left is what an error has left
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user, or no number of a process
        return True
    return True


def _umask() -> int:
    """There is no asking for it without setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

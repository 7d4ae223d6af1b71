"""Files that a reader finds whole or not at all, whatever happens to the writer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = ".partial"


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; at the end it is synced and renamed into place."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL_SUFFIX)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of a file."""
    with replacement(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed writer left behind; nobody else may be writing to the folder."""
    for path in folder.glob(f".*{PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)

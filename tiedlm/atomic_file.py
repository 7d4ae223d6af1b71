"""Files that a reader finds whole or not at all, whatever happens to the writer, and folders that go with it."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
PARTIAL_NAME = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d{1,10})(@(?P<host>[^@]*))?-[a-z0-9_]{8}\.partial")
SECONDS_OF_A_WRITER = 86_400.0
"""A partial file of another host that is older than this has no writer any more; whether its process lives, that host
alone knows."""

TEMPORARY_PREFIX, HELD_FILE = "tiedlm-", ".held-by-tiedlm"


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; at the end it is synced and renamed into place.

    What killed writers of the same file left is removed.
    """
    remove_partial_files(path.parent, path.name)
    prefix = f".{path.name}.{os.getpid()}@{_host()}-"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=PARTIAL_SUFFIX)
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


def remove_partial_files(folder: Path, name: str = "") -> None:
    """Remove what killed writers left behind: files with the names that they have here, whose process is gone.

    With a name, those of this file alone.
    """
    for path in folder.glob(f".{glob.escape(name)}*{PARTIAL_SUFFIX}"):
        matched = PARTIAL_NAME.fullmatch(path.name)
        if matched and name in ("", matched["name"]) and _is_abandoned(path, matched):
            path.unlink(missing_ok=True)


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder that is removed at the end, in `parent` or where temporary files lie; those of killed processes too."""
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_abandoned_folders(place, prefix)
    with tempfile.TemporaryDirectory(dir=place, prefix=prefix) as name:
        descriptor = hold_folder(Path(name))
        try:
            yield Path(name)
        finally:
            os.close(descriptor)


def hold_folder(folder: Path) -> int:
    """Mark a temporary folder as one of ours, whose owner lives as long as the descriptor is open.

    It is a lock of the operating system: the number of a process may by now be another's.
    """
    new = folder / f"{HELD_FILE}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    if os.name == "posix":
        import fcntl  # Unix alone has it

        with contextlib.suppress(OSError):  # a file system without locks: then nothing is removed for it
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(folder / HELD_FILE)
    return descriptor


def take_folder(folder: Path) -> int | None:
    """Hold a folder that `hold_folder` marked and whose owner is gone; None where it lives, or has no mark."""
    if os.name != "posix":
        return None
    import fcntl

    try:
        descriptor = os.open(folder / HELD_FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove_abandoned_folders(place: Path, prefix: str) -> None:
    """Remove the temporary folders of this user's killed processes: those that `hold_folder` marked."""
    for folder in place.glob(f"{glob.escape(prefix)}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
        except OSError:  # it is gone
            continue
        descriptor = take_folder(folder)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _is_abandoned(path: Path, matched: re.Match[str]) -> bool:
    """Whether the writer of a partial file is gone; one without a host is this one's."""
    if matched["host"] in (None, _host()):
        return not _is_alive(int(matched["pid"]))
    try:
        return time.time() - path.stat().st_mtime > SECONDS_OF_A_WRITER
    except OSError:  # it has been renamed into place
        return False


def _host() -> str:
    """The name of this machine, in letters that any file system takes."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())[:64]


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # what this process left is what an error has left
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user, or no number of a process
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only its number is left, which in a container may be so for good."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"  # proc_pid_stat(5)
    except OSError:  # not Linux, or it is gone since
        return False


def _umask() -> int:
    """There is no asking for it without setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

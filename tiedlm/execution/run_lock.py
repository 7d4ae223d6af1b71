"""One lock a run: whoever makes it holds a lock of the operating system, which ends with the process that writes.

The command takes the lock before it starts the run's process and hands it on, as an open file. So the run stays held
until both are gone: where the command is killed, its process may still write for a moment. The lock's file is removed
by its holder alone; whoever opened it before then finds that it is no longer there, and opens the next one.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import platform
import stat
from collections.abc import Iterator
from multiprocessing import context, reduction
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tiedlm.atomic_file import write_atomically
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import Name, Strict
from tiedlm.errors import InputError
from tiedlm.record.metrics import Count
from tiedlm.record.run_id import LOCK_SUFFIX, LOCKS_FOLDER, RunId
from tiedlm.regular_file import read_regular_file

MAX_FILE_BYTES = 100_000
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems answer that have no locks."""


class NoLocks(Exception):
    """The file system of a folder has no locks, or the operating system has none that this module knows."""


class Holder(Strict):
    """Who makes a run, and as what."""

    host: str
    pid: Count
    since: str
    """In UTC, as ISO 8601 writes it."""
    experiment: Name
    arm: Name
    seed: Count
    config: RunConfig
    device: str
    precision: str

    @property
    def run(self) -> RunId:
        """The run that it makes."""
        return RunId(self.arm, self.seed)

    def __str__(self) -> str:
        """In words: `process 17 on host b`."""
        return f"process {self.pid} on host {self.host}"


class Failure(Strict):
    """Why a run failed when it was last tried."""

    host: str
    at: str
    sentence: str


class RunLock:
    """A run that this process holds, and the one that it is handed to."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        """Handed to a process as it is started, an open file goes with it; sent otherwise, nothing does."""
        if context.get_spawning_popen() is None:
            return (_none, ())
        return (_received, (str(self.path), reduction.DupFd(self.descriptor)))

    def release(self) -> None:
        """Remove the file and let go, once no process writes any more."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)
        with contextlib.suppress(OSError):  # others are held, or it was moved away
            self.path.parent.rmdir()


def _received(path: str, handed: Any) -> RunLock:
    return RunLock(Path(path), handed.detach())


def _none() -> None:
    return None


def take_run(out: Path, run: RunId, holder: dict[str, Any]) -> RunLock | None:
    """Hold a run of a folder, unless somebody else does.

    `holder` are the fields of `Holder` but for host, process and time, which are this process's.

    Raises:
        InputError: what lies in the lock's place is no file.
        NoLocks: there are none.
    """
    path = out / LOCKS_FOLDER / run.lock_file
    descriptor = _open_locked(path)
    if descriptor is None:
        return None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    document = {"host": platform.node(), "pid": os.getpid(), "since": now, "arm": run.arm, "seed": run.seed, **holder}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(document) + "\n").encode(), 0)
    failure_path(out, run).unlink(missing_ok=True)
    return RunLock(path, descriptor)


def _open_locked(path: Path) -> int | None:
    """The open and locked file of a path; None where another process has locked it."""
    while True:
        try:
            with contextlib.suppress(FileExistsError):  # `exist_ok` fails where a holder removes it at this moment
                path.parent.mkdir()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except FileNotFoundError:  # its holder has removed the empty folder
            if not path.parent.parent.is_dir():
                raise
            continue
        except OSError as error:
            if path.is_symlink() or path.is_dir():
                raise InputError(
                    f"{path}: is no regular file, and the lock of a run shall lie there; remove it"
                ) from error
            raise
        is_ours = False
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{path}: is no regular file, and the lock of a run shall lie there; remove it")
            is_ours = _lock(descriptor, is_shared=False) and _is_there(path, descriptor)
            if is_ours or _is_there(path, descriptor):
                return descriptor if is_ours else None
        finally:
            if not is_ours:
                os.close(descriptor)


def _lock(descriptor: int, is_shared: bool) -> bool:
    """Whether an open file could be locked at once."""
    try:
        import fcntl  # Unix alone has it
    except ImportError as error:
        raise NoLocks from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise NoLocks from error
        return False
    return True


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to an open file, which its holder may have removed since."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def has_locks(out: Path) -> bool:
    """Whether runs of a folder can be held."""
    run = RunId("probe", os.getpid())
    try:
        descriptor = _open_locked(out / LOCKS_FOLDER / run.lock_file)
    except NoLocks:
        (out / LOCKS_FOLDER / run.lock_file).unlink(missing_ok=True)
        return False
    if descriptor is not None:
        RunLock(out / LOCKS_FOLDER / run.lock_file, descriptor).release()
    return True


def held_runs(out: Path) -> dict[RunId, Holder | None]:
    """The runs of a folder that are held now, and by whom; None where it has not yet named itself."""
    return {run: read_holder(out, run) for run in _with_lock_files(out) if _is_held(out / LOCKS_FOLDER / run.lock_file)}


def read_holder(out: Path, run: RunId) -> Holder | None:
    """Who took a run last."""
    try:
        return Holder.model_validate_json(read_regular_file(out / LOCKS_FOLDER / run.lock_file, MAX_FILE_BYTES))
    except (OSError, ValidationError):
        return None


def _with_lock_files(out: Path) -> Iterator[RunId]:
    try:
        names = sorted(path.name for path in (out / LOCKS_FOLDER).iterdir())
    except OSError:
        return
    for name in names:
        run = RunId.of_file(Path(name)) if name.endswith(LOCK_SUFFIX) else None
        if run is not None:
            yield run


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:  # it is gone
        return False
    try:
        return not _lock(descriptor, is_shared=True)
    except NoLocks:
        return False
    finally:
        os.close(descriptor)


def remove_free_locks(out: Path) -> None:
    """Remove the files of locks whose holders were killed."""
    for run in _with_lock_files(out):
        descriptor = _open_locked(out / LOCKS_FOLDER / run.lock_file)
        if descriptor is not None:
            RunLock(out / LOCKS_FOLDER / run.lock_file, descriptor).release()


def failure_path(out: Path, run: RunId) -> Path:
    """Where it is written why a run failed."""
    return out / LOCKS_FOLDER / run.failure_file


def save_failure(out: Path, run: RunId, sentence: str) -> None:
    """Write down why a run failed, for whoever asks; its holder does so, and the next one removes it."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with contextlib.suppress(OSError):  # the folder is gone, or the disk is full, of which the command tells
        write_atomically(
            failure_path(out, run), Failure(host=platform.node(), at=now, sentence=sentence).model_dump_json() + "\n"
        )


def load_failure(out: Path, run: RunId) -> Failure | None:
    """Why a run failed when it was last tried; None where it did not."""
    try:
        return Failure.model_validate_json(read_regular_file(failure_path(out, run), MAX_FILE_BYTES))
    except (OSError, ValidationError):
        return None

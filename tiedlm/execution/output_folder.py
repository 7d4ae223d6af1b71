"""The folder that runs are written to: made before the first, and cleared of what ended processes left."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from tiedlm.atomic_file import remove_partial_files
from tiedlm.errors import InputError
from tiedlm.execution.run_lock import failure_path, held_runs, remove_free_locks
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import CHECKPOINTS_FOLDER
from tiedlm.training.checkpoint import CheckpointFiles

MAX_TRIES, SECONDS_BETWEEN_TRIES = 10, 0.05


def make_folder(out: Path) -> None:
    """Make the output folder, unless it is there.

    Raises:
        InputError: it cannot be written, or its checkpoints would lie elsewhere.
    """
    if (out / CHECKPOINTS_FOLDER).is_symlink():
        raise InputError(f"{out / CHECKPOINTS_FOLDER}: is a link to elsewhere; remove it or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error


def clear_leftovers(folder: Path) -> None:
    """Remove what ended processes left in a folder: partial files, checkpoints of finished runs, locks of nobody."""
    if not folder.is_dir():  # it was moved away, which the runs have told
        return
    remove_partial_files(folder)
    for record in load_records(folder, may_be_empty=True):
        CheckpointFiles(folder, record.run).delete()
        failure_path(folder, record.run).unlink(missing_ok=True)
    checkpoints = folder / CHECKPOINTS_FOLDER
    if checkpoints.is_dir():
        remove_partial_files(checkpoints)
        _remove_empty(checkpoints, folder)
    remove_free_locks(folder)


def _remove_empty(checkpoints: Path, folder: Path) -> None:
    """Remove a folder of checkpoints that holds none, unless a run is held that may write one.

    A process that is being started has a copy of every open lock for a moment, so a lock is asked about again.
    """
    for _ in range(MAX_TRIES):
        if not checkpoints.is_dir() or any(checkpoints.iterdir()):
            return
        if not held_runs(folder):
            with contextlib.suppress(OSError):  # another command has put one there, or has removed the folder
                checkpoints.rmdir()
            return
        time.sleep(SECONDS_BETWEEN_TRIES)

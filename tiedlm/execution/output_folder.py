"""The folder that runs are written to: made before the first, and cleared of what ended processes left."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tiedlm.atomic_file import remove_partial_files
from tiedlm.errors import InputError
from tiedlm.execution.run_lock import failure_path, remove_free_locks
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import CHECKPOINTS_FOLDER
from tiedlm.training.checkpoint import CheckpointFiles, remove_if_empty


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
        remove_if_empty(checkpoints)
    remove_free_locks(folder)

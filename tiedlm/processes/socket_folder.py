"""Removes the folder of its socket for a command that was killed; the server of worker processes imports it."""

from __future__ import annotations

import atexit
import os
import shutil

SOCKET_FOLDER = "TIEDLM_SOCKET_FOLDER"


def _remove(folder: str, command: int) -> None:
    if os.getppid() != command:  # else it removes the folder itself
        shutil.rmtree(folder, ignore_errors=True)


if SOCKET_FOLDER in os.environ:  # workers are forked from the server and end without this
    atexit.register(_remove, os.environ.pop(SOCKET_FOLDER), os.getppid())

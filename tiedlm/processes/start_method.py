"""How worker processes come to be: forked, where that is safe, from a server that has imported torch once.

The server imports while the parent still prepares, and no run after the first pays for an import again.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import types
from collections.abc import Iterator
from multiprocessing import util
from pathlib import Path

from tiedlm.atomic_file import TEMPORARY_PREFIX, hold_folder, remove_abandoned_folders
from tiedlm.errors import InputError
from tiedlm.processes.socket_folder import SOCKET_FOLDER

# A library may have started threads when macOS forks it.
CONTEXT = multiprocessing.get_context("forkserver") if sys.platform == "linux" else multiprocessing.get_context("spawn")
SIGNALS_OF_THE_PARENT = [getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
IMPORTS_OF_A_RUN = ("tiedlm.training.run", "torch._dynamo")  # the one that any optimizer imports
SOCKET_FOLDER_PREFIX = "pymp-"
"""By which `multiprocessing` names it, for any program."""
MIN_OPEN_FILES = 64
TUNABLES = {"hugetlb": 1, "mmap_threshold": 1 << 25, "trim_threshold": (1 << 31) - 1}  # of glibc.malloc


def start_server(imports: tuple[str, ...] = IMPORTS_OF_A_RUN) -> None:
    """Let the imports of what is to be done begin, in a process of their own; one that is there stays as it is.

    Raises:
        InputError: too few files may be open, or the path of the folder for temporary files is too long for a socket.
    """
    if CONTEXT.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        _check_open_files()
        _hold_temporary_folder()
        CONTEXT.set_forkserver_preload(["tiedlm.processes.socket_folder", *imports])
        # An interrupt, or a closed terminal, is for the parent alone, and the server and its children inherit that
        # from the first moment on.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS_OF_THE_PARENT}
        try:
            with memory_kept_by_children(), nothing_of_the_current_folder(), socket_folder_removed():
                forkserver.ensure_running()
        except OSError as error:
            if "path too long" not in str(error):  # it has no number
                raise
            raise InputError(
                f"TMPDIR={tempfile.gettempdir()}: is too long for a socket's path; set TMPDIR to a shorter one"
            ) from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def clear_temporary_folders() -> None:
    """Remove the folders for temporary files, with the socket of a server, that killed commands left."""
    for prefix in (SOCKET_FOLDER_PREFIX, TEMPORARY_PREFIX):
        remove_abandoned_folders(Path(tempfile.gettempdir()), prefix)


@functools.cache  # once a process: the descriptor stays open as long as that lives
def _hold_temporary_folder() -> int:
    return hold_folder(Path(util.get_temp_dir()))


def _check_open_files() -> None:
    """Processes that may open no file end without a word; where the user may raise the limit, it is raised."""
    import resource  # Unix alone has it

    limit, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < MIN_OPEN_FILES:
        if highest != resource.RLIM_INFINITY and highest < MIN_OPEN_FILES:
            raise InputError(
                f"only {highest} files may be open at a time, and training needs {MIN_OPEN_FILES}; raise the limit, "
                "e.g. by ulimit -n 1024"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (MIN_OPEN_FILES, highest))


@contextlib.contextmanager
def nothing_of_the_current_folder() -> Iterator[None]:
    """Processes started meanwhile import nothing from the current folder, which may be a stranger's.

    `multiprocessing` starts them by `python -c`, for which the current folder goes before the standard library.
    """
    with _variable("PYTHONSAFEPATH", "1"):
        yield


@contextlib.contextmanager
def socket_folder_removed() -> Iterator[None]:
    """The server started meanwhile removes the folder of its socket for a parent that is killed."""
    with _variable(SOCKET_FOLDER, util.get_temp_dir()):
        yield


@contextlib.contextmanager
def memory_kept_by_children() -> Iterator[None]:
    """Processes started meanwhile keep the memory of freed tensors of up to 32 MiB for the next step, in huge pages.

    By default glibc gives it back to the system, which clears its pages again at every step; and of a page of 4 KiB the
    processor must look up too often where it lies. 32 MiB is the largest limit that mallopt(3) documents; twice as much
    raised the peak at a vocabulary of 250,000 by 5 %. Huge pages are asked for from glibc 2.35 on and given where the
    kernel's setting is `madvise` (glibc's manual, "Memory Allocation Tunables"; under `always` nobody need ask). Any
    other C library takes no notice.
    """
    name = "GLIBC_TUNABLES"
    given = os.environ.get(name)
    ours = [f"glibc.malloc.{tunable}={value}" for tunable, value in TUNABLES.items()]
    with _variable(name, ":".join([*ours, *([given] if given else [])])):  # of two settings, the last counts
        yield


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    given = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if given is None:
            del os.environ[name]
        else:
            os.environ[name] = given


@contextlib.contextmanager
def main_module_left_out() -> Iterator[None]:
    """Processes started meanwhile do not import the program that started them, which `multiprocessing` has them do.

    A worker needs nothing of it; and a script that calls `tiedlm.compare` without `if __name__ == "__main__":` would
    run again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def die_with_parent() -> None:
    """End this process when the command that wants its result is gone, so that a new one has the folder to itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

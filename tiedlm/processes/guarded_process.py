"""Work on a stranger's files, in a process of its own and within limits of memory and processor time.

A tokenizer's regex may take for ever, its normalizer fill the memory, a configuration build what no machine holds, and
native code may end the process that runs it. So the command only waits, and says in a sentence what came of it. The
limits are the kernel's (setrlimit(2): RLIMIT_DATA, on Linux alone, and RLIMIT_CPU), since no thread of Python's runs
while native code holds the interpreter. They count processor time, so that a busy machine refuses nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from tiedlm.errors import InputError, is_lack_of_memory, memory_limit_bytes
from tiedlm.processes import start_method
from tiedlm.processes.start_method import (
    IMPORTS_OF_A_RUN,
    SIGNALS_OF_THE_PARENT,
    die_with_parent,
    main_module_left_out,
    nothing_of_the_current_folder,
    start_server,
)

T = TypeVar("T")
BYTES_PER_THREAD = 16 << 20
"""Of its stack and its part of the heap, whatever it does."""
REMEDY = "correct it, or give another"


class Guard(Protocol):
    """What the work says of itself as it goes on."""

    def enter(self, doing: str, num_bytes: int, cpu_seconds: float) -> None:
        """From now on, so much more memory and processor time may be taken; `doing` is e.g. "reading the text"."""

    def tell(self, phase: str, share: float) -> None:
        """What is done, and its share, for whoever waits."""


class NoGuard:
    """For files that are trusted: no limits, and nobody who waits."""

    def enter(self, doing: str, num_bytes: int, cpu_seconds: float) -> None:
        """Nothing."""

    def tell(self, phase: str, share: float) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _Stage:
    """What is done now, and its limits."""

    doing: str
    num_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class _Answer(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Refusal:
    sentence: str


@dataclass(frozen=True)
class _OutOfMemory:
    """Told by the work itself, which was refused more."""


@dataclass(frozen=True)
class _SystemRefusal:
    """Of the operating system, such as a full disk."""

    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class _Fault:
    """An exception that nobody expected."""

    told: str


class ProcessFault(RuntimeError):
    """A fault of our own in the other process, with its traceback."""


def run_guarded(
    source: str,
    work: Callable[[Guard], T],
    on_progress: Callable[[str, float], None] = lambda *_: None,
    imports: tuple[str, ...] = IMPORTS_OF_A_RUN,
) -> T:
    """What `work`, which can be pickled as its result can, returns in a process of its own.

    `source` is the name of what is read, for sentences; `imports` what the process is going to import.

    Raises:
        InputError: raised by the work; or the process has gone beyond a limit, or was ended by what it read.
        MemoryError: memory ran out, or the process ended, and the user limits the memory of processes.
        OSError: raised by the work.
    """
    start_server(imports)
    receiver, sender = start_method.CONTEXT.Pipe(duplex=False)
    process = start_method.CONTEXT.Process(target=_run, args=(work, sender), name="guarded", daemon=True)
    try:
        with main_module_left_out(), nothing_of_the_current_folder():
            process.start()
    except EOFError:  # the server has ended
        raise _of_memory(f"{source}: no process can be started to read it; end other programs") from None
    sender.close()  # the process holds the other end; its death is then an end of file here
    stage = _Stage("starting", 0, 0.0)
    try:
        while True:
            match receiver.recv():
                case _Stage() as stage:
                    pass
                case (phase, share):
                    on_progress(phase, share)
                case _Answer(value):
                    return value  # type: ignore[no-any-return]
                case _Refusal(sentence):
                    raise InputError(sentence)
                case _OutOfMemory():
                    raise _of_memory(f"{source}: {_memory(stage)}; {REMEDY}")
                case _SystemRefusal(arguments):
                    raise OSError(*arguments)
                case _Fault(told):
                    raise ProcessFault(told)
    except EOFError:
        process.join()
        assert process.exitcode is not None
        sentence = f"{source}: {_death(process.exitcode, stage)}; {REMEDY}"
        raise (InputError if _is_cpu_limit(process.exitcode) else _of_memory)(sentence) from None
    finally:
        process.kill()
        process.join()
        receiver.close()


def _run(work: Callable[[Guard], Any], sender: Connection) -> None:
    """The body of the process."""
    for number in SIGNALS_OF_THE_PARENT:  # it kills this process
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what a library prints is told in the sentence, or is not for the user
        os.dup2(nowhere, stream)
    limits = _Limits(sender)
    try:
        sender.send(_Answer(work(limits)))
    except BaseException as error:
        limits.lift()
        if is_lack_of_memory(error):
            sender.send(_OutOfMemory())
        elif isinstance(error, InputError):
            sender.send(_Refusal(str(error)))
        elif isinstance(error, OSError):
            sender.send(_SystemRefusal((error.errno, error.strerror, error.filename)))
        else:
            sender.send(_Fault("".join(traceback.format_exception(error))))
    finally:
        os._exit(0)  # threads of native code may still be at work


class _Limits:
    """The guard of a process: sets its limits, and tells the parent."""

    def __init__(self, sender: Connection) -> None:
        self.sender = sender
        if sys.platform != "win32":
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def enter(self, doing: str, num_bytes: int, cpu_seconds: float) -> None:
        self.sender.send(_Stage(doing, num_bytes, cpu_seconds))
        if sys.platform == "win32":
            return
        import resource

        _set(resource.RLIMIT_CPU, int(time.process_time() + cpu_seconds) + 1)
        if sys.platform == "linux":
            _set(resource.RLIMIT_DATA, _data_bytes() + num_bytes + BYTES_PER_THREAD * (os.cpu_count() or 1))

    def tell(self, phase: str, share: float) -> None:
        self.sender.send((phase, share))

    def lift(self) -> None:
        """There is room again to say what went wrong."""
        if sys.platform == "linux":
            import resource

            _set(resource.RLIMIT_DATA, resource.RLIM_INFINITY)


def _set(limit: int, value: int) -> None:
    """The limit that counts; the one up to which it may be raised again stays as it is."""
    import resource

    highest = resource.getrlimit(limit)[1]
    if highest != resource.RLIM_INFINITY:
        value = highest if value == resource.RLIM_INFINITY else min(value, highest)
    resource.setrlimit(limit, (value, highest))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process (proc(5), VmData)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def _of_memory(sentence: str) -> Exception:
    """Where the user limits the memory, it is that limit that was met, and not ours."""
    return InputError(sentence) if memory_limit_bytes() is None else MemoryError(sentence)


def _is_cpu_limit(exit_code: int) -> bool:
    return exit_code == -getattr(signal, "SIGXCPU", 0)


def _memory(stage: _Stage) -> str:
    return f"{stage.doing} takes more than {stage.num_bytes / 1e9:.2g} GB of memory"


def _death(exit_code: int, stage: _Stage) -> str:
    """In words; a negative code is a signal's number."""
    if exit_code >= 0:
        return f"{stage.doing} ended its process with status {exit_code}"
    name = signal.Signals(-exit_code).name
    if _is_cpu_limit(exit_code):
        return f"{stage.doing} takes more than {stage.cpu_seconds:.2g} seconds of processor time"
    if name in ("SIGABRT", "SIGKILL"):  # of an allocator that is refused memory; of the kernel that has none left
        return f"{_memory(stage)}, or its libraries gave up ({name})"
    return f"{stage.doing} ended its process by {name}, a fault of its libraries"

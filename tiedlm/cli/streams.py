"""The three streams of the command, made safe: none is missing, and nobody need listen to stderr."""

from __future__ import annotations

import io
import os
import sys


def make_streams_safe() -> None:
    """Let a stream that is closed lead nowhere, and one that no one can read be no error of the command.

    What is written to stderr is lost where it is closed, full or no longer read: the answer and the exit status are
    those of a command whose stderr is read. Lost results are an error: stdout stays as it is.
    """
    if os.name != "posix":
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # the next file that is opened would have its number, and get what is written to it
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 (a descriptor, to the end)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None or (isinstance(sys.stderr, io.TextIOWrapper) and _descriptor(sys.stderr) == 2):
        sys.stderr = unheard_errors(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without × and █ shows ? for them


def unheard_errors(descriptor: int) -> io.TextIOWrapper:
    """A stderr at a descriptor, to which writing always succeeds."""
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    raw = io.BufferedWriter(_Unheard(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding=encoding, errors="replace", line_buffering=True)


class _Unheard(io.FileIO):
    """A file to which writing always succeeds."""

    def write(self, content: object) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError:
            return memoryview(content).nbytes  # type: ignore[arg-type]


def _descriptor(stream: io.TextIOWrapper) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None

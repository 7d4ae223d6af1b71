"""Hearing of a signal while the main thread is in a library, for whose return Python's own handlers wait."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signals_seen() -> Iterator[Callable[[], bool]]:
    """Tells, in any thread, whether a signal with a Python handler has come meanwhile."""
    if threading.current_thread() is not threading.main_thread():  # where none is heard
        yield lambda: False
        return
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield lambda: bool(select.select([reader], [], [], 0)[0])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)

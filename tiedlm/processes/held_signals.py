"""Signals wait while code runs through which no exception may go: Ray's, or half a message of a process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
"""By which a command is told to stop; the last two are of Unix."""


class HeldSignals:
    """Those that came and have not been handled yet."""

    def __init__(self) -> None:
        self.pending: list[int] = []
        self.handlers: dict[int, Callable[[int, FrameType | None], object]] = {}

    def deliver(self) -> None:
        """Let what came be handled now, by the handlers that were there before; one of them may raise."""
        while self.pending:
            number = self.pending.pop(0)
            self.handlers[number](number, None)

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Around a wait in which nothing is lost: what came is delivered, and what comes interrupts."""
        try:
            for number, handler in self.handlers.items():
                signal.signal(number, handler)
            self.deliver()
            yield
        finally:
            self.hold()

    def hold(self) -> None:
        """Let signals wait from now on."""
        for number in self.handlers:
            signal.signal(number, lambda number, _: self.pending.append(number))


@contextlib.contextmanager
def held_signals() -> Iterator[HeldSignals]:
    """Hold the signals by which a command is stopped; at the end those that still wait are delivered."""
    held = HeldSignals()
    if threading.current_thread() is threading.main_thread():  # no other has handlers
        for number in STOP_SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                held.handlers[number] = handler
    try:
        held.hold()
        yield held
    finally:
        for number, handler in held.handlers.items():
            signal.signal(number, handler)
    held.deliver()

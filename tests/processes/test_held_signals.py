"""A signal waits, and is handled by the handler that was there before, once and in the order that signals came."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tiedlm.processes.held_signals import held_signals


@pytest.fixture
def handled() -> Iterator[list[int]]:
    numbers: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    for number in before:
        signal.signal(number, lambda number, _: numbers.append(number))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_wait_until_they_are_delivered(handled: list[int]) -> None:
    with held_signals() as signals:
        for number in (signal.SIGUSR1, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert handled == []
        signals.deliver()
        assert handled == [signal.SIGUSR1, signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
    assert handled == [signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM]
    os.kill(os.getpid(), signal.SIGUSR1)
    assert handled[-1] == signal.SIGUSR1


def test_what_a_handler_raises_goes_through_and_handlers_are_back(handled: list[int]) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    def stop() -> None:
        with held_signals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            signals.deliver()

    signal.signal(signal.SIGTERM, interrupt)
    with pytest.raises(KeyboardInterrupt):
        stop()
    assert signal.getsignal(signal.SIGTERM) is interrupt
    assert handled == []


def test_another_thread_than_the_first_has_no_signals_to_hold(handled: list[int]) -> None:
    def hold() -> None:
        with held_signals() as signals:
            assert signals.handlers == {}

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGTERM)
    assert handled == [signal.SIGTERM]

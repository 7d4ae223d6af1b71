"""A signal waits, and is handled by the handler that was there before, once and in the order that signals came.

And one that does not wait ends the command as a signal does, whatever a library makes of it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, model_serializer

from tiedlm.cli import main
from tiedlm.processes.held_signals import STOP_SIGNALS, held_signals


@pytest.fixture
def handled() -> Iterator[list[int]]:
    numbers: list[int] = []
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number in (signal.SIGTERM, signal.SIGUSR1):
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


def test_around_a_wait_a_signal_comes_through_at_once(handled: list[int]) -> None:
    with held_signals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        with signals.let_through():
            assert handled == [signal.SIGUSR1]
            os.kill(os.getpid(), signal.SIGTERM)
            assert handled == [signal.SIGUSR1, signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(handled) == 2
    assert len(handled) == 3


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


class Stopping(BaseModel):
    """Is sent a signal while it is written."""

    @model_serializer
    def write(self) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return ""


@pytest.mark.usefixtures("handled")
def test_a_stop_of_which_a_library_made_an_error_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "app", lambda: Stopping().model_dump())
    monkeypatch.setattr("sys.argv", ["tiedlm"])
    with pytest.raises(SystemExit) as ended:
        main.run_command()
    assert ended.value.code == 128 + signal.SIGTERM

"""A process that reads a stranger's files: what ends it is said in a sentence, whatever it is."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest

from tiedlm.errors import InputError
from tiedlm.processes.guarded_process import Guard, ProcessFault, run_guarded

MEGABYTES = 1 << 20


def answer(guard: Guard) -> dict[str, int]:
    guard.enter("counting", 100 * MEGABYTES, 10.0)
    guard.tell("half", 0.5)
    return {"answer": 42}


def spin(guard: Guard) -> None:
    guard.enter("reading a regex", 100 * MEGABYTES, 0.5)
    while True:
        pass


def grow(guard: Guard) -> int:
    guard.enter("reading a text", 100 * MEGABYTES, 30.0)
    return sum(len(bytearray(50 * MEGABYTES)) for _ in [0]) + len(bytearray(900 * MEGABYTES))


def grow_in_torch(guard: Guard) -> float:
    import torch

    guard.enter("building", 100 * MEGABYTES, 30.0)
    try:
        return float(torch.ones(1 << 29).sum())
    except RuntimeError as error:
        raise InputError("the library cannot build it") from error


def fall(guard: Guard) -> None:
    guard.enter("reading a tokenizer", 100 * MEGABYTES, 10.0)
    ctypes.string_at(0)


def end(guard: Guard, how: Callable[[], None]) -> None:
    guard.enter("reading weights", 100 * MEGABYTES, 10.0)
    os.write(2, b"thread panicked at src/lib.rs")
    how()


def refuse(_: Guard) -> None:
    raise InputError("its mask is missing; add one")


def err(_: Guard) -> None:
    raise KeyError("our own fault")


def test_the_answer_and_the_progress_come_back() -> None:
    heard: list[tuple[str, float]] = []
    assert run_guarded("model", answer, lambda *told: heard.append(told)) == {"answer": 42}
    assert heard == [("half", 0.5)]


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (spin, "model: reading a regex takes more than 0.5 seconds of processor time; correct it, or give another"),
        (fall, "model: reading a tokenizer ended its process by SIGSEGV, a fault of its libraries; "),
        (partial(end, how=os.abort), "model: reading weights takes more than 0.1 GB of memory, or its libraries gave"),
        (partial(end, how=partial(os._exit, 3)), "model: reading weights ended its process with status 3; "),
        (refuse, "its mask is missing; add one"),
    ],
)
def test_what_ends_it_is_said(work: Callable[[Guard], None], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as refused:
        run_guarded("model", work)
    assert str(refused.value).startswith(sentence)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of its processes")
@pytest.mark.parametrize("work", [grow, grow_in_torch])
def test_memory_beyond_the_limit_is_said(work: Callable[[Guard], object]) -> None:
    with pytest.raises(InputError, match=r"model: \w+( a text)? takes more than 0\.1 GB of memory; correct it"):
        run_guarded("model", work)


def fill_the_disk(_: Guard) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "tokens")


def test_what_the_system_refuses_is_raised_as_it_was() -> None:
    with pytest.raises(OSError, match="No space left on device: 'tokens'") as refused:
        run_guarded("model", fill_the_disk)
    assert refused.value.errno == errno.ENOSPC


def test_a_fault_of_our_own_is_none_of_the_users() -> None:
    with pytest.raises(ProcessFault, match=r"(?s)Traceback.*in err.*our own fault"):
        run_guarded("model", err)


def wait(guard: Guard, number: int) -> None:
    guard.tell(str(os.getpid()), 0.0)
    signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


def test_whoever_waits_may_leave_and_the_process_is_gone() -> None:
    pids: list[int] = []

    def leave(phase: str, _: float) -> None:
        pids.append(int(phase))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_guarded("model", partial(wait, number=signal.SIGTERM), leave)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_the_limits_are_the_processs_alone() -> None:
    before = [resource.getrlimit(limit) for limit in (resource.RLIMIT_CPU, resource.RLIMIT_DATA)]
    run_guarded("model", answer)
    assert [resource.getrlimit(limit) for limit in (resource.RLIMIT_CPU, resource.RLIMIT_DATA)] == before

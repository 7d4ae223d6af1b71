"""What is said when memory runs out, whichever library runs out of it and however it ends.

Libraries of C and Rust end the process, with words of their own or none. So where memory is limited, the command runs
in a child process, and this one tells what the child could not.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from types import FrameType

from tiedlm.cli.console import complain
from tiedlm.errors import memory_limit_bytes

STATUS_WITHOUT_MEMORY = 1


def tell_lack_of_memory() -> int:
    """Say that memory ran out and what to do; return the exit status."""
    limit = memory_limit_bytes()
    try:
        if limit is None:
            complain("memory ran out while the command ran; end other programs, or give the command less to do")
        else:
            complain(
                f"memory ran out while the command ran: a process may have {limit / 1e6:,.0f} MB; raise the limit, "
                "e.g. by ulimit -v unlimited"
            )
    except MemoryError:
        os.write(2, b"tiedlm: memory ran out; give the command more\n")
    return STATUS_WITHOUT_MEMORY


def watched_where_memory_is_limited(stop_signals: Iterable[signal.Signals]) -> Callable[[], None] | None:
    """Go on in a child process where memory is limited; what is returned there is to be called at its orderly end.

    The process that called ends with the child's exit status, or with a sentence where it has ended otherwise, as it
    does when memory runs out: little may be left to say so. None where memory is not limited.
    """
    if memory_limit_bytes() is None or not hasattr(os, "fork"):
        return None
    receiver, sender = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        os.close(receiver)
        _leave_words_of_libraries_unheard()
        _end_with(parent)
        return lambda: _write_once(sender)
    os.close(sender)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in stop_signals:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.set_blocking(receiver, False)  # a process that the child has started may hold the other end
    try:
        has_ended_orderly = bool(os.read(receiver, 1))
    except BlockingIOError:
        has_ended_orderly = False
    sys.exit(status if has_ended_orderly and status >= 0 else tell_lack_of_memory())


def _write_once(sender: int) -> None:
    try:
        os.write(sender, b".")
        os.close(sender)
    except OSError:  # nobody waits any more
        pass


def _leave_words_of_libraries_unheard() -> None:
    """Their stderr leads nowhere, ours to where it led."""
    heard, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    from tiedlm.cli.streams import unheard_errors

    sys.stderr = unheard_errors(heard)


def _end_with(parent: int) -> None:
    """Be stopped as by SIGTERM when the process that waits is killed; Linux has a call for that."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:  # it was killed meanwhile
        os.kill(os.getpid(), signal.SIGTERM)

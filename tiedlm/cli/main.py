"""The entry point: the commands, with an exit status and a sentence for whatever stops them."""

from __future__ import annotations

import errno
import itertools
import math
import signal
import sys
import time

import typer

from tiedlm.cli.arguments import with_plan_form
from tiedlm.cli.commands import app
from tiedlm.cli.console import complain, stderr
from tiedlm.cli.exit_status import AGAIN
from tiedlm.cli.lack_of_memory import STATUS_WITHOUT_MEMORY, tell_lack_of_memory, watched_where_memory_is_limited
from tiedlm.cli.streams import make_streams_safe
from tiedlm.errors import InputError, RunsFailed, Stopped, is_lack_of_memory
from tiedlm.processes.held_signals import STOP_SIGNALS

SECONDS_OF_ONE_STOP = 1.0


def main() -> None:
    """The `tiedlm` command: 0 done, 1 a run failed, 2 wrong usage or input, 128 + N stopped by signal N.

    SIGUSR1, by which queues say that the time is over, ends it with `AGAIN`.
    """
    make_streams_safe()
    end_orderly = watched_where_memory_is_limited(STOP_SIGNALS)
    try:
        run_command()
    except BaseException as error:
        if is_lack_of_memory(error) and not isinstance(error, SystemExit):  # of which everything is said
            sys.exit(STATUS_WITHOUT_MEMORY if end_orderly else tell_lack_of_memory())
        if end_orderly:
            end_orderly()
        raise
    if end_orderly:
        end_orderly()


def run_command() -> None:
    """Run the command of `sys.argv`; whatever stops it is told, but for a lack of memory.

    Raises:
        SystemExit: it was stopped, or has ended with another status than 0.
    """
    stop = _Stop()
    for number in STOP_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as for a job in the background
            signal.signal(number, stop)
    try:
        sys.argv[1:] = with_plan_form(sys.argv[1:])
        check_options(sys.argv[1:])
        app()
    except (InputError, RunsFailed) as error:
        for sentence in [*(error.failures if isinstance(error, RunsFailed) else []), str(error)]:
            complain(sentence)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except OSError as error:
        if is_lack_of_memory(error):
            raise
        sys.exit(tell_os_error(error))
    except Stopped as stopped:
        sys.exit(tell_stop(stopped))
    except Exception as error:
        if isinstance(error.__cause__, Stopped):  # pydantic makes an error of its own of whatever a serializer raises
            sys.exit(tell_stop(error.__cause__))
        raise


def tell_stop(stopped: Stopped) -> int:
    """Say that the command was interrupted, and return the exit status, which shall be that of the first signal."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    stderr.print("tiedlm: interrupted")
    is_told_by_queue = stopped.signal_number == getattr(signal, "SIGUSR1", None)
    return AGAIN if is_told_by_queue else stopped.exit_code


def tell_os_error(error: OSError) -> int:
    """Say what the system refused, and return the exit status."""
    if error.errno == errno.ENOSPC:
        complain(f"cannot write ({error.strerror}); free some space and give the same command again")
        return 1
    if error.errno in (errno.EMFILE, errno.ENFILE):
        complain(f"cannot open one more file ({error.strerror}); raise the limit, e.g. by ulimit -n 1024")
    elif error.errno == errno.ENAMETOOLONG:
        complain(f"{str(error.filename)[:80]}…: is too long a name; give a shorter one")
    else:  # wherever a file or folder, asked for by whatever, may not be used
        place = str(error.filename or "a file or folder")[:300]
        complain(f"{place}: cannot be used ({error.strerror or error}); check that it is there, and its permissions")
    return 2


def check_options(arguments: list[str]) -> None:
    """Say of an option that is a key of an experiment how it is set.

    Raises:
        InputError: there is such an option.
    """
    if arguments[:1] not in (["train"], ["compare"]):
        return
    command = typer.main.get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for argument, following in itertools.zip_longest(arguments[1:], arguments[2:], fillvalue=""):
        name, _, value = argument.partition("=")
        if name.startswith("--") and name not in known:
            from tiedlm.config.experiment import place_of_key

            place = place_of_key(name[2:].replace("-", "_"))
            if place:
                value = value or (following if following and not following.startswith("--") else "VALUE")
                raise InputError(f"{name} is no option but a key of the experiment; give --set {place}={value}")


class _Stop:
    """Raises `Stopped`; once for signals that come together, as `timeout` tells the command and then its group."""

    def __init__(self) -> None:
        self.raised_at = -math.inf

    def __call__(self, signal_number: int, _frame: object) -> None:
        if time.monotonic() - self.raised_at > SECONDS_OF_ONE_STOP:
            self.raised_at = time.monotonic()
            raise Stopped(signal_number)

"""What the user is told when something given is wrong; apart, so that telling it costs no import."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

WORDS_OF_NO_MEMORY = (
    *("allocate memory", "out of memory", "not enough memory", "bad_alloc", "bad alloc", "unable to mmap"),
    *("failed to map segment", "can't start new thread", "could not create a primitive", "error return without"),
)
"""Of PyTorch, C++, Rust, the loader of libraries, threads, oneDNN and the interpreter."""


def printable(text: str) -> str:
    """Text from a file with its control characters spelled out, so that it cannot steer a terminal or break a line."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def listed(names: Sequence[str], shown: int = 4) -> str:
    """`a, b, c, d and 3 more`, of names from files."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(printable(name[:100]) for name in names[:shown]) + more


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` (did you mean ptb?)` for a near miss, or nothing; of names that begin so, the shortest."""
    names = list(known)
    begun = sorted((name for name in names if given and name.startswith(given.lower())), key=len)
    like = begun or get_close_matches(given.lower(), names)
    return f" (did you mean {like[0]}?)" if like else ""


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that memory ran out; not every library raises MemoryError."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        if isinstance(found, MemoryError) or getattr(found, "errno", None) == errno.ENOMEM:
            return True
        is_of_library = isinstance(found, ImportError | OSError | RuntimeError | SystemError)
        if is_of_library and any(words in str(found).lower() for words in WORDS_OF_NO_MEMORY):
            return True
        found = found.__cause__ or found.__context__
    return False


def memory_limit_bytes() -> int | None:
    """How much of the address space this process may use (`ulimit -v`); None for all of it."""
    try:
        import resource  # Unix alone has it
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


class InputError(ValueError):
    """Something the user gave is wrong: one sentence with the field, the value and the remedy."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


class Stopped(BaseException):
    """The command was sent a signal to stop. Unlike KeyboardInterrupt, no library has its own ideas about it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


@contextmanager
def told(source: str, what: str, remedy: str) -> Iterator[None]:
    """Whatever libraries raise on a stranger's file, as one sentence.

    Raises:
        InputError: they have raised something.
    """
    try:
        yield
    except (InputError, Stopped, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of Rust code is no Exception
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{source}: {what} ({said}); {remedy}") from error


class DivergedTrial(Exception):
    """A run of a tuning has no record, and is done: that it diverges is its result, which is written down."""


class RunsFailed(Exception):
    """Some of the runs have no record: which and why, a sentence each."""

    def __init__(self, failures: list[str], num_runs: int) -> None:
        super().__init__(
            f"{len(failures)} of {num_runs} runs failed and are missing; the same command trains only what is missing"
        )
        self.failures = failures
        self.comparison: Any = None
        """The `Comparison` of the runs that did not fail, if they can be compared."""

"""What all that asks the Hugging Face Hub shares: a quiet client, and its errors in one line."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import TypeVar

from tiedlm.errors import InputError

T = TypeVar("T")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class TooSlow(Exception):
    """The Hub answers, but has not ended in the time that there was."""


def be_quiet() -> None:
    """What the Hub's client would log or draw is said in our own sentences.

    Raises:
        InputError: the client has no folder to keep things in; it would make one called `~` in the current folder.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 (as the client asks; pathlib would raise)
    if home == "~" and not {"HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"} & os.environ.keys():
        raise InputError("the cache: this user has no home folder; set XDG_CACHE_HOME to a folder")
    from huggingface_hub.utils import disable_progress_bars, logging  # type: ignore[attr-defined]

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    disable_progress_bars()


def first_line(error: BaseException) -> str:
    """What a library says, short enough for a sentence."""
    text = str(error).strip()
    return text.splitlines()[0][:160].rstrip(" .") if text else type(error).__name__


def within(seconds: float, ask: Callable[[], T]) -> T:
    """What `ask` returns or raises. The client bounds the time between two bytes, and no sum of such times.

    Raises:
        TooSlow: it has not ended by then; it is left to itself.
    """
    ended: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            ended.append(ask())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not ended:
        raise TooSlow(f"nothing whole within {seconds:g} s")
    return ended[0]


def why_not_given(wanted: str, error: Exception) -> str:
    """Why the Hub does not give what is wanted of a repository, in words."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        NotASafetensorsRepoError,
        RepositoryNotFoundError,
        SafetensorsParsingError,
    )

    match error:
        case TooSlow():
            reason = f"the Hub is too slow with {wanted} ({error})"
        case GatedRepoError():
            reason = "its owner asks for consent; accept it on its page, set HF_TOKEN"
        case RepositoryNotFoundError():
            reason = "no such file or folder is here and no such model on the Hub, unless it is private; check the name"
        case NotASafetensorsRepoError():
            reason = "it has no .safetensors files on the Hub"
        case SafetensorsParsingError():
            reason = f"the Hub gave an unsound header ({first_line(error)})"
        case EntryNotFoundError() if not isinstance(error, LocalEntryNotFoundError):
            reason = f"it has no {wanted} on the Hub"
        case HfHubHTTPError():
            reason = f"the Hub refuses {wanted} ({first_line(error)})"
        case _:
            reason = f"no such file or folder is here, and the Hub cannot be reached for {wanted} ({first_line(error)})"
    return reason

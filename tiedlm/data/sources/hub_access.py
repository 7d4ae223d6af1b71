"""Asking the Hugging Face Hub while somebody waits: why it does not give something, and when to wait no longer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tiedlm.data.sources.watcher import Watcher
from tiedlm.hub_client import TooSlow, be_quiet, first_line

LONGEST_WAIT_SECONDS = 60.0


class NotFetched(Exception):
    """A place does not give what was asked of it; the message says why."""


@contextlib.contextmanager
def asking_the_hub(watcher: Watcher) -> Iterator[None]:
    """Say whatever goes wrong in a sentence; and do not wait longer than a person would."""
    from huggingface_hub import get_session

    be_quiet()
    hooks = get_session().event_hooks.setdefault("response", [])
    hook = _refuse_long_waits(watcher)
    hooks.append(hook)
    try:
        yield
    except NotFetched:
        raise
    except Exception as error:  # the client's network library, and so its errors, differ from version to version
        raise NotFetched(why(error)) from error
    finally:
        hooks.remove(hook)
        watcher.end_of_fetch()


def _refuse_long_waits(watcher: Watcher) -> Callable[[Any], None]:
    """A hook for the Hub's client, which else waits as long as it is told to: an hour, if the Hub says so."""

    def look(response: Any) -> None:
        wait = response.headers.get("Retry-After", "")
        if response.status_code in (429, 503) and wait.isdecimal():
            if float(wait) > LONGEST_WAIT_SECONDS:
                raise NotFetched(f"busy, and asks to come again in {int(wait):,} s")
            watcher.tell(f"the Hub is busy; waiting {wait} s")

    return look


def why(error: Exception) -> str:
    """Why a place did not give it, to be said after the place's name."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case OfflineModeIsEnabled():
            return "not asked, since HF_HUB_OFFLINE is set"
        case GatedRepoError():
            return "its owner asks for consent; accept it on its page and set HF_TOKEN"
        case LocalEntryNotFoundError():
            return f"cannot be reached ({first_line(error.__cause__ or error)})"
        case RepositoryNotFoundError():
            return "no such repository, unless it is private"
        case EntryNotFoundError() | RevisionNotFoundError():
            return "no such file there"
        case HfHubHTTPError():
            status = error.response.status_code
            login = "; if it needs a login, set HF_TOKEN" if status in (401, 403) else ""
            return f"answers HTTP {status}{login}"
        case TooSlow():
            return f"too slow ({error})"
        case _:
            return f"cannot be reached ({first_line(error)})"

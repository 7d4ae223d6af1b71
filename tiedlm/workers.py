"""How worker processes come to be: forked, where that is safe, from a server that has imported torch once.

The server imports while the parent still prepares, and no run after the first pays for an import again.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys

# A library may have started threads when macOS forks it, and Windows cannot fork at all.
CONTEXT = multiprocessing.get_context("forkserver") if sys.platform == "linux" else multiprocessing.get_context("spawn")


def start_server() -> None:
    """Let the imports of `run.py` begin, in a process of their own."""
    if CONTEXT.get_start_method() == "forkserver":
        from multiprocessing import forkserver  # not on Windows

        CONTEXT.set_forkserver_preload(["tiedlm.run"])
        # An interrupt is for the parent alone, and the server and its children inherit that from the first moment on.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)

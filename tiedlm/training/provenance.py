"""Finds out for a record what it was made by: commit, command, versions and machine."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from tiedlm.errors import printable
from tiedlm.record.origin import Code, Provenance
from tiedlm.training.device import Runtime, processor
from tiedlm.version import __version__

CODE_PATHS = ("tiedlm", "experiments/throughput")  # what decides a figure, beside the experiment that its record holds


def present_code() -> Code:
    """What runs here; to be asked at the start, since a checkout may change meanwhile."""
    commit = _git("rev-parse", "HEAD")
    return Code(
        tiedlm_version=__version__,
        git_commit=commit,
        git_dirty=None if commit is None else bool(_git("status", "--porcelain", "--", *CODE_PATHS)),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def provenance(command: str, runtime: Runtime, code: Code, num_ranks: int = 1) -> Provenance:
    """Where and with what a run was made that ends now."""
    return Provenance(
        **code.model_dump(),
        command=command,
        finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=runtime.device,
        processor=processor(runtime),
        precision=runtime.precision,
        num_threads=torch.get_num_threads(),
        num_ranks=num_ranks,
    )


def _git(*arguments: str) -> str | None:
    """git's answer about the checkout that this code runs from, or None where it is no checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    # A hook has variables that name another repository; and to look shall change nothing, not even git's index.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", "-C", str(root), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def command_line() -> str:
    """The command as the user typed it, with the program's name for its path."""
    return printable(shlex.join(["tiedlm", *sys.argv[1:]]))

"""Nobody need listen to stderr: closed, full or read no longer, it changes neither the answer nor the exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_bad_input import GOOD, TINY, write
from tests.conftest import HANG_SECONDS

pytestmark = pytest.mark.slow
COMMANDS = {
    "count-params bert-base-uncased --json": 0,
    "--help": 0,
    "--version": 0,
    "report nowhere": 2,
    "count-params --no-such-option": 2,
    "config ptb --json": 0,
}


def run(folder: Path, arguments: str, redirections: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a shell, after a `true` that has ended where stderr or stdout is a pipe to it."""
    command = f"{sys.executable} -m tiedlm {arguments} {redirections.removeprefix('|')}"
    if redirections == "|":
        command = f"{{ sleep 0.2; {command}; }} 2>&1 >out.txt | true; exit ${{PIPESTATUS[0]}}"
    environment = {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "100"}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | environment, capture_output=True, timeout=HANG_SECONDS
    )


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "|"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_need_listen_to_stderr(tmp_path: Path, command: str, redirections: str) -> None:
    heard = run(tmp_path, command, "")
    assert heard.returncode == COMMANDS[command]
    unheard = run(tmp_path, command, redirections)
    assert (unheard.returncode, unheard.stderr) == (COMMANDS[command], b"")
    stdout = (tmp_path / "out.txt").read_bytes() if redirections == "|" else unheard.stdout
    assert stdout.count(b"\n") == heard.stdout.count(b"\n")


def test_a_run_goes_on_though_its_progress_is_lost(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    ended = run(tmp_path, f"train --tied --corpus corpus {TINY} --out out --json", "2>/dev/full")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (tmp_path / "out/tied-seed0.json").exists()


@pytest.mark.parametrize("command", ["count-params bert-base-uncased --json", "--help", "--version"])
def test_an_answer_that_cannot_be_written_is_an_error_and_one_that_nobody_wants_is_none(
    tmp_path: Path, command: str
) -> None:
    full = run(tmp_path, command, ">/dev/full")
    assert (full.returncode, full.stderr.count(b"\n")) == (1, 1)
    assert b"tiedlm: cannot write (No space left on device); free some space" in full.stderr
    for redirections in (">&-", ">&- 2>&-", "<&- >&- 2>&-"):
        closed = run(tmp_path, command, redirections)
        assert (closed.returncode, closed.stdout, closed.stderr) == (0, b"", b"")


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what is written to stderr would be written to a record."""
    code = "import os; from tiedlm.cli.streams import make_streams_safe as safe; safe(); print(os.open('x', 66))"
    ended = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{code}" <&- 2>&-'], cwd=tmp_path, capture_output=True, text=True
    )
    assert (int(ended.stdout) > 2, ended.returncode) == (True, 0)

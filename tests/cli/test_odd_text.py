"""Empty names, text in bytes that are none, and a locale without UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_bad_input import assert_refused
from tests.conftest import HANG_SECONDS

pytestmark = pytest.mark.slow
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(folder: Path, arguments: list[bytes | str], **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command by these bytes."""
    return subprocess.run(
        [sys.executable, "-m", "tiedlm", *arguments],
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
        capture_output=True,
        timeout=HANG_SECONDS,
    )


@pytest.mark.parametrize(
    "arguments",
    ["evaluate '' --corpus x", "explain '' 'a [MASK]'", "export '' new", "export run.safetensors ' '", "report ''"],
)
def test_an_empty_name_is_told(tmp_path: Path, arguments: str) -> None:
    assert_refused(tmp_path, arguments, "is an empty name; give one")


def test_a_sentence_is_read_as_utf_8_in_any_locale(tmp_path: Path) -> None:
    told = run(tmp_path, ["explain", "die [MASK] fährt", "--json"])
    in_ascii = run(tmp_path, ["explain", "die [MASK] fährt", "--json"], **ASCII)
    assert (in_ascii.returncode, in_ascii.stderr) == (0, b"")
    assert json.loads(in_ascii.stdout) == json.loads(told.stdout)
    shown = run(tmp_path, ["explain", "die [MASK] fährt"], **ASCII)
    assert (shown.returncode, shown.stderr, shown.stdout.isascii()) == (0, b"", True)


@pytest.mark.parametrize("sentence", [b"die [MASK] \xff", b"die [MASK] \xed\xa0\x80"])
def test_bytes_that_are_no_text_are_told(tmp_path: Path, sentence: bytes) -> None:
    refused = run(tmp_path, ["explain", sentence])
    assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (2, b"", 1)
    assert b"is no text in UTF-8; write it in that encoding" in refused.stderr

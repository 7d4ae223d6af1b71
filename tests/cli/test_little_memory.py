"""Where memory is limited (`ulimit -v`) and runs out, one sentence says so, whichever library it is that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_bad_input import GOOD, TINY, write
from tests.conftest import HANG_SECONDS, REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="another system does not hold to ulimit -v"),
]
RECORDS = REPOSITORY / "results/ptb-quick"


def limited(folder: Path, arguments: str, kilobytes: int) -> subprocess.CompletedProcess[str]:
    """The command in a process that may have no more address space than that."""
    environment = {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "100"}
    return subprocess.run(
        ["bash", "-c", f"ulimit -v {kilobytes}; {sys.executable} -m tiedlm {arguments}"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )


@pytest.mark.parametrize("kilobytes", [100_000, 300_000])
@pytest.mark.parametrize(
    "arguments",
    [
        "report records --force",
        "explain 'the cat [MASK] today'",
        "evaluate . --corpus corpus --quiet",
        f"train --tied --corpus corpus {TINY} --out out --quiet",
        "doctor",
    ],
)
def test_a_lack_of_memory_is_told(tmp_path: Path, arguments: str, kilobytes: int) -> None:
    header = b'{"row":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    model = {"config.json": b'{"model_type": "bert"}', "model.safetensors": weights, "tokenizer.json": b"{}"}
    write(tmp_path, {**GOOD, **model})
    shutil.copytree(RECORDS, tmp_path / "records", ignore=shutil.ignore_patterns("*.png"))
    answer = limited(tmp_path, arguments, kilobytes)
    assert answer.stderr.startswith("tiedlm: memory ran out while"), answer.stderr
    assert f"a process may have {kilobytes * 1024 / 1e6:,.0f} MB; raise the limit" in answer.stderr
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arguments", "status"), [("count-params bert-base-uncased", 0), ("report nowhere", 2)])
def test_a_command_that_has_enough_ends_as_without_a_limit(tmp_path: Path, arguments: str, status: int) -> None:
    command = [sys.executable, "-m", "tiedlm", *arguments.split()]
    free = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"COLUMNS": "100"})
    answer = limited(tmp_path, arguments, 300_000)
    assert (answer.returncode, answer.stdout, answer.stderr) == (status, free.stdout, free.stderr)


def test_a_command_with_a_limit_is_stopped_as_one_without(tmp_path: Path) -> None:
    """The signal is sent to the process that was started, which waits for the one that reads."""
    code = (
        "import os, signal, sys, time\nfrom tiedlm.cli import main\n"
        "def app():\n    os.kill(os.getppid(), signal.SIGTERM)\n    time.sleep(60)\n"
        "main.app = app\nsys.argv = ['tiedlm']\nmain.main()\n"
    )
    stopped = subprocess.run(
        ["bash", "-c", f'ulimit -v 2000000; exec {sys.executable} -c "$0"', code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert (stopped.returncode, stopped.stderr) == (128 + signal.SIGTERM, "tiedlm: interrupted\n")

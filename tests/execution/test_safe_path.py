"""A command in a stranger's folder runs nothing that lies there."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.conftest import HANG_SECONDS

SMALL = (
    "--steps 2 --set model.hidden_size=16 --set model.intermediate_size=16 --set model.num_hidden_layers=1 "
    "--set model.num_attention_heads=1 --set train.num_evaluations=1 --set corpus.seq_length=16"
)
EVIL = "import os\nos.write(2, b'IMPORTED ' + __name__.encode() + b'\\n')\nos.mkdir('ran-' + __name__)\n"


def names() -> set[str]:
    """Of all modules of the standard library and of every package that is installed."""
    installed = {
        name.partition("/")[0].removesuffix(".py")
        for distribution in distributions()
        for name in (distribution.read_text("top_level.txt") or "").split()
        or [str(path).partition("/")[0] for path in distribution.files or ()]
    }
    return {name for name in sys.stdlib_module_names | installed if name.isidentifier() and name != "__main__"}


@pytest.mark.slow
@pytest.mark.usefixtures("corpus_folder")
def test_no_module_of_the_current_folder_is_imported(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("tiedlm")
    if not command.exists():
        pytest.skip("the command is not installed beside this Python")
    assert {"selectors", "secrets", "socket", "types", "torch", "tokenizers", "typer", "numpy"} <= names()
    for name in names():
        (tmp_path / f"{name}.py").write_text(EVIL)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "PYTHONPATH")}
    finished = subprocess.run(
        [str(command), "compare", "--corpus", "corpus", "--seeds", "1", "--out", "out", *SMALL.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert "IMPORTED" not in finished.stderr
    assert list(tmp_path.glob("ran-*")) == []
    assert finished.returncode == 0, finished.stderr

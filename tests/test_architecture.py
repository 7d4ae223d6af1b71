"""Imports point one way, and the light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tiedlm

PACKAGE = Path(tiedlm.__file__).parent
# From the top down: a module may import only what stands above it.
ORDER = """
    __init__ errors atomic_file folder_lock workers cache json_file blueprint masked_lm_forms decoder_forms families
    known_models counting what_if safetensors_header tensor_names checkpoint_count hub meta_device answer config
    text_file pydoc_corpus corpus vocabulary tokens generators masking
    record models count_tables count_plot paired eligible compare tables markdown plots report
    encoder head model optim evaluate checkpoint train runtime keeper watcher
    run doctor job jobs progress commands options cli __main__
""".split()
WITHOUT_TORCH = [name for name in ORDER[: ORDER.index("encoder")] if name not in ("generators", "masking")]


def imported_modules(name: str) -> set[str]:
    """The package's own modules that one of them imports, anywhere in its code."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "tiedlm":
            modules |= {alias.name if (PACKAGE / f"{alias.name}.py").exists() else "__init__" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tiedlm."):
            modules.add(node.module.removeprefix("tiedlm."))
        elif isinstance(node, ast.Import):
            modules |= {alias.name.removeprefix("tiedlm.") for alias in node.names if alias.name.startswith("tiedlm.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{name}: relative import"
    return modules


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py"))


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_up(name: str) -> None:
    assert imported_modules(name) <= set(ORDER[: ORDER.index(name)])


@pytest.mark.parametrize("name", [*WITHOUT_TORCH, "cli"])
def test_modules_without_torch_reach_none_at_import(name: str) -> None:
    code = f"import sys, tiedlm.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "command", [["--help"], ["count-params", "bert-base-uncased"], ["count-params", "ptb"], ["train", "--help"]]
)
def test_light_commands_import_nothing_heavy(command: list[str]) -> None:
    heavy = {"torch", "datasets", "matplotlib", "scipy", "numpy", "tokenizers"}
    code = (
        "import sys\nfrom tiedlm.cli import main\n"
        f"sys.argv = ['tiedlm', *{command}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(sorted({heavy} & set(sys.modules))) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")

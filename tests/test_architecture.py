"""Imports between rooms run one way, and the light commands stay light."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import tiedlm
from tests.conftest import REPOSITORY

PACKAGE = Path(tiedlm.__file__).parent
# Room → the rooms that it imports. Each stands below those, so imports run up and never in a circle.
MAY_IMPORT: dict[str, str] = {
    "version": "",
    "errors": "",
    "atomic_file": "",
    "generators": "",
    "masked_batch": "",
    "hub_client": "errors",
    "regular_file": "",
    "markup": "errors",
    "processes": "errors atomic_file",
    "config": "errors regular_file",
    "counting.closed_forms": "errors",
    "record": "errors atomic_file masked_batch regular_file config counting.closed_forms",
    "counting.stored": "errors regular_file counting.closed_forms",
    "counting.layouts": "errors regular_file counting.closed_forms counting.stored",
    "counting.built": "errors counting.closed_forms counting.stored",
    "counting": "errors hub_client counting.closed_forms counting.stored counting.layouts counting.built",
    "counting.shown": "errors atomic_file markup counting.closed_forms counting.stored counting",
    "data.sources": "errors atomic_file hub_client config",
    "data": "errors atomic_file generators masked_batch hub_client regular_file processes config data.sources",
    "model": "errors atomic_file generators masked_batch config",
    "training": "version errors atomic_file generators masked_batch processes config record counting.closed_forms data "
    "model",
    "comparison": "version errors atomic_file regular_file config record counting.closed_forms",
    "reporting": "errors atomic_file regular_file markup config record counting.shown data.sources comparison",
    "reporting.page": "errors atomic_file config record counting.shown comparison reporting",
    "execution": "errors atomic_file regular_file processes config record data.sources data model training comparison",
    "execution.local": "errors processes training execution",
    "execution.ddp": "errors processes model training execution",
    "execution.ray": "errors processes config record data training execution",
    "exchange": "errors atomic_file masked_batch hub_client processes config record counting.stored counting.built "
    "data.sources data model training comparison",  # of it the bootstrap, for two models of any origin
    "explanation": "errors masked_batch processes data.sources data model exchange",
    "probing": "errors masked_batch regular_file processes record counting.stored data.sources data "
    "comparison exchange",
    "api": "errors atomic_file masked_batch hub_client processes config record counting.closed_forms "
    "counting.stored counting.layouts counting data.sources data model training comparison reporting reporting.page "
    "execution "
    "execution.local execution.ddp execution.ray exchange explanation probing",
    "display": "errors record data.sources training reporting execution",
    "__init__": "version errors model execution display api",
    "cli": "version errors atomic_file generators markup processes config record counting counting.shown data.sources "
    "model training comparison reporting reporting.page execution exchange explanation probing display api __init__",
    "__main__": "cli",
}
# Those that import torch as they are imported themselves.
WITH_TORCH = (
    *("generators", "data.masking", "model.", "training.", "exchange.", "explanation.", "cli.doctor"),
    *("execution.job", "execution.executor", "execution.preflight", "execution.output_folder", "execution.plan"),
    *("execution.dry_run", "execution.local.scheduler", "execution.local.worker", "execution.ddp.one_rank"),
    *("probing.sentence_model", "probing.judging", "probing.row_cosines"),
    *("execution.one_run", "execution.news", "execution.memory_check", "execution.ray."),
)
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != "experiments"  # which a wheel holds
)


def without_torch(module: str) -> bool:
    """Whether importing a module must not import torch."""
    return not f"{module}.".startswith(WITH_TORCH)


def room(module: str) -> str:
    """The part of the house that a module belongs to: the innermost folder that is one, or itself at the top."""
    parts = module.split(".")
    return next((name for size in range(len(parts), 0, -1) if (name := ".".join(parts[:size])) in MAY_IMPORT), parts[0])


def syntax(module: str) -> ast.Module:
    """The code of a module, parsed."""
    path = PACKAGE.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def imported_modules(module: str) -> set[str]:
    """The package's own modules that one of them imports, anywhere in its code."""
    modules: set[str] = set()
    for node in ast.walk(syntax(module)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "tiedlm"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            within = (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if (node.module or "").partition(".")[0] == "tiedlm"
                else set()
            )
            modules |= {name if name.removeprefix("tiedlm.") in MODULES else str(node.module) for name in within}
    return {"__init__" if name == "tiedlm" else name.removeprefix("tiedlm.") for name in modules}


def test_every_room_is_in_the_table_below_those_it_may_import() -> None:
    assert {room(module) for module in MODULES} == MAY_IMPORT.keys()
    above: set[str] = set()
    for name, rooms in MAY_IMPORT.items():
        assert set(rooms.split()) <= above, name
        above.add(name)


def test_the_readme_has_every_folder_below_those_it_imports() -> None:
    table = (REPOSITORY / "README.md").read_text().partition("## Where things are")[2]
    folders = [name for name in re.findall(r"^\| `(\w+)/`", table, flags=re.MULTILINE) if name != "schemas"]
    assert sorted(folders) == sorted({name.partition(".")[0] for name in MAY_IMPORT if (PACKAGE / name).is_dir()})
    for name, rooms in MAY_IMPORT.items():
        imported = {room.partition(".")[0] for room in rooms.split()} & set(folders)
        above = folders[: folders.index(name.partition(".")[0]) + 1] if name.partition(".")[0] in folders else folders
        assert imported <= set(above), name


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_room_imports_what_the_table_says_and_no_other(name: str) -> None:
    imported = {room(other) for module in MODULES if room(module) == name for other in imported_modules(module)}
    assert sorted(imported - {name}) == sorted(MAY_IMPORT[name].split())


def test_no_module_imports_itself_through_others() -> None:
    graphlib.TopologicalSorter({module: imported_modules(module) for module in MODULES}).prepare()


def test_a_room_says_in_one_sentence_what_it_does() -> None:
    for folder in (path.parent for path in PACKAGE.rglob("*/__init__.py")):
        docstring = ast.get_docstring(syntax(".".join(folder.relative_to(PACKAGE).parts)))
        assert docstring is not None
        assert docstring.count("\n") == 0
        assert docstring.endswith(".")


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__")
    assert [name for name, number in names.items() if number > 1] == []


def test_few_files_stand_at_the_top() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.suffix == ".py"]) <= 10


def test_modules_without_torch_reach_none_at_import() -> None:
    names = [f"tiedlm.{module}" for module in MODULES if without_torch(module) and not module.startswith("__")]
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "command", [["--help"], ["count-params", "bert-base-uncased"], ["count-params", "ptb"], ["train", "--help"]]
)
def test_light_commands_import_nothing_heavy(command: list[str]) -> None:
    heavy = {"torch", "datasets", "matplotlib", "scipy", "numpy", "tokenizers"}
    code = (
        "import sys\nfrom tiedlm.cli.main import main\n"
        f"sys.argv = ['tiedlm', *{command}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(', '.join(sorted({heavy} & set(sys.modules))) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_folders_are_listed_without_torch() -> None:
    code = (
        "import sys\nfrom tiedlm.cli.main import main\nsys.argv = ['tiedlm', 'ls', 'results/pydoc']\nmain()\n"
        "sys.exit('torch' if 'torch' in sys.modules else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "results/pydoc" in finished.stdout


BY_HAND = re.compile(r"""\{[\w.]*\barm\}[-, ]+seed|-seed\{|\} seed \{|seed\d\+|partition\(["'] ["']\)\[2\]""")


def test_a_run_is_named_in_one_place() -> None:
    """No other module puts an arm and a seed together, as words or as a file, or takes them apart."""
    by_hand = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if path.name != "run_id.py" and BY_HAND.search(line)
    ]
    assert by_hand == []
    assert BY_HAND.search((PACKAGE / "record/run_id.py").read_text())  # so the pattern finds what it is for

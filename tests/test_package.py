"""What is installed elsewhere: the wheel with all that the program reads, and what it asks of Python and libraries."""

from __future__ import annotations

import subprocess
import tomllib
from zipfile import ZipFile

import pytest

from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel, by the build backend itself: less than a second, and nothing is installed."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(REPOSITORY)).build(directory=str(folder), versions=["standard"])
    return ZipFile(path)


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: ZipFile) -> None:
    """Templates, shipped models, experiments and py.typed among them, whatever .gitignore says."""
    listed = subprocess.run(
        ["git", "ls-files", "tiedlm", "experiments"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is no checkout")
    files = {name if name.startswith("tiedlm/") else f"tiedlm/{name}" for name in listed.stdout.splitlines()}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"tiedlm/py.typed", "tiedlm/experiments/pydoc.toml"} <= files
    assert files - held == set()
    assert [name for name in held if not name.startswith("tiedlm/") or "__pycache__" in name] == []


def test_the_wheel_names_the_command_and_its_extras(wheel: ZipFile) -> None:
    (place,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "tiedlm = tiedlm.cli.main:main" in wheel.read(f"{place}/entry_points.txt").decode()
    metadata = wheel.read(f"{place}/METADATA").decode().splitlines()
    extras = {line.removeprefix("Provides-Extra: ") for line in metadata if line.startswith("Provides-Extra: ")}
    assert extras == PROJECT["project"]["optional-dependencies"].keys()
    assert f"Requires-Python: {PROJECT['project']['requires-python']}" in metadata


def test_python_and_libraries_have_a_lowest_version() -> None:
    project = PROJECT["project"]
    lowest = project["requires-python"].removeprefix(">=")
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    assert f"Programming Language :: Python :: {lowest}" in project["classifiers"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert [line for line in asked if ">=" not in line] == []
    assert f"Python {lowest} or newer" in (REPOSITORY / "README.md").read_text()

"""The English prose that every Python installation carries: `pydoc` topics and library docstrings.

Nothing is imported to read it but `builtins` and modules compiled into the interpreter; library
files are parsed, not run.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from tiedlm.data.sources.cache import cached_folder

SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}
SKIPPED_MODULES = {"antigravity", "this"}
CACHE_FORMAT = 1  # of what is taken from the library, and how


def pydoc_folder() -> Path:
    """A folder of train.txt, valid.txt and test.txt in the cache; reading the library takes seconds, so it is kept.

    Raises:
        InputError: the cache cannot be written.
    """
    library = Path(sysconfig.get_path("stdlib"))
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in _sources(library)]
    return cached_folder(["pydoc", CACHE_FORMAT, sys.version, files], _write_paragraphs)


def _write_paragraphs(folder: Path) -> None:
    for split, lines in pydoc_paragraphs().items():
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"{split}.txt").write_text(text, encoding="utf-8", errors="replace", newline="\n")


def pydoc_paragraphs() -> dict[str, list[str]]:
    """The distinct prose paragraphs of this interpreter, by split.

    A paragraph goes to valid or test (1/16 each) by its own hash, so a split never depends on the
    order of files, and a repeated paragraph cannot leak from train into valid.
    """
    splits: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    seen: set[bytes] = set()
    for text in _texts():
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
            line = " ".join(paragraph.split())
            digest = hashlib.sha256(line.encode("utf-8", "replace")).digest()
            if digest not in seen and _is_prose(paragraph, line):
                seen.add(digest)
                splits[{0: "valid", 1: "test"}.get(digest[0] % 16, "train")].append(line)
    return splits


def _texts() -> Iterator[str]:
    topics = importlib.import_module("pydoc_data.topics").topics
    for name in sorted(topics):
        yield topics[name]
    for name in sorted({"builtins", *sys.builtin_module_names} - SKIPPED_MODULES):
        yield from _docstrings_of_compiled(name)
    for path in _sources(Path(sysconfig.get_path("stdlib"))):
        yield from _docstrings_of_source(path)


def _sources(library: Path) -> list[Path]:
    paths = sorted(library.rglob("*.py"))
    return [path for path in paths if not SKIPPED_FOLDERS & set(path.relative_to(library).parts)]


def _docstrings_of_compiled(name: str) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the module itself, which is read and not used
        module = importlib.import_module(name)
    for _, member in [("", module), *sorted(vars(module).items())]:
        yield _docstring(member)
        if isinstance(member, type):
            for _, attribute in sorted(vars(member).items()):
                yield _docstring(attribute)


def _docstring(member: object) -> str:
    docstring = getattr(member, "__doc__", None)
    return docstring if isinstance(docstring, str) else ""


def _docstrings_of_source(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # templates and files of other Python versions are no prose of this one
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _is_prose(paragraph: str, line: str) -> bool:
    """Sentences rather than sessions, tables, signatures or code."""
    words = re.findall(r"[A-Za-z]{2,}", line)
    letters = sum(len(word) for word in words)
    return len(words) >= 4 and ">>>" not in paragraph and letters >= 0.6 * len(line.replace(" ", ""))

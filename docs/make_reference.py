"""The public names of the package → reference.md, from their signatures and docstrings.

python docs/make_reference.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import tiedlm
from tiedlm.comparison.arm_summary import ArmSummary, SplitSummary
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.paired_statistics import Delta
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.tested_differences import ContrastResult, Difference
from tiedlm.counting.closed_forms.parameters import ParameterCount
from tiedlm.counting.cross_check import Answer
from tiedlm.exchange.model_pair import PairEvaluation, SplitOfPair
from tiedlm.exchange.text_evaluation import Evaluation, SplitScore
from tiedlm.explanation.explanation import Explanation
from tiedlm.record.run_record import RunRecord

PAGE = Path(__file__).with_name("reference.md")
COMPARED = (Comparison, Difference, Delta, ContrastResult, ArmSummary, SplitSummary, Scan, RunRecord)
RESULTS = (*COMPARED, Evaluation, SplitScore, PairEvaluation, SplitOfPair, Answer, ParameterCount, Explanation)
"""What the functions return, the outermost first."""
HEAD = """<!-- Made by `python docs/make_reference.py`; do not edit. -->
# Reference

Everything that `from tiedlm import …` gives, and what it returns. [python.md](python.md) shows how it is used.
"""


def reference() -> str:
    """The whole page."""
    functions = [name for name in tiedlm.__all__ if inspect.isfunction(getattr(tiedlm, name))]
    classes = [name for name in tiedlm.__all__ if inspect.isclass(getattr(tiedlm, name))]
    parts = [HEAD, "## Functions\n", *(_function(getattr(tiedlm, name), "###") for name in functions)]
    parts += ["## Classes\n", *(_class(getattr(tiedlm, name)) for name in classes)]
    parts += ["## What the functions return\n", *(_class(result) for result in RESULTS)]
    return "\n".join(parts)


def _function(function: Any, heading: str) -> str:
    signature = inspect.signature(function)
    plain = {name: re.sub(r"(: )'([^']*)'", r"\1\2", str(each)) for name, each in signature.parameters.items()}
    # A default without a name has an address in its place, which is another in each process.
    parameters = [re.sub(r"<function .* at 0x\w+>", "...", shown) for name, shown in plain.items() if name != "self"]
    keyword = next(
        (place for place, each in enumerate(signature.parameters.values()) if each.kind is each.KEYWORD_ONLY), None
    )
    if keyword is not None:
        parameters.insert(keyword, "*")
    answer = "" if signature.return_annotation in (signature.empty, "None") else f" -> {signature.return_annotation}"
    one_line = f"{function.__name__}({', '.join(parameters)}){answer}"
    several = f"{function.__name__}(\n    " + ",\n    ".join(parameters) + f",\n){answer}"
    code = one_line if len(one_line) <= 100 else several
    return f"{heading} {function.__name__}\n\n```py\n{code}\n```\n\n{_prose(function.__doc__)}\n"


def _class(found: Any) -> str:
    lines = [f"### {found.__name__}\n", f"{_prose(found.__doc__)}\n"]
    fields = dict(_fields(found))
    if fields:
        lines += ["| field | type | meaning |", "|---|---|---|", *map(_row, fields, fields.values()), ""]
    for name, member in vars(found).items():
        if inspect.isfunction(member) and not name.startswith("_") and member.__doc__:
            lines.append(_function(member, "####"))
    return "\n".join(lines)


def _row(name: str, field: tuple[str, str]) -> str:
    kind, meaning = field
    return (
        f"| `{name}` | `{kind.replace('|', chr(92) + '|')}` | {' '.join(meaning.split()).replace('|', chr(92) + '|')} |"
    )


def _fields(found: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name → type and meaning, of a model of pydantic or a dataclass; no other class has any."""
    if not (issubclass(found, BaseModel) or dataclasses.is_dataclass(found)):
        return
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    assert isinstance(body, ast.ClassDef)
    for node, following in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            meaning = str(following.value.value) if is_told else ""  # type: ignore[union-attr]
            yield node.target.id, (ast.unparse(node.annotation), meaning)


def _prose(docstring: str | None) -> str:
    """A docstring as Markdown: what is indented is code, and what it raises is a list."""
    text = inspect.cleandoc(docstring or "")
    head, _, raises = text.partition("\nRaises:\n")
    errors = re.split(r"\n(?=\S)", textwrap.dedent(raises).strip()) if raises else []
    items = "\n".join(
        f"- raises `{name}`: {' '.join(why.split())}" for name, _, why in (e.partition(": ") for e in errors)
    )
    return head.rstrip() + (f"\n\n{items}" if items else "")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")

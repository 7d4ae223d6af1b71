"""JSON on stdout holds no number that JSON has no word for."""

from __future__ import annotations

import pytest
import typer

from tiedlm.cli.console import echo_json
from tiedlm.errors import InputError


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_never_holds_what_it_has_no_word_for(number: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typer, "echo", lambda _: pytest.fail("it was printed"))
    with pytest.raises(InputError, match="not finite, for which JSON has no word; leave --json out"):
        echo_json({"a": [{"b": number}]})

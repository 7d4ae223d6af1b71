"""Classes with ways of their own: what pads a row, how long it may be, what stands where its logits are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.every_class import difference, write_text


@pytest.mark.parametrize(
    "family",
    ["fnet", "reformer", "perceiver", "nystromformer", "funnel", "xmod", "neomme", "squeezebert", "bart", "deberta-v2"],
)
def test_a_class_with_ways_of_its_own_scores_as_a_plain_loop(family: str, tmp_path: Path) -> None:
    """All of them by `python -m tests.exchange.every_class`."""
    assert difference(family, tmp_path / "model", write_text(tmp_path / "text")) < 1e-8

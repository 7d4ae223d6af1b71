"""The benchmark of experiments/throughput: that it compares what it says."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.conftest import REPOSITORY
from tiedlm.training.device import Runtime

sys.path.insert(0, str(REPOSITORY / "experiments" / "throughput"))
import variants

FP32 = Runtime("cpu", "fp32")
SMALL = variants.Size(hidden_size=64, num_hidden_layers=3, seq_length=32, vocab_size=900, batch_size=4)


class Enough(Exception):
    pass


def flops_of_one_step(steps: Callable[..., None], **options: Any) -> float:
    """As counted on the matrix products that are made."""

    def stop() -> None:
        raise Enough

    with variants.RecordProducts() as record, contextlib.suppress(Enough):
        steps(SMALL, FP32, stop, **options)
    return sum(2.0 * math.prod(left.shape) * right.shape[-1] for _, (left, right) in record.products)


def test_the_flops_needed_are_those_that_tiedlm_makes() -> None:
    assert flops_of_one_step(variants.tiedlm_steps) == pytest.approx(SMALL.flops_per_step(), rel=0.005)


@pytest.mark.parametrize("gathers_before_head", [False, True])
def test_the_flops_of_transformers_are_those_that_it_makes(gathers_before_head: bool) -> None:
    options = {"attention": "eager", "is_compiled": False, "gathers_before_head": gathers_before_head}
    expected = SMALL.flops_per_step(last_layer_at_all=True, head_at_all=not gathers_before_head)
    assert flops_of_one_step(variants.transformers_steps, **options) == pytest.approx(expected, rel=0.005)


def test_the_batches_are_those_that_tiedlm_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    mask = variants.mask_blocks

    def watch(*arguments: Any) -> Any:
        seen.append(mask(*arguments))
        return seen[-1]

    monkeypatch.setattr("tiedlm.training.loop.mask_blocks", watch)

    def stop_after_three() -> None:
        if len(seen) == 3:
            raise Enough

    with contextlib.suppress(Enough):
        variants.tiedlm_steps(SMALL, FP32, stop_after_three)
    assert len(seen) == 3
    for ours, theirs in zip(seen, SMALL.batches(), strict=False):  # they have no end
        assert all(torch.equal(tensor, vars(theirs)[name]) for name, tensor in vars(ours).items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_all_variants_are_in_the_precision_of_the_run(precision: str) -> None:
    found = variants.variants(precision)
    assert {variant.precision for name, variant in found.items() if name != "transformers fp32"} == {precision}
    assert {*variants.as_shipped(precision), variants.gathered(precision), "tiedlm"} <= found.keys()

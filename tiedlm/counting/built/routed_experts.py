"""Which experts of a mixture one token passes through, read from the modules of a built model.

Experts are the modules whose class is called so in `transformers`; how many of them a token is sent to stands beside
them or in their router, whose matrix has a row for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tiedlm.counting.closed_forms.parameters import Routing

EXPERTS_CLASS = re.compile(r".*Experts(MLP)?")
ROUTER_CLASS = re.compile(r".*Top(\d+)Router")
NUM_KEYS = ("num_experts", "moe_num_experts", "num_local_experts", "n_routed_experts")
TOP_KEYS = ("top_k", "num_experts_per_tok", "moe_top_k", "moe_topk", "topk")


def find_routing(model: Any) -> Routing | None:
    """What one token does not use of a built model; None where it is no mixture of experts."""
    experts: set[tuple[int, int]] = set()
    idle: int | None = 0
    for owner, module in _mixtures(model):
        size = sum(parameter.numel() for parameter in module.parameters())
        num_experts, per_token = _num_experts(module), _per_token(owner, module)
        if num_experts is None or per_token is None or not 0 < per_token <= num_experts or size % num_experts:
            idle = None
        elif idle is not None:
            idle += size // num_experts * (num_experts - per_token)
            experts.add((per_token, num_experts))
    return Routing(tuple(sorted(experts)), idle) if experts or idle is None else None


def _mixtures(owner: Any) -> Iterator[tuple[Any, Any]]:
    """Each set of experts with the module that owns it."""
    for name, module in owner.named_children():
        if EXPERTS_CLASS.fullmatch(type(module).__name__) and "shared" not in name:
            yield owner, module
        else:
            yield from _mixtures(module)


def _num_experts(module: Any) -> int | None:
    stated = [getattr(module, key) for key in NUM_KEYS if type(getattr(module, key, None)) is int]
    listed = [len(module)] if hasattr(module, "__len__") else []
    return next(iter(stated + listed), None)


def _per_token(owner: Any, module: Any) -> int | None:
    """The one number that the owner and its routers say; None where they say none, several, or route elsewhere too."""
    routers = [child for child in owner.children() if not EXPERTS_CLASS.fullmatch(type(child).__name__)]
    said = {
        value
        for place in (owner, *routers)
        for value in (getattr(place, key, None) for key in TOP_KEYS)
        if type(value) is int
    }
    names = [ROUTER_CLASS.fullmatch(type(router).__name__) for router in routers]
    said |= {int(named[1]) for named in names if named}
    gates = [router for router in routers if re.search(r"Router|Gat(e|ing)", type(router).__name__)]
    rows = {matrix.shape[0] for gate in gates for matrix in gate.parameters() if matrix.ndim == 2}
    num_experts = _num_experts(module)
    if len(said) != 1 or (rows and num_experts not in rows):  # more rows than experts: some do nothing (LongCat)
        return None
    return said.pop()

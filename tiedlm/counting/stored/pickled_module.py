"""The parameters of a module that was pickled whole, by `torch.save(model, path)`: their names as its `state_dict` has.

The pickle says which tensors are parameters and which are buffers (torch.nn.Module, `__getstate__`), so the buffers are
left out here, and no table of names is needed.
"""

from __future__ import annotations

from typing import Any

from tiedlm.counting.stored.header_json import MAX_NAME_LENGTH
from tiedlm.counting.stored.pickle_words import Call, Unread

MAX_MODULES = 100_000


def parameters_of(module: Any) -> dict[str, Any] | None:
    """Every parameter by its name, a shared one by all of its names; None for what is no module.

    Raises:
        Unread: it has too many modules, or modules within each other without end.
    """
    if not is_module(module):
        return None
    found: dict[str, Any] = {}
    waiting = [("", module)]
    for _ in range(MAX_MODULES):
        if not waiting:
            return found
        path, current = waiting.pop()
        if len(path) > MAX_NAME_LENGTH:
            raise Unread("its modules are within each other without end")
        packed = {name: value for name, value in current.state.items() if _is_packed(value)}
        found |= {f"{path}{name}": value for name, value in packed.items()}
        found |= {f"{path}{name}": value for name, value in _table(current, "_parameters").items()}
        inner = ((f"{path}{name}.", value) for name, value in _table(current, "_modules").items() if is_module(value))
        waiting += reversed(list(inner))  # so that their names come in the order of the module
    raise Unread(f"it has over {MAX_MODULES:,} modules")


def is_module(value: Any) -> bool:
    """Whether a pickled object has what every module has."""
    return isinstance(value, Call) and "_parameters" in value.state and "_modules" in value.state


def _is_packed(value: Any) -> bool:
    """Whether an attribute stands for the weights of a quantised layer (torch.ao: LinearPackedParams)."""
    return isinstance(value, Call) and value.name == "torch.ScriptObject"


def _table(module: Call, name: str) -> dict[str, Any]:
    value = module.state[name]
    return value if isinstance(value, dict) else {}

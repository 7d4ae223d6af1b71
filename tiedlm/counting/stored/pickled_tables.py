"""Which tables of a pickle hold the weights of its model, and their tensors by dotted names.

A file of `torch.save` is a table of weights, a module, or a checkpoint that holds such beside other things: the head in
a table of its own (OpenNMT-py: model_saver.py, `generator`), tables within tables (Megatron-LM: checkpointing.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tiedlm.counting.stored.header_json import MAX_NAME_LENGTH
from tiedlm.counting.stored.pickle_words import Call, Unread, View
from tiedlm.counting.stored.pickled_module import is_module, parameters_of

MAX_VALUES = 200_000
PLACES_OF_WEIGHTS = ("state_dict", "model_state_dict", "model", "module")
"""Where a table of weights stands in a checkpoint that holds more; the names in it are those of the model."""
NO_WEIGHTS = re.compile(
    r"optim(izers?)?|sched(ulers?)?|lr|(grad)?scaler|ema|swa|averaged?|avg|shadow|best|teacher|callbacks|loops|rng|"
    r"metrics|history|args|hparams|hyper|config|cfg|vocab"
)
"""Words of tables that a trainer keeps beside the weights: its own state, and other states of the same weights."""
OTHER_TENSORS = {
    "_rebuild_qtensor": "quantised tensors",
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_meta_tensor_no_storage": "tensors of the meta device, which have no numbers",
    "_rebuild_wrapper_subclass": "tensors of a class of their own, such as torchao's quantised ones",
    "_rebuild_device_tensor": "tensors of another device",
    "_rebuild": "tensors of another kind",
    "torch.ScriptObject": "packed weights of quantised layers",
    "multiarray._reconstruct": "arrays of numpy",
    "numeric._frombuffer": "arrays of numpy",
}
"""What stands for weights besides plain tensors (`torch._utils`, torch.ao, numpy), in words; the first that fits."""


@dataclass
class _Held:
    """What a table holds, and the tables in it."""

    views: dict[str, View] = field(default_factory=dict)
    odd: str | None = None
    """The first of its values that is no plain tensor but may be weights, in words."""

    @property
    def has_weights(self) -> bool:
        """Whether one of its tensors can be a weight: a count, a loss or the state of a generator cannot."""
        return any(map(_can_be_weight, self.views.values()))

    def is_odd(self, with_numpy: bool) -> bool:
        """Whether something else may be a weight: an array of numpy is one only among weights."""
        return self.odd is not None and (with_numpy or "numpy" not in self.odd)

    def checked(self) -> dict[str, View]:
        """The tensors, where there is nothing else.

        Raises:
            Unread: there is.
        """
        if self.odd is not None:
            raise Unread(f"it holds {self.odd}")
        return self.views


def weights_of(top: Any) -> tuple[dict[str, View], bool]:
    """The tensors of the model by name, and whether the pickle says that all are parameters.

    Raises:
        Unread: there are none, or it cannot be told which they are.
    """
    module = parameters_of(top)
    if module is not None:
        return _checked(_held(module).checked()), True
    if not isinstance(top, dict):
        raise Unread("it holds no table of tensors")
    parts = {key: _held(value) for key, value in top.items() if _is_part(key, value)}
    parts = {key: part for key, part in parts.items() if part.has_weights or part.is_odd(_names_weights(key, top[key]))}
    if not parts:
        flat = {key: value for key, value in top.items() if not isinstance(value, dict)}
        own = {key: value for key, value in flat.items() if isinstance(value, View) or not _is_no_weights(key)}
        return _checked(_held(own).checked()), False
    are_parameters = all(is_module(top[key]) for key in parts)
    weights, beside = _joined(parts), _beside(top)
    _add(weights, beside)
    return _checked(weights), are_parameters and not beside


def _checked(weights: dict[str, View]) -> dict[str, View]:
    if not weights:
        raise Unread("it holds no table of tensors")
    return weights


def _is_part(key: str, value: Any) -> bool:
    """Whether a value may be a table of weights or a module; an optimizer's table has groups of parameters."""
    if key not in PLACES_OF_WEIGHTS and _is_no_weights(key):
        return False
    return is_module(value) or (isinstance(value, dict) and "param_groups" not in value)


def _names_weights(key: str, table: Any) -> bool:
    """Whether arrays of numpy in a table may be weights, rather than the state of a generator or a history."""
    names = table if isinstance(table, dict) else ()
    return key in PLACES_OF_WEIGHTS or any(name.endswith(("weight", "bias")) for name in names)


def _is_no_weights(key: str) -> bool:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
    return any(NO_WEIGHTS.fullmatch(word) for word in words)


def _joined(parts: dict[str, _Held]) -> dict[str, View]:
    """All parts under one another's names; of the places of weights, the one with most numbers stands for its copies.

    Raises:
        Unread: two parts may be two states of one model.
    """
    weights: dict[str, View] = {}
    taken: dict[str, dict[str, View]] = {}
    by_size = sorted(parts, key=lambda key: -_num_elements(parts[key].views))
    for key in sorted(by_size, key=lambda key: key not in PLACES_OF_WEIGHTS):
        views = parts[key].checked()
        twin = next((other for other in taken if _may_be_copy(views, taken[other])), None)
        if twin is not None and not {key, twin} <= {*PLACES_OF_WEIGHTS} and not views.items() <= taken[twin].items():
            raise Unread(f"its tables {twin[:60]!r} and {key[:60]!r} have the same names and shapes: keep one")
        if twin is None:
            taken[key] = views
            _add(weights, views if key in PLACES_OF_WEIGHTS else {f"{key}.{name}": v for name, v in views.items()})
    return weights


def _num_elements(views: dict[str, View]) -> int:
    return sum(math.prod(view.shape) for view in views.values())


def _may_be_copy(views: dict[str, View], others: dict[str, View]) -> bool:
    """Whether a table has nothing but what another has, in numbers of its own; one layer's names are in many."""
    if not any("." in name for name in views) or not all(name in others for name in views):
        return False
    return all(view.shape == others[name].shape for name, view in views.items())


def _add(weights: dict[str, View], views: dict[str, View]) -> None:
    for name, view in views.items():
        if weights.setdefault(name, view) != view:
            raise Unread(f"it holds two tensors called {name[:60]!r}")


def _beside(top: dict[str, Any]) -> dict[str, View]:
    """The tensors of a checkpoint that stand beside its tables and have the name of a weight.

    Raises:
        Unread: one may be a weight, or may be none.
    """
    alone = {key: value for key, value in top.items() if not isinstance(value, dict) and not is_module(value)}
    others = {key: value for key, value in alone.items() if not _is_no_weights(key)}
    named = {key: value for key, value in others.items() if "." in key or key in ("weight", "bias")}
    for key in others.keys() - named.keys():
        held = _held({key: others[key]})
        is_matrix = any(_can_be_weight(view) and len(view.shape) > 1 for view in held.views.values())
        if is_matrix or held.is_odd(with_numpy=False):
            raise Unread(f"it holds {key[:60]!r} beside its tables of weights, which may be a part of them")
    return _held(named).checked()


def _held(value: Any) -> _Held:
    """The plain tensors of a table or module and of all the tables and modules in it, by dotted names.

    Raises:
        Unread: they are within each other without end.
    """
    held, num_values = _Held(), 0
    waiting: list[tuple[str, Any]] = [("", value)]  # names end with a dot here
    while waiting:
        name, current = waiting.pop()
        table = parameters_of(current) or current
        if isinstance(table, dict):
            num_values += len(table)
            if num_values > MAX_VALUES or len(name) > MAX_NAME_LENGTH:
                raise Unread(f"its tables have over {MAX_VALUES:,} values, or are within each other without end")
            waiting += reversed([(f"{name}{key}.", inner) for key, inner in table.items()])
        elif isinstance(table, View):
            _add(held.views, {name.removesuffix("."): table})
        elif held.odd is None:
            held.odd = _odd(table)
    return held


def _odd(value: Any) -> str | None:
    """What a value holds that may be weights and is no plain tensor, in words."""
    for call in (one for one in _listed(value) if isinstance(one, Call)):
        for part, words in OTHER_TENSORS.items():
            if part in call.name:
                return f"{words}, {call.name[:60]!r}"
    return "lists of tensors" if _lists_weights(value) else None


def _lists_weights(value: Any) -> bool:
    return any(isinstance(one, View) and _can_be_weight(one) for one in _listed(value))


def _can_be_weight(view: View) -> bool:
    return view.dtype.startswith(("F", "BF", "C")) and len(view.shape) > 0


def _listed(value: Any) -> Iterator[Any]:
    """A value, or what is in a list, in the lists in it, and in their tables, each once."""
    waiting, seen = [value], set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, dict):
            if "param_groups" not in current:
                waiting += current.values()
        elif isinstance(current, list | tuple):
            waiting += current
        else:
            yield current

"""Where the output matrices of a built model are, which embedding matrix each could be, and who decides that it is.

The model's class says it (`transformers`, modeling_utils.py): `get_output_embeddings` of it and of the models inside
it, and `_tied_weights_keys`, which each of them resolves by a flag of its own configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tiedlm.counting.closed_forms.configuration import TIE_KEY


@dataclass(frozen=True)
class Head:
    """One output matrix of a model."""

    output: Any
    """The module that multiplies by it."""
    table: Any | None
    """The embedding matrix that it is, could be, or looks like; None where there is none."""
    decider: Any | None
    """The model inside the model whose configuration ties the two or does not; None where no flag does."""

    @property
    def is_tied(self) -> bool:
        """Whether the two are one parameter."""
        return self.output.weight is self.table

    @property
    def can_tie(self) -> bool:
        """Whether they have one shape."""
        return self.table is not None and self.output.weight.shape == self.table.shape


def find_heads(model: Any) -> list[Head]:
    """The output matrix that the model calls its own; else those of all models inside it, as of codebooks."""
    ties = dict(_possible_ties(model))
    own = _output_of(model)
    if _is_matrix(own):
        return [_head(model, own, ties)]
    by_name = dict(model.named_modules(remove_duplicate=False))
    tied = (by_name.get(target.removesuffix(".weight")) for target in ties)
    outputs = {id(module): module for module in (*_outputs(model), *tied) if _is_matrix(module)}
    return [_head(model, module, ties) for module in outputs.values()]


def _outputs(model: Any) -> Iterator[Any]:
    """What the model and those inside it call their output."""
    for _, part in _models(model):
        output = _output_of(part)
        yield from output if _is_list(output) else [output]


def _output_of(model: Any) -> Any:
    try:
        return model.get_output_embeddings()
    except (AttributeError, NotImplementedError):  # of a class that has none
        return None


def _head(model: Any, output: Any, ties: dict[str, tuple[str, Any]]) -> Head:
    names = [name for name, module in model.named_modules(remove_duplicate=False) if module is output]
    for name in names:
        if f"{name}.weight" in ties:
            source, decider = ties[f"{name}.weight"]
            return Head(output, _parameter(model, source), decider)
    for module in model.modules():
        if module is not output and getattr(module, "weight", None) is output.weight:
            return Head(output, output.weight, None)
    return Head(output, _table_beside(model, names, output), None)


def _table_beside(model: Any, names: list[str], output: Any) -> Any | None:
    """The embedding of the innermost model around an output that has one; of several tables, the first of its width."""
    owners = [(path, part) for path, part in _models(model) if any(f".{name}".startswith(f".{path}") for name in names)]
    for _, part in sorted(owners, key=lambda owner: -len(owner[0])):
        tables = _tables(part)
        alike = [table for table in tables if table.shape == output.weight.shape] or [
            table for table in tables if table.shape[1] == output.weight.shape[1]
        ]
        found = _input_table(part)
        if found is not None or alike:
            return alike[0] if found is None else found
    return None


def word_table(model: Any) -> Any | None:
    """The word embeddings of a model without an output matrix, its own or those of the first model inside it."""
    for _, part in _models(model):
        table = _input_table(part)
        if table is not None:
            return table
    sizes = set(_vocab_sizes(model.config))
    return next((table for table in _tables(model) if table.shape[0] in sizes), None)


def _vocab_sizes(config: Any) -> Iterator[int]:
    """Those of a configuration and of the ones inside it."""
    yield from [config.vocab_size] if type(getattr(config, "vocab_size", None)) is int else []
    for inner in vars(config).values():
        if hasattr(inner, "model_type"):
            yield from _vocab_sizes(inner)


def _input_table(model: Any) -> Any | None:
    """The matrix of a model's word embeddings; None where it has none, or several."""
    try:
        module = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):  # of a class that has none
        return None
    return module.weight if getattr(getattr(module, "weight", None), "ndim", 0) == 2 else None


def _possible_ties(model: Any) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Output → the embedding that it is where the flag of a model inside says so, and that model."""
    tables = {id(table) for table in _tables(model)}
    for path, part in _models(model):
        with _tying(part.config):
            pairs = part.get_expanded_tied_weights_keys(all_submodels=False)
        for target, source in pairs.items():
            names = [f"{path}.{name}".lstrip(".") for name in (target, source)]
            if id(_parameter(model, names[1])) in tables:
                yield names[0], (names[1], part)


@contextmanager
def _tying(config: Any) -> Iterator[None]:
    """The configuration as if its flag were true."""
    has, old = TIE_KEY in vars(config), getattr(config, TIE_KEY, None)
    setattr(config, TIE_KEY, True)
    try:
        yield
    finally:
        if has or old is not None:
            setattr(config, TIE_KEY, old)
        else:
            delattr(config, TIE_KEY)


def _models(model: Any) -> Iterator[tuple[str, Any]]:
    """The model and those inside it, by their paths."""
    for path, module in model.named_modules():
        if hasattr(module, "get_expanded_tied_weights_keys"):
            yield path, module


def _tables(model: Any) -> list[Any]:
    """Matrices that look up."""
    modules = [module for module in model.modules() if "Embedding" in type(module).__name__]
    return [module.weight for module in modules if getattr(getattr(module, "weight", None), "ndim", 0) == 2]


def _parameter(model: Any, name: str) -> Any:
    path, _, last = name.rpartition(".")
    module: Any = model
    for part in path.split(".") if path else []:
        module = getattr(module, part, None)
    return getattr(module, last, None)


def _is_list(module: Any) -> bool:
    return hasattr(module, "__iter__") and not hasattr(module, "weight")


def _is_matrix(module: Any) -> bool:
    """Whether it multiplies by rows of a vocabulary; FSMT gives the table that looks up as its output."""
    weight = getattr(module, "weight", None)
    return getattr(weight, "ndim", 0) == 2 and "Embedding" not in type(module).__name__

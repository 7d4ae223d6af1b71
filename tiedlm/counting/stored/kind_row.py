"""A row of the table of what is no parameter: names, where they come from, and what must hold besides the name."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiedlm.counting.stored.safetensors_header import StoredTensor

Beside = Mapping[str, StoredTensor] | None
"""The tensors of the whole model by their names; None where they are not at hand."""
Condition = Callable[[StoredTensor, Beside], bool]
WIDE = ("F16", "BF16", "F32", "F64")
"""Types of weights that are not quantised."""


@dataclass(frozen=True)
class Row:
    """A kind of tensor that is no parameter."""

    kind: str
    """In plain words, for people."""
    names: str
    """Ends of names: parts of a path, `#` a number, `*` any letters of a part, `^` the beginning of the name."""
    source: str
    """Which library or format writes it, and where."""
    only: Condition | None = None
    """What else must hold where the name alone is a parameter's elsewhere."""

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """Of the paths that end so."""
        ends = [re.escape(name).replace(r"\*", "[^.]*").replace(r"\#", "#") for name in self.names.split()]
        return re.compile("|".join(end[2:] if end.startswith(r"\^") else rf"(?:.*\.)?{end}" for end in ends))


def is_one_number(tensor: StoredTensor, _: Beside) -> bool:
    """A scalar, or one number in whatever shape."""
    return tensor.num_elements == 1


def is_vector(tensor: StoredTensor, _: Beside) -> bool:
    """Of one axis."""
    return len(tensor.shape) == 1


def is_whole(tensor: StoredTensor, _: Beside) -> bool:
    """Of whole numbers or truth values."""
    return not tensor.is_floating


def is_mask(tensor: StoredTensor, _: Beside) -> bool:
    """One square for all heads; a bias of a layer is a vector, and a learned one has a square for each head."""
    if len(tensor.shape) < 2:
        return False
    *others, rows, columns = tensor.shape
    return not tensor.is_floating or (rows == columns and all(size == 1 for size in others))


def is_table_of_positions(tensor: StoredTensor, _: Beside) -> bool:
    """Of positions and width, with or without one axis for the batch: `(n, d)`, `(1, n, d)` or `(n, 1, d)`."""
    return len(tensor.shape) == 2 or (len(tensor.shape) == 3 and 1 in tensor.shape[:2])


def is_table_for_batches(tensor: StoredTensor, _: Beside) -> bool:
    """Of positions and width with the batch between: `(n, 1, d)`; a learned one is `(1, n, d)` or `(n, d)`."""
    return len(tensor.shape) == 3 and tensor.shape[0] > 1 and tensor.shape[1] == 1


def is_array(tensor: StoredTensor, _: Beside) -> bool:
    """Of several axes, as angles by position are; a vector may be learned."""
    return len(tensor.shape) >= 2


def is_per_head(tensor: StoredTensor, _: Beside) -> bool:
    """One number, or one for each head: `(h, 1, 1)`; a vector over the head's width belongs to a norm."""
    return tensor.num_elements == 1 or (len(tensor.shape) == 3 and tensor.shape[1:] == (1, 1))


def of_gguf(tensor: StoredTensor, _: Beside) -> bool:
    """From a GGUF file."""
    return tensor.block_bytes is not None


def is_narrow(tensor: StoredTensor | None) -> bool:
    """Whether a tensor can be a quantised weight: of 8 bits or fewer a number, or of whole numbers."""
    return tensor is not None and tensor.dtype not in WIDE


def with_quantised(*others: str) -> Condition:
    """Where a quantised tensor of one of these names is stored in the same module."""

    def is_so(tensor: StoredTensor, beside: Beside) -> bool:
        return beside is not None and any(is_narrow(beside.get(_sibling(tensor, other))) for other in others)

    return is_so


def with_any(*others: str) -> Condition:
    """Where a tensor of one of these names, of whatever type, is stored in the same module."""

    def is_so(tensor: StoredTensor, beside: Beside) -> bool:
        return beside is not None and any(_sibling(tensor, other) in beside for other in others)

    return is_so


def with_named(ending: str, instead: str) -> Condition:
    """Where the tensor is stored that has the end of this one's name replaced; so too where nobody knows."""

    def is_so(tensor: StoredTensor, beside: Beside) -> bool:
        return beside is None or re.sub(rf"{ending}$", instead, tensor.name) in beside

    return is_so


def unless_wide(ending: str, instead: str) -> Condition:
    """Unless the weight that it would scale is stored in full precision: then one is trained with the other.

    One number is no parameter even so: BitNet keeps its weights wide.
    """

    def is_so(tensor: StoredTensor, beside: Beside) -> bool:
        weight = None if beside is None else beside.get(re.sub(rf"{ending}$", instead, tensor.name))
        return weight is None or is_narrow(weight) or tensor.num_elements == 1

    return is_so


def either(*conditions: Condition) -> Condition:
    """Where one of several holds."""
    return lambda tensor, beside: any(condition(tensor, beside) for condition in conditions)


def _sibling(tensor: StoredTensor, name: str) -> str:
    module, dot, _ = tensor.name.rpartition(".")
    return f"{module}{dot}{name}"

"""What the class of a model makes of the names in its files: which are parameters, and which of them are one.

Plain data, since a class is only known where `transformers` is installed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import Layout


@dataclass(frozen=True)
class Place:
    """Where the class puts one tensor of a file."""

    name: str
    """As the class calls it."""
    parameter: str | None
    """The parameter that it is, by the first of its names; None of a buffer."""
    is_part: bool = False
    """Whether the file holds the parameter in pieces, such as experts one by one."""


@dataclass(frozen=True)
class PlacedNames:
    """The tensors of a file that a class knows."""

    places: Mapping[str, Place] = field(default_factory=dict)
    """By their names in the file."""
    asides: Mapping[str, str] = field(default_factory=dict)
    """Tensors that the class has not → the parameter that each is named after, or the module in which it stands."""
    inputs: frozenset[str] = frozenset()
    """Names, in the class, of the embedding matrix that looks up."""
    outputs: frozenset[str] = frozenset()
    """Names, in the class, of the matrix that multiplies."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Every parameter of the class by its first name → its elements."""

    @property
    def missing(self) -> list[str]:
        """Parameters of which the file holds nothing."""
        held = {place.parameter for place in self.places.values()}
        return [name for name in self.sizes if name not in held]

    def packed(self, names: Iterable[str]) -> dict[str, int] | None:
        """The parameters that packed tensors of these names hold → their elements; None where one is not placed."""
        held: set[str] = set()
        for name in names:
            place, beside = self.places.get(name), self.asides.get(name)
            if place is not None and place.parameter is not None:
                held.add(place.parameter)
            elif beside is not None:
                held |= {missed for missed in self.missing if beside in (missed, missed.rpartition(".")[0])}
            else:
                return None
        return {name: self.sizes[name] for name in held}

    @property
    def layout(self) -> Layout:
        """The same by the names in the file."""
        by_name = {name: place.name for name, place in self.places.items()}
        return Layout(
            frozenset(name for name, known in by_name.items() if known in self.inputs),
            frozenset(name for name, known in by_name.items() if known in self.outputs),
            frozenset(name for name, place in self.places.items() if place.parameter is not None),
            frozenset(name for name, place in self.places.items() if place.parameter is None),
        )

    def as_one(self, tensors: Sequence[StoredTensor]) -> list[list[StoredTensor]]:
        """Tensors that are whole and one parameter in the model, several names of it being stored."""
        by_parameter = defaultdict(list)
        for tensor in tensors:
            place = self.places.get(tensor.name)
            if place is not None and place.parameter is not None and not place.is_part:
                by_parameter[place.parameter].append(tensor)
        return [members for members in by_parameter.values() if len(members) > 1]

"""What a pickle of `torch.save` describes, followed by its instructions, none of which is executed.

`pickletools` lists the instructions; here names stand in place of functions, so nothing is imported or called. To load
a pickle, even with `weights_only`, lets it call some functions, and that has had holes (CVE-2025-32434, -2026-24747).
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_INSTRUCTIONS = 1_000_000
DTYPES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "ComplexFloatStorage": "C64",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""Of storages, which `torch.save` writes by type."""
NEW_DTYPES = {  # torch.storage, _new_dtypes
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
    "float4_e2m1fn_x2": "U8",  # two weights to a byte
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bits8": "U8",
    "bits16": "U16",
}
"""Of tensors on a storage of bytes, by what `torch` calls them."""
PLAIN = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
"""Types that `_rebuild_from_type_v2` makes of a tensor that has attributes of its own."""


class Unread(Exception):
    """What in an archive is not read here."""


@dataclass(frozen=True)
class Name:
    """What the pickle would import."""

    name: str


@dataclass(frozen=True)
class Call:
    """What the pickle would call, and so make."""

    name: str
    state: dict[str, Any] = field(default_factory=dict, compare=False)
    """What it would be given then: the attributes of an object."""


@dataclass(frozen=True)
class Storage:
    """A file of the archive, by its key; `num_elements` are of its type."""

    key: str
    dtype: str | None
    """None of bytes, whose type each tensor on them has."""
    num_elements: int


@dataclass(frozen=True)
class View:
    """A tensor on a storage, whose type is known."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements lie one after the other."""
        expected = [math.prod(self.shape[place + 1 :]) for place in range(len(self.shape))]
        return all(
            size == 1 or stride == want for size, stride, want in zip(self.shape, self.strides, expected, strict=True)
        )


def followed(content: bytes) -> Any:
    """What a pickle describes: tables, lists, texts, numbers and tensors; all else as calls that are not made.

    Raises:
        Unread: it has an instruction that descriptions of tensors do not need, or is damaged.
    """
    reader = _Reader()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if number == MAX_INSTRUCTIONS:
            raise Unread(f"its pickle has over {MAX_INSTRUCTIONS:,} instructions")
        step = STEPS.get(opcode.name)
        if step is None:
            raise Unread(f"its pickle has the instruction {opcode.name}")
        try:
            step(reader, argument)
        except (IndexError, KeyError, TypeError) as error:
            raise Unread(f"its pickle is damaged at {opcode.name}") from error
    return reader.stack[-1] if reader.stack else None


class _Reader:
    """The stack and the memo of a pickle, whose functions are never imported."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def argument(self, value: Any) -> None:
        self.push(value)

    def ignore(self, _: Any) -> None:
        """It changes nothing that is read here."""

    def append(self, _: Any) -> None:
        self.extend(self.pop(1))

    def append_marked(self, _: Any) -> None:
        self.extend(self.since_mark())

    def extend(self, values: Iterable[Any]) -> None:
        filled = self.stack[-1]
        if isinstance(filled, list):
            filled.extend(values)

    def build(self, _: Any) -> None:
        (state,) = self.pop(1)
        built = self.stack[-1]
        if isinstance(built, Call) and isinstance(state, dict):
            built.state.update(state)

    def drop_marked(self, _: Any) -> None:
        self.since_mark()

    def remember(self, place: Any) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def recall(self, place: Any) -> None:
        self.push(self.memo[place])

    def tuple_of_marked(self, _: Any) -> None:
        self.push(tuple(self.since_mark()))

    def pair(self, _: Any) -> None:
        self.put([*self.pop(2)])

    def pairs(self, _: Any) -> None:
        self.put(self.since_mark())

    def since_mark(self) -> list[Any]:
        place = self.marks.pop()
        values = self.stack[place:]
        del self.stack[place:]
        return values

    def pop(self, number: int) -> tuple[Any, ...]:
        if number > len(self.stack):
            raise IndexError
        values = tuple(self.stack[len(self.stack) - number :])
        del self.stack[len(self.stack) - number :]
        return values

    def name(self, argument: str) -> None:
        self.push(Name(argument.replace(" ", ".", 1)))

    def name_of_stack(self, _: Any) -> None:
        module, name = self.pop(2)
        self.push(Name(f"{module}.{name}"))

    def put(self, pairs: list[Any]) -> None:
        table = self.stack[-1]
        if isinstance(table, dict):  # keys that are no texts name no tensor
            pairs_of_texts = zip(pairs[::2], pairs[1::2], strict=True)
            table.update({key: value for key, value in pairs_of_texts if isinstance(key, str)})

    def storage(self, _: Any) -> None:
        (told,) = self.pop(1)
        kind, storage_type, key, _device, num_elements = told
        if kind != "storage" or not isinstance(key, str) or not _are_sizes([num_elements]):
            raise Unread("a storage is of a kind that is not read here")
        self.push(_storage(storage_type, key, num_elements))

    def call(self, _: Any) -> None:
        function, arguments = self.pop(2)
        self.push(_called(function.name if isinstance(function, Name) else "?", arguments))


def _storage(storage_type: Any, key: str, num_elements: int) -> Storage | Call:
    """A call where no tensor of this project is of its type: it hurts none but those that are on it."""
    name = storage_type.name if isinstance(storage_type, Name) else "?"
    if name in ("torch.storage.UntypedStorage", "torch.UntypedStorage"):
        return Storage(key, None, num_elements)
    dtype = DTYPES.get(name.removeprefix("torch."))
    return Call(name) if dtype is None else Storage(key, dtype, num_elements)


def _called(name: str, arguments: Any) -> Any:
    """What a call makes: a table, a tensor, or else the call itself, which stands for what it would make."""
    if name in TABLES:
        pairs = arguments[0] if name == "collections.OrderedDict" and arguments else []
        return {key: value for key, value in pairs if isinstance(key, str)}
    if name in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
        return arguments[0]
    if name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
        return _view(*arguments[:4])
    if name == "torch._utils._rebuild_tensor_v3":
        storage, offset, shape, strides, _requires_grad, _hooks, dtype = arguments[:7]
        return _view(storage, offset, shape, strides, dtype)
    if name == "torch._tensor._rebuild_from_type_v2":
        inner, new_type = (value.name if isinstance(value, Name) else "?" for value in arguments[:2])
        return _called(inner, arguments[2]) if new_type in PLAIN else Call(f"{inner} of {new_type}")
    return Call(name)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, dtype: Any = None) -> View:
    if isinstance(storage, Call):
        raise Unread(f"a tensor is on {storage.name[:60]!r}, a type that is not read here")
    are_sound = isinstance(storage, Storage) and _are_sizes([offset]) and _are_sizes(shape) and _are_sizes(strides)
    if not are_sound or len(shape) != len(strides) or len(shape) > 64:
        raise Unread("a tensor has no sizes")
    told = storage.dtype if dtype is None else _new_dtype(dtype)
    if told is None or (storage.dtype is None) != (dtype is not None):
        raise Unread("a tensor has no type")
    return View(storage, told, offset, tuple(shape), tuple(strides))


def _new_dtype(dtype: Any) -> str:
    name = dtype.name if isinstance(dtype, Name) else "?"
    told = NEW_DTYPES.get(name.removeprefix("torch."))
    if told is None:
        raise Unread(f"a tensor is of {name[:60]!r}, a type that is not read here")
    return told


def _are_sizes(values: Any) -> bool:
    return isinstance(values, tuple | list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _new(kind: Callable[[], Any]) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(kind())


def _constant(value: Any) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(value)


def _tuple_of(number: int) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(reader.pop(number))


TABLES = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict")
ARGUMENTS = (
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES "
    "BINBYTES8 BYTEARRAY8 BINSTRING SHORT_BINSTRING"
)
STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(ARGUMENTS.split(), _Reader.argument),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Reader.ignore),
    "APPEND": _Reader.append,
    "APPENDS": _Reader.append_marked,
    "ADDITEMS": _Reader.drop_marked,
    "BUILD": _Reader.build,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reader.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Reader.recall),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Reader.call),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_SET": _constant(()),
    "EMPTY_LIST": _new(list),
    "EMPTY_DICT": _new(dict),
    "MARK": _Reader.mark,
    "TUPLE": _Reader.tuple_of_marked,
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "SETITEM": _Reader.pair,
    "SETITEMS": _Reader.pairs,
    "GLOBAL": _Reader.name,
    "STACK_GLOBAL": _Reader.name_of_stack,
    "BINPERSID": _Reader.storage,
}

"""A language model on paper, and the reader of the `config.json` it is drawn from.

A `Part` knows two numbers, since tying sets them apart: how many parameters are stored, and how many
multiply-adds one token costs in matrix products with them. Parts add up as a model is put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiedlm.errors import InputError

MAX_SIZE = 1_000_000_000
MAX_LAYERS = 100_000


@dataclass(frozen=True)
class Part:
    """Tensors of a model, e.g. one layer."""

    parameters: int = 0
    multiply_adds: int = 0
    """Of one token in matrix products with them; norms, biases, look-ups and attention scores cost none here."""

    def __add__(self, other: Part) -> Part:
        return Part(self.parameters + other.parameters, self.multiply_adds + other.multiply_adds)

    def __rmul__(self, copies: int) -> Part:
        """`12 * layer`: so many copies, each passed once by every token."""
        return Part(copies * self.parameters, copies * self.multiply_adds)


def dense(num_inputs: int, num_outputs: int, bias: bool = True) -> Part:
    """A linear layer."""
    return Part(num_inputs * num_outputs + (num_outputs if bias else 0), num_inputs * num_outputs)


def vector(size: int) -> Part:
    """A bias, or the gain of a norm."""
    return Part(size)


def layer_norm(size: int, bias: bool = True) -> Part:
    """Gain, and bias."""
    return vector(2 * size if bias else size)


def table(num_rows: int, width: int) -> Part:
    """An embedding: its rows are looked up, not multiplied."""
    return Part(num_rows * width)


def decoder_weight(vocab_size: int, width: int, tied: bool) -> Part:
    """The output matrix: tied, it is multiplied as ever but not stored again."""
    return Part(0 if tied else vocab_size * width, vocab_size * width)


@dataclass(frozen=True)
class Blueprint:
    """What is known of a model without building it."""

    architecture: str
    """The class of `transformers` that it describes."""
    vocab_size: int
    hidden_size: int
    embedding_size: int
    """Width of the embedding matrix; below `hidden_size` where it is factorised (ALBERT, ELECTRA)."""
    tie_word_embeddings: bool
    parts: dict[str, Part]
    """By group, in the order of the forward pass."""
    num_input_modules: int = 1
    """Modules that look up in the embedding matrix: T5 has one for itself and one for each stack."""
    other_totals: dict[str, int] = field(default_factory=dict)
    """Other totals that people meet for the same model: what was counted → the difference to ours."""


class NoClosedForm(Exception):
    """The configuration asks for something that a closed form does not cover."""


class ConfigReader:
    """Typed access to a `config.json`; a key that is absent has the default of `transformers`.

    Every error names the file, the key, the value and the remedy.
    """

    def __init__(self, raw: Mapping[str, Any], source: str, aliases: Mapping[str, str] | None = None) -> None:
        """`aliases`: key of the family → the usual key, which `transformers` takes as well (its `attribute_map`)."""
        self.raw = {key: raw[usual] for key, usual in (aliases or {}).items() if usual in raw} | dict(raw)
        self.source = source
        self.stated = raw.keys()

    def size(self, key: str, default: int, minimum: int = 1) -> int:
        """A whole number of rows, columns, heads or layers.

        Raises:
            InputError: it is no number, or out of bounds.
        """
        value = self.raw.get(key, default)
        maximum = MAX_LAYERS if "layer" in key or "group" in key else MAX_SIZE
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise InputError(
                f"{self.source}: {key}={_shown(value)} is not a whole number from {minimum} to {maximum:,}; correct it"
            )
        return value

    def optional_size(self, key: str, default: int) -> int:
        """As `size`, but null stands for the default too."""
        return default if self.raw.get(key) is None else self.size(key, default)

    def flag(self, key: str, default: bool) -> bool:
        """True or false.

        Raises:
            InputError: it is neither.
        """
        value = self.raw.get(key, default)
        if not isinstance(value, bool):
            raise InputError(f"{self.source}: {key}={_shown(value)} is neither true nor false; correct it")
        return value

    def text(self, key: str, default: str) -> str:
        """A string.

        Raises:
            InputError: it is none.
        """
        value = self.raw.get(key, default)
        if not isinstance(value, str):
            raise InputError(f"{self.source}: {key}={_shown(value)} is not a text; correct it")
        return value

    def words(self, key: str) -> list[str]:
        """A list of strings, or one string with bars (`"p2c|c2p"`); null and absent are empty.

        Raises:
            InputError: it is neither.
        """
        value = self.raw.get(key) or []
        if isinstance(value, str):
            return [word.strip() for word in value.lower().split("|")]
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise InputError(f"{self.source}: {key}={_shown(value)} is not a list of texts; correct it")
        return value

    def check_divides(self, key: str, divisor: int, value_key: str, value: int) -> None:
        """Refuse what no model can be built from, such as heads that do not divide the hidden size.

        Raises:
            InputError: the one does not divide the other.
        """
        if value % divisor:
            raise InputError(
                f"{self.source}: {value_key}={value} is not a multiple of {key}={divisor}; change one of them"
            )

    def leave_if(self, key: str) -> None:
        """Give way to a built model where a key is set that the closed form does not cover.

        Raises:
            NoClosedForm: it is set.
        """
        if self.raw.get(key):
            raise NoClosedForm(f"{key}={_shown(self.raw[key])}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer past the interpreter's digit limit, or deep nesting
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}…"

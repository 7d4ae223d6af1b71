"""Strict, frozen data, and what is told of data that are not such: the place, the value and what is allowed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from tiedlm.errors import InputError

SHOWN_CHARACTERS = 80  # of a wrong value
ALSO_CALLED = {
    "lr": "learning_rate",
    "dropout": "hidden_dropout_prob",
    "epochs": "num_steps",
    "vocab_size": "tokenizer",
    "grid": "tune",
    "search": "tune",
}
"""What people look for, and the key that decides it here."""
PATTERN_WORDS: dict[str, str] = {}
"""What a pattern allows, in words, for each pattern of `words_of_pattern`."""


def words_of_pattern(pattern: str, allowed: str) -> str:
    """The pattern, which is told to a user by these words."""
    PATTERN_WORDS[pattern] = allowed
    return pattern


NAME_PATTERN = words_of_pattern(  # names become file names, so they hold no path
    r"^[a-z0-9][a-z0-9-]{0,63}$", "up to 64 small letters, digits and hyphens, a hyphen not first"
)
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
MAX_SIZE = 1_000_000
Size = Annotated[int, Field(gt=0, le=MAX_SIZE)]
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model without coercion or unknown keys; a default is written out where it is one."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class NeutralUnwritten(Strict):
    """Values that are their fields' defaults are not written, neither to a record nor into its digest.

    So a new field, whose default is what was always done, leaves every older record as it is.
    """

    @model_serializer(mode="wrap")
    def _without_neutral_values(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value != type(self).model_fields[name].default}


def validated(model: type[M], raw: dict[str, Any], source: str) -> M:
    """Make a model of raw data.

    Raises:
        InputError: it is not such a model; every problem is told with its place, its value and what is allowed.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{source}: {'; '.join(_sentences(error, keys_of(model)))}") from error


def _sentences(error: ValidationError, known: dict[str, str]) -> list[str]:
    """Say each problem of a validation in words: where, what, and what is allowed."""
    sentences = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        match problem["type"]:
            case "missing":
                sentences.append(f"key {place} is missing; add it")
            case "extra_forbidden":
                key = place.rpartition(".")[2]
                like = get_close_matches(ALSO_CALLED.get(key, key), known, n=1)
                hint = f" (did you mean {known[like[0]]}?)" if like else ""
                if key == "vocab_size":
                    hint = " (the tokenizer decides it: corpus.tokenizer=bpe:N)"
                sentences.append(f"key {place} is unknown; remove it or correct its spelling{hint}")
            case "string_pattern_mismatch":
                allowed = PATTERN_WORDS[problem["ctx"]["pattern"]]
                sentences.append(f"{place}={_shown(problem['input'])} is not {allowed}; change the value")
            case "value_error":
                inside = f"{place}." if place.startswith("contrasts.") else ""
                sentences.append(f"{inside}{problem['ctx']['error']}")
            case _:
                sentences.append(f"{place}={_shown(problem['input'])}: {problem['msg'].lower()}; change the value")
    return sentences


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def keys_of(model: type[BaseModel], section: str = "") -> dict[str, str]:
    """Each key by its last word, `learning_rate` → `train.learning_rate`, and each section by its name."""
    keys = {name: f"{section}{name}" for name in model.model_fields}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys = keys_of(field.annotation, f"{name}.") | keys
    return keys

"""What was decided before runs were trained, in a file with a digest of itself that each of their records holds too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from tiedlm.atomic_file import write_atomically
from tiedlm.config.older_schemas import in_present_places
from tiedlm.config.strict import Strict, validated
from tiedlm.errors import InputError
from tiedlm.record.run_record import document_sha256
from tiedlm.regular_file import read_regular_file

MAX_DESIGN_BYTES = 1_000_000
PUT_BACK = "put back the file as it was, e.g. from version control"

D = TypeVar("D", bound=Strict)


class Sealed(NamedTuple, Generic[D]):
    """A design, and by which digests records may name it."""

    design: D
    document: dict[str, Any]
    """As the file has it."""
    digests: list[str]
    """Its own first, then those that it had before it grew; each is over what the file held then."""


def seal(design: D, earlier: Sealed[D] | None = None) -> Sealed[D]:
    """A design with its digest; the earlier one where that is the same, else one that adds to it."""
    if earlier is not None and earlier.design == design:
        return earlier
    document = design.model_dump(mode="json") | ({} if earlier is None else {"earlier": earlier.document})
    digest = document_sha256(document)
    return Sealed(design, document | {"sha256": digest}, [digest, *(earlier.digests if earlier else [])])


def save_decision(sealed: Sealed[D], path: Path) -> None:
    """Write down what was decided, before the runs that follow from it are trained; what is there stays as it is."""
    if not path.exists() or read_document(path) != sealed.document:
        write_atomically(path, json.dumps(sealed.document, indent=1) + "\n")


def load_design_file(path: Path, kind: type[D], adds_to: Callable[[D, D], bool] | None = None) -> Sealed[D] | None:
    """The design in a file, or None where there is none.

    `adds_to` says whether a design has all of an earlier one; without it a design never changes.

    Raises:
        InputError: the file is damaged, or was changed after it was written.
    """
    if not path.exists():
        return None
    whole: dict[str, Any] = read_document(path)
    document: Any = whole
    found: list[D] = []
    digests = []
    while document is not None:
        try:
            digests.append(document_sha256(document))
        except ValueError as error:  # it holds half of a character, or is nested too deeply
            raise InputError(f"{path}: is damaged ({str(error)[:100]}); {PUT_BACK}") from error
        if document.get("sha256", digests[-1]) != digests[-1]:
            raise InputError(
                f"{path}: was changed after it was written (its sha256 is not that of its content); {PUT_BACK}"
            )
        decided = {key: value for key, value in document.items() if key not in ("earlier", "sha256")}
        found.append(validated(kind, in_present_places(decided), str(path)))
        if len(found) > 1 and (adds_to is None or not adds_to(found[-2], found[-1])):
            raise InputError(f"{path}: has not all of the design that it had earlier; {PUT_BACK}")
        document = document.get("earlier")
        if not isinstance(document, dict | None):
            raise InputError(f"{path}: earlier={str(document)[:60]!r} is no design; {PUT_BACK}")
    return Sealed(found[0], whole, digests)


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        InputError: it cannot be read, or is no such object.
    """
    try:
        document = json.loads(read_regular_file(path, MAX_DESIGN_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({str(error)[:100]}); {PUT_BACK}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: is damaged (it is no JSON object); {PUT_BACK}")
    return document

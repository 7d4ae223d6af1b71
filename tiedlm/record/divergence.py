"""A run of a tuning that has diverged: a result of its own, since the same values would diverge again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from tiedlm.atomic_file import write_atomically
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import Name, Strict
from tiedlm.errors import InputError
from tiedlm.record.metrics import Count
from tiedlm.record.origin import Data, DesignOption, Provenance, Sha256
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import document_sha256
from tiedlm.regular_file import read_regular_file

MAX_DIVERGENCE_BYTES = 1_000_000


class Divergence(Strict):
    """One arm, one seed; the rest is as in a `RunRecord`."""

    schema_version: Literal[1]
    experiment: Name
    arm: Name
    seed: Count
    config: RunConfig
    data: Data
    sentence: str
    """At which step, and what was no longer a number."""
    design_sha256: dict[DesignOption, Sha256] | None
    provenance: Provenance
    sha256: str = ""

    @property
    def run(self) -> RunId:
        """Which run has diverged."""
        return RunId(self.arm, self.seed)

    @property
    def file_name(self) -> str:
        """What its file is called in the folder of the runs."""
        return self.run.divergence_file


def save_divergence(divergence: Divergence, folder: Path) -> None:
    """Write it, with its digest, so that a reader finds all of it or nothing."""
    document = divergence.model_dump(mode="json")
    sealed = document | {"sha256": document_sha256(document)}
    write_atomically(folder / divergence.file_name, json.dumps(sealed, indent=1) + "\n")


def load_divergences(folder: Path) -> list[Divergence]:
    """Those of a folder, in file order; none where there is no such folder.

    Raises:
        InputError: one cannot be read, or was changed after it was written.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [_load(folder / name) for name in names if RunId.of_divergence_file(name)]


def _load(path: Path) -> Divergence:
    remedy = "take it from a copy, or delete it and give the command with --tune again"
    try:
        content = read_regular_file(path, MAX_DIVERGENCE_BYTES)
        divergence = Divergence.model_validate_json(content)
        own_sha256 = document_sha256(json.loads(content))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (ValidationError, PydanticSerializationError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged; {remedy}") from error
    if divergence.sha256 != own_sha256 or divergence.file_name != path.name:
        raise InputError(f"{path}: was changed after it was written (its sha256 or its name); {remedy}")
    return divergence

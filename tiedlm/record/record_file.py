"""Records on disk: written whole or not at all, and believed only with the digest that was written with them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from tiedlm.atomic_file import write_atomically
from tiedlm.errors import InputError
from tiedlm.record.older_records import UPGRADES, upgraded
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import SCHEMA_VERSION, RunRecord, document_sha256
from tiedlm.regular_file import read_regular_file

MAX_RECORD_BYTES = 256_000_000  # two splits of four million blocks each


def load_record(path: Path) -> RunRecord:
    """Read one record.

    Raises:
        InputError: it cannot be read, or is not a record of this schema.
    """
    try:
        content = read_regular_file(path, MAX_RECORD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if len(content) > MAX_RECORD_BYTES:
        raise InputError(f"{path}: is over the limit of {MAX_RECORD_BYTES:,} bytes; delete it and train again")
    try:
        raw = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error}); delete it and train again") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version not in (SCHEMA_VERSION, *UPGRADES):
        raise InputError(
            f"{path}: has schema_version={version}, this tiedlm reads {min(UPGRADES)} to {SCHEMA_VERSION}; delete it "
            "and train again"
        )
    try:
        record = RunRecord.model_validate(upgraded(raw))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "record"
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        raise InputError(f"{path}: {place}: {message}; delete it and train again") from error
    try:
        own_sha256 = document_sha256(raw)
    except PydanticSerializationError as error:
        raise InputError(f"{path}: holds half of a character; delete it and train again") from error
    # one of the present schema may be written anew with its keys in another order, or 1 for 1.0
    as_parsed = document_sha256(record.model_dump()) if version == SCHEMA_VERSION else own_sha256
    if record.sha256 not in (own_sha256, as_parsed):
        raise InputError(
            f"{path}: was changed after it was written (its sha256 is not that of its content); take it from a copy, "
            "or delete it and train again"
        )
    if record.file_name != path.name:
        raise InputError(f"{path}: is the record of {record.file_name}; delete it or give it that name")
    return record


def load_records(folder: Path, may_be_empty: bool = False) -> list[RunRecord]:
    """Every record of a folder, in file order.

    Raises:
        InputError: the folder does not exist, has no records, or one of them cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one that tiedlm compare wrote")
    records = [load_record(path) for path in sorted(folder.iterdir()) if RunId.of_record_file(path.name)]
    if not records and not may_be_empty:
        raise InputError(f"{folder}: holds no records (<arm>-seed<k>.json); give the folder that tiedlm compare wrote")
    return records


def save_record(record: RunRecord, folder: Path) -> Path:
    """Write a record so that a reader finds all of it or nothing."""
    path = folder / record.file_name
    text = json.dumps(record.sealed().model_dump(), indent=1)
    number_lists = re.compile(
        r"\[\s*(-?[\d.e+-]+(?:,\s*-?[\d.e+-]+)*)\s*\]"
    )  # one line each, so that a person can scroll
    write_atomically(path, number_lists.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text) + "\n")
    return path

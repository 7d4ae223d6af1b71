"""Checkpoints, from which an interrupted run goes on: its model, optimizers, generators and place in the data.

In `safetensors`, with a digest over all of it. Nothing is pickled, so a file can be wrong but it cannot run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tiedlm.atomic_file import replacement
from tiedlm.config import older_schemas
from tiedlm.config.run_config import RunConfig
from tiedlm.config.saved_model_config import METADATA_KEY
from tiedlm.config.strict import Name, Strict
from tiedlm.errors import InputError
from tiedlm.model.saved_model import write_tensors
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.origin import Code, Data
from tiedlm.record.run_id import CHECKPOINTS_FOLDER, RunId

DIGEST_KEY = "sha256"


class RunKey(Strict):
    """What a run is made of. A checkpoint of other things is not a part of the same run."""

    experiment: Name
    arm: Name
    seed: Annotated[int, Field(ge=0)]
    config: RunConfig
    data: Data
    device: str
    precision: str

    @property
    def run(self) -> RunId:
        """Its name."""
        return RunId(self.arm, self.seed)


class CheckpointHeader(Strict):
    """How far a run has come, beside its tensors."""

    checkpoint_format: Literal[5]
    key: RunKey
    code: Code
    step: Annotated[int, Field(gt=0)]
    order_sha256: str
    masks_sha256: str
    """Of the batches so far."""
    train_seconds: Annotated[float, Field(gt=0.0)]
    total_seconds: Annotated[float, Field(gt=0.0)]
    """Of all processes that have worked on the run."""
    peak_memory_bytes: Annotated[int, Field(gt=0)]
    """The largest of any of them."""
    num_threads: Annotated[int, Field(gt=0, le=1_024)]
    """Of the process; on a CPU, sums are equal bit for bit only if it is."""
    curve: Annotated[list[CurvePoint], Field(min_length=1)]


class DamagedCheckpoint(Exception):
    """A checkpoint file cannot be used; the message says which and why."""


@dataclass(frozen=True)
class CheckpointFiles:
    """The newest checkpoint of a run and the one before it, in a folder of their own below the records."""

    out: Path
    run: RunId

    @property
    def newest(self) -> Path:
        """The file that is read first."""
        return self.out / CHECKPOINTS_FOLDER / self.run.model_file

    @property
    def previous(self) -> Path:
        """The file that is read if the newest is missing or damaged."""
        return self.newest.with_stem(f"{self.run.stem}-previous")

    def save(self, header: CheckpointHeader, tensors: dict[str, Tensor]) -> None:
        """Write a checkpoint; until it is whole, the last one stays.

        Raises:
            OSError: it cannot be written.
        """
        text = header.model_dump_json()
        metadata = {METADATA_KEY: text, DIGEST_KEY: _digest(text, tensors)}
        while True:
            with contextlib.suppress(FileExistsError):  # `exist_ok` fails where another removes it at this moment
                self.newest.parent.mkdir()
            try:
                self._write(tensors, metadata)
                return
            except FileNotFoundError:  # another has removed the empty folder
                if not self.out.is_dir() or self.newest.parent.is_symlink():
                    raise

    def _write(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        with replacement(self.newest) as temporary:
            write_tensors(tensors, temporary, metadata)
            if self.newest.exists():
                self.newest.replace(self.previous)

    def candidates(self) -> Iterator[Path]:
        """The files that exist, newest first."""
        yield from (path for path in (self.newest, self.previous) if path.exists())

    def keys(self) -> Iterator[tuple[Path, RunKey]]:
        """What they are of, newest first; damaged ones are left to whoever loads them."""
        for path in self.candidates():
            with contextlib.suppress(DamagedCheckpoint):
                yield path, _read_header(path)[0].key

    def check(self, key: RunKey) -> None:
        """Refuse checkpoints of another run.

        Raises:
            InputError: naming the first field that differs.
        """
        for path, stored in self.keys():
            for field, mine, theirs in _differing(_flat(key), _flat(stored)):
                raise InputError(
                    f"{path}: the unfinished run had {field}={theirs!r}, now it is {mine!r}; set it back, pass "
                    "--no-resume to begin again, or choose another --out"
                )

    def delete(self) -> None:
        """Remove both files, and the folder where no other run has its own there."""
        for path in (self.newest, self.previous):
            path.unlink(missing_ok=True)
        remove_if_empty(self.newest.parent)


def remove_if_empty(checkpoints: Path) -> None:
    """Remove a folder of checkpoints that holds none; a run that writes one makes the folder again."""
    with contextlib.suppress(OSError):  # it holds some, or is not there
        checkpoints.rmdir()


def load_checkpoint(path: Path) -> tuple[CheckpointHeader, dict[str, Tensor]]:
    """Read a checkpoint and verify every byte of it.

    Raises:
        DamagedCheckpoint: it is no checkpoint, or not as it was written.
    """
    header, text, digest = _read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError, TypeError, ValueError, RuntimeError) as error:  # of sizes that cannot be
        raise DamagedCheckpoint(f"{path}: is damaged ({error})") from error
    if _digest(text, tensors) != digest:
        raise DamagedCheckpoint(f"{path}: is damaged (its sha256 is not the one written with it)")
    return header, tensors


def _read_header(path: Path) -> tuple[CheckpointHeader, str, str]:
    """Its own words, their text, and the digest that the whole must have."""
    if not path.is_file():
        raise DamagedCheckpoint(f"{path}: is no regular file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        text = metadata[METADATA_KEY]
        return CheckpointHeader.model_validate(_upgraded(json.loads(text))), text, metadata[DIGEST_KEY]
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise DamagedCheckpoint(f"{path}: is damaged ({error})") from error
    except (KeyError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise DamagedCheckpoint(f"{path}: is not a checkpoint of this version of tiedlm") from error


def _upgraded(header: Any) -> Any:
    """A header of format 4 as it is written now; whatever else it is, as it is."""
    if not isinstance(header, dict) or header.get("checkpoint_format") != 4 or not isinstance(header.get("run"), dict):
        return header
    run = header.pop("run")
    if isinstance(run.get("config"), dict):
        run["config"] = older_schemas.from_5(run["config"])
    return header | {"checkpoint_format": 5, "key": run}


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flat(key: RunKey) -> dict[str, Any]:
    """By place, also what is neutral and not written."""
    config = {f"config.{place}": value for place, value in key.config.every_key().items()}
    return dict(_leaves(key.model_dump(exclude={"config"}))) | config


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _differing(mine: dict[str, Any], theirs: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for place, value in mine.items():
        if value != theirs.get(place):
            yield place, value, theirs.get(place)

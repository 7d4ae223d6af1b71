"""What names a run: one arm with one seed, in words and as files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FILE_PATTERN = re.compile(r"(?P<arm>[a-z0-9][a-z0-9-]*)-seed(?P<seed>\d+)")
MODEL_SUFFIX, RECORD_SUFFIX, DIVERGENCE_SUFFIX = ".safetensors", ".json", "-diverged.json"
CHECKPOINTS_FOLDER = "checkpoints"
"""Below the folder of the runs: there the checkpoints of unfinished runs have the names of their models."""
LOCKS_FOLDER, LOCK_SUFFIX, FAILURE_SUFFIX = "locks", ".lock", ".failed"
"""Below the folder of the runs: a file for each run that is being made, and one for each that failed."""


class RunId(NamedTuple):
    """One arm with one seed; in words `tied seed 3`."""

    arm: str
    seed: int

    def __str__(self) -> str:
        return f"{self.arm} seed {self.seed}"

    @property
    def stem(self) -> str:
        """`tied-seed3`, by which its files begin."""
        return f"{self.arm}-seed{self.seed}"

    @property
    def record_file(self) -> str:
        """The name of its record in the folder of the runs."""
        return self.stem + RECORD_SUFFIX

    @property
    def model_file(self) -> str:
        """The name of its model, beside the record."""
        return self.stem + MODEL_SUFFIX

    @property
    def lock_file(self) -> str:
        """The name of what its holder locks, in the folder of locks."""
        return self.stem + LOCK_SUFFIX

    @property
    def failure_file(self) -> str:
        """The name of what says why it failed, in the folder of locks."""
        return self.stem + FAILURE_SUFFIX

    @property
    def divergence_file(self) -> str:
        """The name of what stands for its record where it has diverged, which is a result of a tuning."""
        return self.stem + DIVERGENCE_SUFFIX

    @classmethod
    def of_divergence_file(cls, name: str) -> RunId | None:
        """The run that this file says has diverged; None where the name is another file's."""
        return cls._of_stem(name.removesuffix(DIVERGENCE_SUFFIX)) if name.endswith(DIVERGENCE_SUFFIX) else None

    @classmethod
    def of_record_file(cls, name: str) -> RunId | None:
        """The run whose record has this name; None where the name is no record's."""
        return cls._of_stem(name.removesuffix(RECORD_SUFFIX)) if name.endswith(RECORD_SUFFIX) else None

    @classmethod
    def of_file(cls, path: Path) -> RunId | None:
        """The run whose record or model this is, by its name."""
        return cls._of_stem(path.stem) if path.suffix else None

    @classmethod
    def of_models_in(cls, folder: Path) -> list[RunId]:
        """The runs in a folder whose models are there, by arm and seed."""
        found = (cls._of_stem(path.stem) for path in folder.iterdir() if path.suffix == MODEL_SUFFIX)
        return sorted(run for run in found if run is not None)

    @classmethod
    def _of_stem(cls, stem: str) -> RunId | None:
        found = FILE_PATTERN.fullmatch(stem)
        return None if found is None else cls(found["arm"], int(found["seed"]))

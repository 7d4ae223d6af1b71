"""One part of several: files that hold a piece of a model, told by their names, and the whole that they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tiedlm.counting.stored.weight_files import listed

NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<of>\d+)\.(?P<ending>safetensors|bin|pt|pth)", re.ASCII)
"""`model-00001-of-00002.safetensors` (transformers and others), each a part of the tensors."""
SLICES = {
    re.compile(r"consolidated\.\d+\.pth", re.ASCII): "Meta's model parallel checkpoint",
    re.compile(r"rank\d+\.safetensors", re.ASCII): "a TensorRT-LLM checkpoint",
    re.compile(
        r"(bf16_|fp16_)?zero_pp_rank_\d+_mp_rank_\d+_(model|optim)_states\.pt", re.ASCII
    ): "a DeepSpeed checkpoint",
    re.compile(r"mp_rank_\d+_model_states\.pt", re.ASCII): "a DeepSpeed checkpoint",
}
"""Files each of which holds a slice of every matrix, so that shapes are not the model's."""


@dataclass(frozen=True)
class Parts:
    """The numbered files that a file belongs to."""

    of: int
    """As the names say."""
    files: list[Path]
    """Those that lie there."""

    @property
    def is_whole(self) -> bool:
        """Whether none is missing."""
        return len(self.files) == self.of


def numbered_parts(path: Path) -> Parts | None:
    """The parts of a model one of which a file is, by its name; None for a whole one."""
    named = NUMBERED.fullmatch(path.name)
    if named is None or int(named["of"]) < 2:
        return None
    files = []
    for other in path.parent.iterdir():
        also = NUMBERED.fullmatch(other.name)
        if also and all(also[group] == named[group] for group in ("stem", "of", "ending")) and other.is_file():
            files.append(other)
    return Parts(int(named["of"]), sorted(files))


def why_no_whole(path: Path) -> str | None:
    """In a sentence, why a file alone is no model, and what gives the whole; None where its name says no such thing."""
    parts = numbered_parts(path)
    if parts is not None:
        return f"{path}: is one of {parts.of:,} parts of a model; {_whole(path, parts)}"
    for name, what in SLICES.items():
        beside = sorted(other for other in path.parent.iterdir() if name.fullmatch(other.name))
        if name.fullmatch(path.name) and len(beside) > 1:
            return (
                f"{path}: is one of {len(beside):,} parts of {what}, each with a slice of every matrix; give the model "
                "saved whole, as .safetensors"
            )
    return None


def _whole(path: Path, parts: Parts) -> str:
    ending = NUMBERED.fullmatch(path.name)["ending"]  # type: ignore[index]
    indexes = sorted(path.parent.glob(f"*.{ending}.index*.json"))
    if indexes:
        return f"give the index: tiedlm count-params {indexes[0]}"
    if parts.is_whole:
        return f"give the folder: tiedlm count-params {path.parent}"
    return f"only {listed([file.name for file in parts.files])} lies here, and no index; get all, and give their folder"

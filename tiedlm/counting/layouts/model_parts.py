"""One part of several: files that hold a piece of a model, told by their names, and the whole that they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tiedlm.errors import listed

NUMBERED = re.compile(
    r"(?=.*\d-of-|.*(?:part|shard|chunk)[-_.]?\d+_of_)"  # model_fold_1_of_5.pt is a whole
    r"(?P<stem>.*\D)(?P<number>\d+)[-_]of[-_](?P<of>\d+)(?P<variant>\.\w+)?\.(?P<ending>safetensors|bin|pt|pth)",
    re.ASCII,
)
"""`model-00001-of-00002.safetensors` (transformers and others), each a part of the tensors."""
BY_EPOCH = re.compile(r"hf_model_(?P<number>\d{4})_(?P<epoch>\d+)\.pt", re.ASCII)
"""Parts of which no name says how many there are (torchtune, `FullModelHFCheckpointer`)."""
LAYER = re.compile(r"layer_\d+-model_\d+-model_states\.pt", re.ASCII)
"""Of a pipeline, each with one layer (DeepSpeed, `PipelineModule.ckpt_layer_path`)."""
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
        if (
            also
            and all(also[group] == named[group] for group in ("stem", "of", "variant", "ending"))
            and other.is_file()
        ):
            files.append(other)
    return Parts(int(named["of"]), sorted(files))


def why_no_whole(path: Path) -> str | None:
    """In a sentence, why a file alone is no model, and what gives the whole; None where its name says no such thing."""
    parts = numbered_parts(path)
    if parts is not None:
        return f"{path}: is one of {parts.of:,} parts of a model; {_whole(path, parts)}"
    if LAYER.fullmatch(path.name):
        return f"{path}: is one layer of a DeepSpeed checkpoint; give the model saved whole, as .safetensors"
    epoch = BY_EPOCH.fullmatch(path.name)
    if epoch is not None:
        beside = sorted(path.parent.glob(f"hf_model_[0-9][0-9][0-9][0-9]_{epoch['epoch']}.pt"))
        if len(beside) > 1 or int(epoch["number"]) > 1:
            return f"{path}: is one of several parts of a model; give the model saved whole, as .safetensors"
    for name, what in SLICES.items():
        beside = sorted(other for other in path.parent.iterdir() if name.fullmatch(other.name))
        if name.fullmatch(path.name) and len(beside) > 1:
            return (
                f"{path}: is one of {len(beside):,} parts of {what}, each with a slice of every matrix; give the model "
                "saved whole, as .safetensors"
            )
    return None


def _whole(path: Path, parts: Parts) -> str:
    _, _, _, variant, ending = NUMBERED.fullmatch(path.name).groups("")  # type: ignore[union-attr]
    every = sorted(path.parent.glob(f"*.{ending}.index*.json"))
    indexes = [index for index in every if index.name.endswith(f".index{variant}.json")] or every
    if indexes:
        return f"give the index: tiedlm count-params {indexes[0]}"
    if parts.is_whole:
        return f"give the folder: tiedlm count-params {path.parent}"
    return f"only {listed([file.name for file in parts.files])} lies here, and no index; get all, and give their folder"

"""The copies of embeddings that an adapter holds, held to its base's where that lies on this disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiedlm.counting.stored.bit_comparison import Copies, compare_bits
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import group_of, is_known_matrix
from tiedlm.counting.stored.weight_files import FOLDER_WEIGHTS, read_weights
from tiedlm.errors import InputError

MODEL_PREFIX = "base_model.model."
"""Before the base's own names, in an adapter of the peft library."""
WRAPPERS = (".modules_to_save.default", ".modules_to_save", ".original_module", ".base_layer")
"""What `peft` puts between a module's name and its weight, around the module that it trains or adapts."""
EMBEDDINGS = "embeddings"
MATRICES = {"word_embeddings": EMBEDDINGS, "decoder_weight": "output matrix"}
"""The two matrices of a tie, by their groups."""
MAX_NAMES = 4
VERDICTS: dict[Copies, str] = {
    "identical": "bit for bit the base's",
    "different": "not the base's",
    "unknown": "not compared with the base's",
}


def base_name(tensor: StoredTensor) -> str:
    """The name that a tensor has in the base."""
    name = tensor.name
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name.removeprefix(MODEL_PREFIX)


def told_copies(copies: Sequence[StoredTensor], folder: Path, base: str) -> str:
    """Which of the two matrices are copied, and whether they are those of a base, which is named from `folder`.

    Raises:
        InputError: the base lies there and cannot be read.
    """
    originals = _base_tensors(folder, base) if copies else []
    names = {tensor.name: tensor for tensor in originals}
    shown: dict[str, list[str]] = {matrix: [] for matrix in MATRICES.values()}
    for copy in copies[:MAX_NAMES]:
        verdict = _verdict(copy, names.get(base_name(copy)), originals) if originals else "whose base does not lie here"
        shown[MATRICES[group_of(base_name(copy), copy.shape, None)]].append(f"{copy.name} ({verdict})")
    return "; ".join(
        f"copies of the {matrix} {', '.join(told)}" if told else f"no copies of the {matrix}"
        for matrix, told in shown.items()
        if told or matrix == EMBEDDINGS
    )


def _verdict(copy: StoredTensor, original: StoredTensor | None, base: Sequence[StoredTensor]) -> str:
    """Of a copy and the base's tensor of that name; a tied base has the one matrix under one of its names."""
    if original is None:
        matrices = [tensor for tensor in base if is_known_matrix(tensor.name)]
        if len(matrices) != 1:
            return "of which the base has none by that name"
        original = matrices[0]
    if copy.shape != original.shape:
        return f"of {copy.shape[0]:,} rows, the base's has {original.shape[0]:,}"
    if copy.dtype != original.dtype:
        return f"in {copy.dtype}, the base's is in {original.dtype}, so not compared"
    return f"{VERDICTS[compare_bits(copy, original)]} {original.name}"


def _base_tensors(folder: Path, base: str) -> list[StoredTensor]:
    """Those of a base in a folder on this disk, which may be named from the adapter's; else none."""
    for place in (Path(base), folder / base) if base else ():
        for file_name in FOLDER_WEIGHTS:
            try:
                if (place / file_name).is_file():
                    return read_weights(place / file_name).tensors
            except (OSError, ValueError) as error:
                raise InputError(f"{folder}: its base {base[:100]!r} cannot be read: {error}; correct it") from error
    return []

"""A LoRA adapter: small matrices beside a base model, which alone has embeddings to tie (Hu et al. 2022, §4)."""

from __future__ import annotations

from pathlib import Path

from tiedlm.counting.stored.bit_comparison import Copies, compare_bits
from tiedlm.counting.stored.json_file import read_json
from tiedlm.counting.stored.safetensors_header import StoredTensor, read_header, read_index
from tiedlm.counting.stored.tensor_kinds import is_known_matrix
from tiedlm.errors import InputError, printable

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE_WEIGHTS = {"model.safetensors": read_header, "model.safetensors.index.json": read_index}
PREFIX = "base_model.model."
"""Before the base's own names, in an adapter of the peft library."""
MAX_NAMES = 4
VERDICTS: dict[Copies, str] = {
    "identical": "bit for bit the base's",
    "different": "not the base's",
    "unknown": "not compared with the base's",
}


def adapter_sentence(folder: Path) -> str | None:
    """What the adapter of a folder holds and of which base it is; None where there is none.

    Raises:
        InputError: its files cannot be read.
    """
    if not (folder / CONFIG).is_file():
        return None
    raw = read_json(folder / CONFIG)
    base = str(raw.get("base_model_name_or_path") or "")
    tensors = read_header(folder / WEIGHTS)[0] if (folder / WEIGHTS).is_file() else []
    added = [tensor for tensor in tensors if ".lora_" in tensor.name]
    others = [tensor for tensor in tensors if ".lora_" not in tensor.name]
    told = [f"{sum(tensor.num_elements for tensor in added):,} parameters in {len(added)} matrices of low rank"]
    told += [f"further tensors {', '.join(tensor.name for tensor in others[:MAX_NAMES])}"] if others else []
    copies = [tensor for tensor in others if is_known_matrix(_base_name(tensor))]
    told += [_told_copies(copies, _base_tensors(folder, base))] if copies else ["no copies of the embeddings"]
    kind = printable(str(raw.get("peft_type", "PEFT"))[:20])
    named = printable(base[:100]) or "a base that it does not name"
    return f"{folder}: is an adapter ({kind}) of {named}, with {'; '.join(told)}; give its base, or the merged model"


def _told_copies(copies: list[StoredTensor], base: list[StoredTensor]) -> str:
    names = {tensor.name: tensor for tensor in base}
    shown = []
    for copy in copies[:MAX_NAMES]:
        verdict = _verdict(copy, names.get(_base_name(copy)), base) if base else "whose base does not lie here"
        shown.append(f"{copy.name} ({verdict})")
    return f"copies of the embeddings {', '.join(shown)}"


def _verdict(copy: StoredTensor, original: StoredTensor | None, base: list[StoredTensor]) -> str:
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


def _base_name(tensor: StoredTensor) -> str:
    name = tensor.name.replace(".modules_to_save.default", "").replace(".modules_to_save", "")
    return name.removeprefix(PREFIX)


def _base_tensors(folder: Path, base: str) -> list[StoredTensor]:
    """Those of a base in a folder on this disk, which may be named from the adapter's; else none."""
    for place in (Path(base), folder / base) if base else ():
        for file_name, read in BASE_WEIGHTS.items():
            try:
                if (place / file_name).is_file():
                    return read(place / file_name)[0]
            except (OSError, ValueError) as error:
                raise InputError(f"{folder}: its base {base[:100]!r} cannot be read: {error}; correct it") from error
    return []

"""A LoRA adapter: small matrices beside a base model, which alone has embeddings to tie (Hu et al. 2022, §4)."""

from __future__ import annotations

from pathlib import Path

from tiedlm.counting.json_file import read_json
from tiedlm.counting.safetensors_header import read_header
from tiedlm.counting.tensor_names import is_known_matrix
from tiedlm.errors import printable

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAX_NAMES = 4


def adapter_sentence(folder: Path) -> str | None:
    """What the adapter of a folder holds and of which base it is; None where there is none.

    Raises:
        InputError: its files cannot be read.
    """
    if not (folder / CONFIG).is_file():
        return None
    raw = read_json(folder / CONFIG)
    base = printable(str(raw.get("base_model_name_or_path") or "a base that it does not name")[:100])
    tensors = read_header(folder / WEIGHTS)[0] if (folder / WEIGHTS).is_file() else []
    added = [tensor for tensor in tensors if ".lora_" in tensor.name]
    others = [tensor.name for tensor in tensors if ".lora_" not in tensor.name]
    copies = [name for name in others if is_known_matrix(name.replace(".modules_to_save.default", ""))]
    told = [f"{sum(tensor.num_elements for tensor in added):,} parameters in {len(added)} matrices of low rank"]
    told += [f"further tensors {', '.join(others[:MAX_NAMES])}"] if others else []
    told += [f"copies of the embeddings {', '.join(copies[:MAX_NAMES])}" if copies else "no copies of the embeddings"]
    kind = printable(str(raw.get("peft_type", "PEFT"))[:20])
    return f"{folder}: is an adapter ({kind}) of {base}, with {'; '.join(told)}; give its base, or the merged model"

"""An adapter: small tensors beside a base model, which alone has embeddings to tie (LoRA: Hu et al. 2022, §4).

It is told by the names of its tensors, so that the file alone, its folder and a GGUF of it have one answer. The names
are those that `peft` 0.21 saves (`utils/save_and_load.py`, `tuners/*/model.py`), MLX, torchtune, kohya's scripts,
diffusers, `adapters`, P-tuning v2 and llama.cpp (`convert_lora_to_gguf.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiedlm.counting.layouts.adapter_base import MODEL_PREFIX, base_name, told_copies
from tiedlm.counting.stored.json_file import read_json
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import group_of, is_known_matrix
from tiedlm.counting.stored.torch_archive import UnreadArchive
from tiedlm.counting.stored.weight_files import read_weights
from tiedlm.errors import listed, printable

CONFIG = "adapter_config.json"
FILES = ("adapter_model.safetensors", "adapter_model.bin", "adapters.safetensors", "pytorch_adapter.bin")
PREFIX = "base_model."
"""Before every name that `peft` saves, but prompts'."""
OWN_PARTS = {  # what the part of a name that is the adapter's own begins with → what the adapter is
    "lora_magnitude_vector": "DoRA",
    "lora_": "LoRA",
    "ia3_": "IA3",
    "prompt_embeddings": "prompt or prefix tuning",
    "prefix_task_": "prompt tuning",
    "trainable_tokens_": "trained rows of the embeddings",
    "vera_": "VeRA",
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "boft_": "BOFT",
    "ln_tuning_": "trained norms",
    "adaption_": "adaption prompts",
    "prefix_encoder": "prefix tuning",
    "adapter_": "bottlenecks",
}
SHORT_NAMES = {"LORA": "LoRA", "ADALORA": "AdaLoRA", "VERA": "VeRA", "LOHA": "LoHa", "LOKR": "LoKr"}
"""Of `peft_type`, as their papers write them; the others are acronyms or plain words."""
TUNERS = (
    "lora ia3 vera hada lokr oft boft ln_tuning adaption trainable_tokens prompt prefix_task adamss beft bone c3a deft "
    "delora fourierft frod glora gralora hira hra lily miss osf peanut poly psoft pvera randlora road shadow shira "
    "supertuning tinylora unilora vblora waveft internal_xlora"
).split()
WITH_PREFIX = re.compile(rf"(?:^|\.)((?:{'|'.join(TUNERS)})_\w+)", re.ASCII)
"""Parts that each method of `peft` gives names to (`prefix` of its tuners)."""
WITHOUT_PREFIX = re.compile(
    r"(?:^|\.)(lora_[AaBbE]|lora_embedding_[AB]|lora_(?:down|up)|lora_magnitude_vector|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?"
    r"|ia3_l|trainable_tokens_delta|prompt_embeddings|prefix_task_(?:rows|cols)|prefix_encoder|adaption_(?:gate|prompt)"
    r"|adapter_(?:down|up))(?:\.|$)",
    re.ASCII,
)
LAYERS = ("encoder_layers", "decoder_layers", "layers")


def adapter_sentence(place: Path, tensors: Sequence[StoredTensor], is_named: bool = False) -> str | None:
    """What an adapter holds and of which base it is; None where the tensors are a model's.

    `place` is its file or folder. Its `adapter_config.json` names its base; without it the names of the tensors tell
    what it is. `is_named` says that its files are called an adapter's, whatever their tensors are called.

    Raises:
        InputError: its configuration, or its base on this disk, cannot be read.
    """
    own = {tensor.name: part for tensor in tensors if (part := _own_part(tensor.name)) is not None}
    is_peft = any(tensor.name.startswith(PREFIX) for tensor in tensors)
    if not is_named and (not (own or is_peft) or _has_base(tensors, own, is_peft)):
        return None
    folder = place if place.is_dir() else place.parent
    raw = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    keys = ("base_model_name_or_path", "model", "model_name")  # of peft, MLX and the adapters library
    base = str(next(filter(None, map(raw.get, keys)), ""))
    kind = _kind(raw, own)
    added = [tensor for tensor in tensors if tensor.name in own]
    others = [tensor for tensor in tensors if tensor.name not in own]
    number = sum(tensor.num_elements for tensor in added)
    told = [f"{number:,} parameters in {_what(added, own)}" if tensors else "weights that do not lie here"]
    told += [f"further tensors {listed([tensor.name for tensor in others])}"] if others else []
    rows = [tensor for tensor in added if own[tensor.name].startswith("trainable_tokens_")]
    told += [f"{tensor.shape[0]:,} rows of the embeddings ({tensor.name})" for tensor in rows[:1] if tensor.shape]
    copies = [tensor for tensor in others if is_known_matrix(base_name(tensor))]
    told += [told_copies(copies, folder, base)] if tensors else []
    named = printable(base[:100]) or "a base that it does not name"
    return f"{place}: is an adapter ({kind}) of {named}, with {'; '.join(told)}; give its base, or the merged model"


def folder_sentence(folder: Path) -> str:
    """The same of a folder with an adapter's files, whose weights may be missing.

    Raises:
        InputError: its files cannot be read.
    """
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    try:
        tensors = [] if file is None else read_weights(file).tensors
    except UnreadArchive as error:
        return f"{folder}: is an adapter, whose tensors are not known: {error}"
    sentence = adapter_sentence(folder, tensors, is_named=True)
    assert sentence is not None
    return sentence


def _own_part(name: str) -> str | None:
    """The part of a name that an adapter gave it: `lora_A` of `base_model.model.….q_proj.lora_A.weight`."""
    found = WITHOUT_PREFIX.search(name)
    if found is None and name.startswith(PREFIX):
        found = WITH_PREFIX.search(name, len(PREFIX) - 1)
    return None if found is None else found[1]


def _kind(raw: Mapping[str, Any], own: Mapping[str, str]) -> str:
    stated = raw.get("peft_type")
    if raw.get("use_dora") is True or raw.get("fine_tune_type") == "dora":
        return "DoRA"
    if isinstance(stated, str) and stated:
        words = stated.lower().replace("_", " ") if "_" in stated else stated
        return SHORT_NAMES.get(stated) or printable(words[:30])
    parts = set(own.values())
    return next((what for begins, what in OWN_PARTS.items() if any(part.startswith(begins) for part in parts)), "PEFT")


def _what(added: Sequence[StoredTensor], own: Mapping[str, str]) -> str:
    if added and all(own[tensor.name].startswith("lora_") and len(tensor.shape) == 2 for tensor in added):
        return f"{len(added):,} matrices of low rank"
    return f"{len(added):,} tensor{'' if len(added) == 1 else 's'} of its own"


def _has_base(tensors: Sequence[StoredTensor], own: Mapping[str, str], is_peft: bool) -> bool:
    """Whether the base's layers are stored too: Phi-4-multimodal and jina-embeddings-v3 hold adapters in the model."""
    layers = [
        tensor
        for tensor in tensors
        if tensor.name not in own and len(tensor.shape) > 1 and group_of(tensor.name, tensor.shape, None) in LAYERS
    ]
    if not is_peft:
        added = sum(tensor.num_elements for tensor in tensors if tensor.name in own)
        return sum(tensor.num_elements for tensor in layers) > added
    modules = {base_name(tensor).rpartition(".")[0] for tensor in layers}
    adapted = {_module(name, part) for name, part in own.items()} - {""}
    return bool(layers) and (bool(adapted) or not own) and adapted <= modules


def _module(name: str, part: str) -> str:
    """The module that an adapter's tensor belongs to, by the base's name, if it is one of a layer."""
    module = name[: name.index(part)].rstrip(".").removeprefix(MODEL_PREFIX)
    return module if group_of(f"{module}.weight", (1, 1), None) in LAYERS else ""

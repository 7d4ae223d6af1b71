"""GGUF files that are no model: adapters, projectors, statistics, each in a sentence (`gguf`, `constants.py`)."""

from __future__ import annotations

from pathlib import Path

from tiedlm.counting.stored.gguf_header import GgufModel
from tiedlm.errors import listed, printable

ADAPTER_ENDS = (".lora_a", ".lora_b", ".loraA", ".loraB")
NO_MODELS = {
    "mmproj": "the projector of a multimodal model, which has no vocabulary; give the file of its language model",
    "imatrix": "statistics for quantising (an importance matrix), not weights; give the model",
    "controlvector": "a control vector, which is added to hidden states; give the model",
    "clip": "the projector of a multimodal model, which has no vocabulary; give the file of its language model",
}
"""Value of `general.type` or of `general.architecture` → what the file is."""
SHORT_NAMES = {"lora": "LoRA"}


def gguf_sentence(path: Path, model: GgufModel) -> str | None:
    """What a file is that is no model, and what to give instead; None for a model."""
    kind, architecture = model.metadata.get("general.type"), model.architecture
    own = [tensor for tensor in model.tensors if tensor.name.endswith(ADAPTER_ENDS)]
    if kind == "adapter" or (own and len(own) == len(model.tensors)):
        return _adapter(path, model)
    told = next((NO_MODELS[said] for said in (kind, architecture) if said in NO_MODELS), None)
    if told is not None:
        return f"{path}: is {told}"
    if not model.tensors:
        return f"{path}: holds no tensors (a vocabulary alone, or the first of several files); give the model"
    return None


def _adapter(path: Path, model: GgufModel) -> str:
    own = [tensor for tensor in model.tensors if tensor.name.endswith(ADAPTER_ENDS)]
    others = [tensor for tensor in model.tensors if tensor not in own]
    stated = str(model.metadata.get("adapter.type") or "lora")
    base = next(
        (
            model.metadata[key]
            for key in ("general.base_model.0.repo_url", "general.base_model.0.name")
            if isinstance(model.metadata.get(key), str)
        ),
        "",
    )
    named = printable(base[:100]) or "a base that it does not name"
    number = sum(tensor.num_elements for tensor in own)
    further = f"; further tensors {listed([tensor.name for tensor in others])}" if others else ""
    return (
        f"{path}: is an adapter ({SHORT_NAMES.get(stated, printable(stated[:20]))}) of {named}, with {number:,} "
        f"parameters in {len(own):,} matrices of low rank{further}; give its base, "
        "or the merged model"
    )

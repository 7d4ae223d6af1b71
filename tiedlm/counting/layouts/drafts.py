"""A draft for speculative decoding: layers that guess what a target model says, and share its matrices.

EAGLE (Li et al. 2024) and EAGLE-3 (2025), Medusa heads (Cai et al. 2024), DFlash and MLP speculators. Their files hold
one of the two matrices, or none: the other is the target's, and no tie is broken where it lacks. Names are those of
SpecForge, EAGLE's and Medusa's repositories, and `speculators` and vLLM (`transformers_utils/configs/eagle.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiedlm.counting.closed_forms.configuration import named_class
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.errors import printable

CLASSES = {
    "eagle3": "EAGLE-3",
    "eagle": "EAGLE",
    "medusa": "Medusa",
    "dflash": "DFlash",
    "mlpspeculator": "MLP speculator",
    "speculator": "speculator",
    "draftmodel": "speculative draft",
    "nextn": "multi-token prediction",
    "mtp": "multi-token prediction",
}
"""What the name of a class, or a type, has in it → the method."""
TYPE_KEYS = ("speculators_model_type", "model_type")
OTHERS_KEYS = ("vision_config", "mm_vision_tower")
"""Models that see have the name of Eagle too (NVIDIA's Eagle X5 and 2.5), and are whole."""
DRAFT_KEYS = ("draft_vocab_size", "medusa_num_heads", "eagle_config", "speculators_config", "truncated_vocab_size")
"""Keys that only the configuration of a draft has."""
VOCABULARY_MAPS = ("d2t", "t2d")
"""From the draft's vocabulary to the target's, and back."""
FIRST_LAYER = re.compile(r"(model\.)?(layers\.0|midlayer)\.", re.ASCII)
MEDUSA_HEAD = re.compile(r"(medusa_head\.)?\d+\.\d+\.linear\.weight", re.ASCII)
ANY_LAYER = re.compile(r"(?:.*\.)?(?:layers\.\d+|midlayer)\.", re.ASCII)
FUSION = re.compile(r"(model\.)?(fc|eagle_fc|eagle_module\.fc)\.weight", re.ASCII)


@dataclass(frozen=True)
class Draft:
    """What is known of one."""

    method: str
    target: str | None
    """The model that it guesses for, where its configuration names it."""


def draft_of(tensors: Sequence[StoredTensor], config: Mapping[str, Any] | None) -> Draft | None:
    """Which draft a file is, by its configuration or its tensors; None for any other model."""
    raw = config or {}
    if any(key in raw for key in OTHERS_KEYS):
        return None
    words = [named_class(raw) or "", *(str(raw.get(key) or "") for key in TYPE_KEYS)]
    said = next((method for word, method in CLASSES.items() if any(word in told.lower() for told in words)), None)
    method = (
        said or _told_by_tensors(tensors) or ("speculative draft" if any(key in raw for key in DRAFT_KEYS) else None)
    )
    return None if method is None else Draft(method, _target(raw))


def _told_by_tensors(tensors: Sequence[StoredTensor]) -> str | None:
    names = {tensor.name.rpartition(".")[2] for tensor in tensors}
    if names & set(VOCABULARY_MAPS) or any(tensor.name.startswith("midlayer.") for tensor in tensors):
        return CLASSES["eagle3"]
    if any(MEDUSA_HEAD.fullmatch(tensor.name) for tensor in tensors):
        return CLASSES["medusa"]
    has_layer = any(FIRST_LAYER.match(tensor.name) for tensor in tensors)
    return CLASSES["eagle"] if has_layer and any(_is_fusion(tensor, tensors) for tensor in tensors) else None


def _is_fusion(tensor: StoredTensor, beside: Sequence[StoredTensor]) -> bool:
    """Whether it maps several hidden states of the target, or one and an embedding, to one: H × 2H, or 3H.

    A small language model's output matrix may be called so too, V × H; then another table has a row for each word.
    """
    if not FUSION.fullmatch(tensor.name) or len(tensor.shape) != 2 or 0 in tensor.shape:
        return False
    rows, columns = tensor.shape
    tables = [other for other in beside if len(other.shape) == 2 and not ANY_LAYER.match(other.name)]
    has_vocabulary = any(table.shape[0] == rows for table in tables if table is not tensor)
    return columns % rows == 0 and columns // rows in (2, 3, 4) and not has_vocabulary


def _target(raw: Mapping[str, Any]) -> str | None:
    speculators = raw.get("speculators_config")
    verifier = speculators.get("verifier") if isinstance(speculators, Mapping) else None
    named = verifier.get("name_or_path") if isinstance(verifier, Mapping) else raw.get("base_model_name_or_path")
    return printable(named[:100]) if isinstance(named, str) and named else None

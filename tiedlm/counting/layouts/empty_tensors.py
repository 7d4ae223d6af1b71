"""Files that were saved while their tensors lay elsewhere: what they hold is one process's share, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import is_packed, kind_of_buffer

MAX_NAMES = 2


def empty_sentence(source: str, tensors: Sequence[StoredTensor]) -> str | None:
    """That weights are empty, as DeepSpeed's ZeRO-3 and FSDP leave them on one process; None where none is.

    ZeRO-3 keeps parameters of few elements whole and the others as shape [0] (DeepSpeed, `partition_parameters.py`), so
    embeddings, norms and biases may be there.
    """
    empty = [tensor for tensor in tensors if _is_empty_weight(tensor)]
    if not empty or any(is_packed(tensor) for tensor in tensors):  # a packed weight may leave an empty one behind
        return None
    number = sum(tensor.num_elements for tensor in tensors)
    shown = ", ".join(tensor.name for tensor in empty[:MAX_NAMES])
    return (
        f"{source}: {len(empty):,} of its {len(tensors):,} tensors are empty (shape [0], e.g. {shown}), as DeepSpeed's "
        f"ZeRO-3 and FSDP leave them where one process saves its share; it holds {number:,} numbers, which are not the "
        "model; gather the weights (python zero_to_fp32.py CHECKPOINT OUT, which DeepSpeed puts into the checkpoint), "
        "and give those"
    )


def _is_empty_weight(tensor: StoredTensor) -> bool:
    is_weight = tensor.name.endswith((".weight", ".bias"))
    return tensor.shape == (0,) and is_weight and tensor.is_floating and kind_of_buffer(tensor) is None

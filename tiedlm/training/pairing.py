"""What the arms of one seed share, as hashes of what was used: so that their pairing is proved, not promised."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from tiedlm.data.masking import fold_ranks
from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.masked_lm import MaskedLM

ROOT = hashlib.sha256().hexdigest()


class BatchChain:
    """Hashes of all batches so far: of which blocks, and of what was masked in them by what.

    Each step's hash is over the one before it and the step's batch, so that 64 characters in a checkpoint are enough to
    go on from.
    """

    def __init__(self, order_sha256: str = ROOT, masks_sha256: str = ROOT) -> None:
        self.order_sha256, self.masks_sha256 = order_sha256, masks_sha256

    def add(self, rows: Tensor, batch: MaskedBatch) -> None:
        """The next batch: the indices (B,) of its blocks, and the blocks as they were masked."""
        self.order_sha256 = _sha256(self.order_sha256, rows)
        self.masks_sha256 = _sha256(
            self.masks_sha256, batch.input_ids, batch.masked_lm_positions, batch.masked_lm_ids, batch.masked_lm_weights
        )


def start_values(model: MaskedLM) -> dict[str, str]:
    """Name → shape and SHA-256 of every tensor of an untrained model; one that is shared has its first name.

    Rows that a file says are among them, as nothing else of a record tells which they were.
    """
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    if model.intervention.output_rows == "map" and model.head.output_rows is not None:
        tensors["head.output_rows"] = model.head.output_rows
    return {
        name: f"{'×'.join(map(str, tensor.shape))} {_sha256('', tensor.detach())}" for name, tensor in tensors.items()
    }


def eval_masks(blocks: Tensor, eval_mask_seed: int) -> str:
    """SHA-256 of the folds by which (N, T) blocks are evaluated."""
    return _sha256("", fold_ranks(blocks, eval_mask_seed))


def _sha256(before: str, *tensors: Tensor) -> str:
    digest = hashlib.sha256(before.encode())
    for tensor in tensors:
        digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

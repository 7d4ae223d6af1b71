"""The parts of a record on where a run came from: text, code, machine, what it shares with its pair, and its cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tiedlm.config.strict import NeutralUnwritten, Strict
from tiedlm.masked_batch import SPECIAL_TOKENS
from tiedlm.record.metrics import Count

Seconds = Annotated[float, Field(ge=0.0)]
DesignOption = Literal["to-within", "tune", "scan", "contrasts"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Data(Strict):
    """Which text and which tokens."""

    corpus: str
    text_sha256: dict[str, Sha256]
    num_tokens: dict[str, Annotated[Count, Field(gt=0)]]
    tokenizer_sha256: Sha256
    vocab_size: Annotated[Count, Field(gt=len(SPECIAL_TOKENS))]


class Cost(Strict):
    """What the run took; evaluation is not counted as training."""

    train_seconds: Seconds
    tokens_per_second: Seconds
    total_seconds: Seconds
    peak_memory_bytes: Count
    checkpoint_bytes: Count


class Pairing(Strict):
    """Hashes of what the arms of one seed share, taken as it was used."""

    start_values: dict[str, str]
    """Of the untrained model, by name: shape and SHA-256 of each tensor."""
    order_sha256: Sha256
    """Of the blocks of all batches, in their order."""
    masks_sha256: Sha256
    """Of all batches as they were masked."""
    eval_masks_sha256: dict[str, Sha256]
    """Of the folds by which a split is evaluated."""


class Code(Strict):
    """What a run was made by."""

    tiedlm_version: str
    git_commit: str | None
    """Of the checkout, when the run began."""
    git_dirty: bool | None
    """Whether the commit is not all of it: files were changed, or the run went on from one of other code."""
    python: str
    torch: str


class Provenance(Code, NeutralUnwritten):
    """Where the run came from; `device` and `precision` must agree between the runs of a comparison."""

    command: str
    finished_at: str
    device: str
    processor: str
    precision: str
    num_threads: Count
    num_ranks: Annotated[int, Field(gt=0)] = 1
    """Processes that trained it together, each on a part of every batch (`torchrun`)."""

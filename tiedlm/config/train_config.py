"""The recipe of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.strict import Probability, Size, Strict

# What all arms must share for "steps and tokens are equal" and "the same masks" to hold.
SHARED_TRAIN_KEYS = ("num_steps", "batch_size", "mlm_probability", "num_evaluations", "eval_mask_seed")


class TrainConfig(Strict):
    """The recipe; the same for all arms unless an arm says otherwise."""

    num_steps: Size
    """Optimizer steps."""
    batch_size: Size
    """Blocks a step."""
    mlm_probability: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of each block predicted in training; evaluation always masks folds of about 15 %."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """AdamW's peak rate, for the embeddings and the output matrix."""
    norm_and_bias_learning_rate: Annotated[float, Field(gt=0.0)]
    """For what is no matrix; by AdamW, like the embeddings and the output matrix."""
    muon_learning_rate: Annotated[float, Field(ge=0.0)]
    """For the matrices between the embeddings and the output matrix, by Muon; 0 leaves them to AdamW."""
    adam_beta1: Probability
    """Decay of AdamW's first moment."""
    adam_beta2: Probability
    """Decay of AdamW's second moment."""
    adam_epsilon: Annotated[float, Field(gt=0.0)]
    """Added to the root of AdamW's second moment: it damps what has tiny gradients, such as the rows of rare tokens
    between their occurrences. BERT has 1e-6 (google-research/bert, `optimization.py`), PyTorch by default 1e-8."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Decoupled, of matrices alone."""
    warmup_fraction: Probability
    """Linear warm-up over this share of the steps, then linear decay to zero."""
    max_grad_norm: Annotated[float, Field(gt=0.0)]
    """Of all gradients together, beyond which they are scaled down."""
    num_evaluations: Annotated[int, Field(gt=0, le=10_000)]
    """Points of the learning curve after the one at step 0; never more than there are steps."""
    eval_mask_seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Of the masks of every evaluation."""

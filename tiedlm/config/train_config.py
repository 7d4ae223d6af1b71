"""The keys of `[train]`: steps, batches, masks, optimizers and schedule."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.strict import Probability, Size, Strict

# What all arms must share for "steps and tokens are equal" and "the same masks" to hold.
SHARED_TRAIN_KEYS = ("num_steps", "batch_size", "mlm_probability", "num_evaluations", "eval_mask_seed")


class TrainConfig(Strict):
    """The recipe; the same for all arms unless an arm says otherwise."""

    num_steps: Size
    """Optimizer steps. All rates rise linearly over the warm-up, then fall linearly towards zero at the last step."""
    batch_size: Size
    """Blocks a step, from a new shuffle in each epoch."""
    mlm_probability: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of each block predicted in training, one token at least: 80 % of these become `[MASK]`, 10 % a random token
    (no special one) and 10 % stay. BERT has 0.15. Evaluation always masks folds of about 15 %."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """AdamW's peak rate, for the embeddings and the output matrix. A tied matrix is one parameter and is updated
    once."""
    norm_and_bias_learning_rate: Annotated[float, Field(gt=0.0)]
    """AdamW's peak rate for what is no matrix: LayerNorms and biases, the output bias among them."""
    muon_learning_rate: Annotated[float, Field(ge=0.0)]
    """Muon's peak rate, for the matrices between the embeddings and the output matrix: those of the encoder's layers
    and of `head_transform`. 0 leaves them to AdamW."""
    adam_beta1: Probability
    """Decay of AdamW's first moment."""
    adam_beta2: Probability
    """Decay of AdamW's second moment."""
    adam_epsilon: Annotated[float, Field(gt=0.0)]
    """Added to the root of AdamW's second moment: it damps what has tiny gradients, such as the rows of rare tokens
    between their occurrences. BERT has 1e-6 (google-research/bert, `optimization.py`), PyTorch by default 1e-8."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Decoupled, of matrices alone, by AdamW and by Muon."""
    warmup_fraction: Probability
    """Share of the steps over which all rates rise from near zero to their peaks."""
    max_grad_norm: Annotated[float, Field(gt=0.0)]
    """L2 norm of all gradients together, beyond which they are scaled down to it."""
    num_evaluations: Annotated[int, Field(gt=0, le=10_000)]
    """Points of the learning curve after the one at step 0; never more than there are steps. Each is one fold of at
    most 32,768 tokens of train and as many of valid."""
    eval_mask_seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Seed of the masks of every evaluation: the positions of a block are cut into seven folds, each of which is
    replaced by `[MASK]` and predicted, so that every token of a split is predicted once."""

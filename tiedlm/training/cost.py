"""What a run will cost, said before it is made: the tokens that it reads, its parameters, and the memory it needs."""

from __future__ import annotations

from dataclasses import dataclass

from tiedlm.config.run_config import RunConfig
from tiedlm.counting.closed_forms.parameter_bytes import TRAINING_RECIPES
from tiedlm.data.masking import NUM_FOLDS
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.model.partial_tie import untied_rows
from tiedlm.record.run_parameters import run_parameters
from tiedlm.record.trained_on import trained_on
from tiedlm.training.monitor import CURVE_TOKENS

BYTES_PER_PARAMETER = TRAINING_RECIPES["float32"].total
BYTES_PER_ACTIVATION = 2  # at least, in bf16


@dataclass(frozen=True)
class ExpectedCost:
    """Of one run. What it took in the end is in its record."""

    train_tokens: int
    """Read in training, padding of short blocks included."""
    evaluation_tokens: int
    """Read in evaluations: of each point of the learning curve, and of valid and test in folds at the end."""
    parameters: int
    """Of the model at the end of training, which may have been untied by then."""
    state_bytes: int
    """Weights, gradients and optimizer states."""
    activation_bytes: int
    """At least, of what a step keeps for its backward pass."""


def expected_cost(config: RunConfig, corpus: TokenizedCorpus) -> ExpectedCost:
    """The cost of a run on a text."""
    train, num_tokens, intervention = config.train, corpus.num_tokens, config.intervention
    num_untied_rows = len(untied_rows(intervention, corpus.token_counts("train"))) if intervention.ties_some_rows else 0
    of_a_point = sum(min(CURVE_TOKENS, num_tokens[split]) for split in ("train", "valid"))
    at_the_end = NUM_FOLDS * (num_tokens["valid"] + num_tokens["test"])
    parameters = sum(run_parameters(config, corpus.vocab_size, num_untied_rows).values())
    return ExpectedCost(
        train_tokens=trained_on(config, num_tokens).num_tokens_read,
        evaluation_tokens=(train.num_evaluations + 1) * of_a_point + at_the_end,
        parameters=parameters,
        state_bytes=BYTES_PER_PARAMETER * parameters,
        activation_bytes=_activation_bytes(config),
    )


def _activation_bytes(config: RunConfig) -> int:
    """Of each layer the inputs of its linear maps, queries, keys and values, and both halves of the feed-forward.

    These are terms of the sum of Korthikanti et al. 2022 (Reducing Activation Recomputation, section 4.1), without
    those that a library may spare.
    """
    model, tokens = config.model, config.train.batch_size * config.corpus.seq_length
    of_a_layer = 6 * model.hidden_size + 2 * model.intermediate_size
    return BYTES_PER_ACTIVATION * tokens * model.num_hidden_layers * of_a_layer

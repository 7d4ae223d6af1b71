"""What runs are trained on: how many tokens there are, and how many times they are read."""

from __future__ import annotations

from collections.abc import Mapping

from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import Strict


class TrainedOn(Strict):
    """The text of a run; the same for all runs of a comparison."""

    num_tokens: dict[str, int]
    """By split; of train those that are trained on, which `corpus.fraction` may make a part of it."""
    num_steps: int
    num_tokens_read: int
    """In training, by one run, padding of short blocks included."""
    epochs: float
    """How many times train is read: `num_tokens_read` over its tokens."""


def trained_on(config: RunConfig, num_tokens: Mapping[str, int]) -> TrainedOn:
    """What a run of this configuration is trained on, where the splits have so many tokens."""
    corpus, train = config.corpus, config.train
    num_train = num_tokens["train"]
    if corpus.fraction < 1.0:  # whole blocks of it
        num_train = min(num_train, corpus.num_train_blocks(num_train) * corpus.seq_length)
    num_tokens_read = train.num_steps * train.batch_size * corpus.seq_length
    return TrainedOn(
        num_tokens={**num_tokens, "train": num_train},
        num_steps=train.num_steps,
        num_tokens_read=num_tokens_read,
        epochs=num_tokens_read / num_train,
    )

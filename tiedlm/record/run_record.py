"""RunRecord: what one run leaves behind, enough to say what was run and how good it is.

Reports are generated from records and from nothing else.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import to_json

from tiedlm.config.corpus_config import EVALUATED_SPLITS, SPLITS
from tiedlm.config.experiment import Overrides
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import Name, Strict
from tiedlm.record.curve_point import CurvePoint
from tiedlm.record.metrics import Count, SplitMetrics
from tiedlm.record.origin import Cost, Data, DesignOption, Pairing, Provenance, Sha256
from tiedlm.record.run_id import RunId

SCHEMA_VERSION: Literal[6] = 6
OVERFIT_NATS = 0.5  # below the unigram level on train; who has learned little else is 0.03 to 0.12 below it


def has_overfit(train_loss_nats: float, unigram_perplexity: float) -> bool:
    """Whether a model that token frequencies beat has learned its train split, rather than next to nothing."""
    return train_loss_nats < math.log(unigram_perplexity) - OVERFIT_NATS


def why_worse_than_unigram(perplexity: float, unigram_perplexity: float, train_loss_nats: float) -> str | None:
    """What is wrong with a model that token frequencies beat, and what to do; None if they do not."""
    if perplexity < unigram_perplexity:
        return None
    if has_overfit(train_loss_nats, unigram_perplexity):
        return "has overfit, so train for fewer steps or on more text"
    return "has hardly learned anything yet, so train longer"


def document_sha256(document: dict[str, Any]) -> str:
    """The digest of a record's JSON, of whatever schema, but for the digest itself.

    Raises:
        PydanticSerializationError: it holds half of a character.
    """
    return hashlib.sha256(to_json({key: value for key, value in document.items() if key != "sha256"})).hexdigest()


class RunRecord(Strict):
    """One arm, one seed."""

    schema_version: Literal[6]
    experiment: Name
    arm: Name
    seed: Count
    overrides: Overrides
    """What the arm changes in the experiment."""
    config: RunConfig
    """The arm's full configuration, overrides applied."""
    data: Data
    text_source: str
    """Where the text came from; runs on one text from two places may be compared."""
    parameters: dict[str, Count]
    """Stored parameters by group, measured on the model; `decoder_weight` is 0 when it is the embedding table."""
    metrics: dict[str, SplitMetrics]
    curve: Annotated[list[CurvePoint], Field(min_length=1)]
    pairing: Pairing | None
    """None in records that are older than it: there pairing is promised by the code and not proved."""
    model_sha256: Sha256 | None
    """Of the file of its model, so that no other is taken for it. None in records that are older than it."""
    design_sha256: dict[DesignOption, Sha256] | None = None
    """Of each design that led to the run, by the option that made it, and of the experiment's contrasts; None where
    there was none, and in records that are older than it."""
    cost: Cost
    provenance: Provenance
    sha256: str = ""
    """Of all the above as it was written, so that what was changed afterwards is no record."""

    def __repr__(self) -> str:
        """In a line; every field is in `model_dump()`."""
        perplexities = ", ".join(f"{split} {found.masked_lm_perplexity:.4g}" for split, found in self.metrics.items())
        return f"{self.experiment}: {self.run}, perplexity {perplexities}"

    __str__ = __repr__

    def why_worse_than_unigram(self, split: str) -> str | None:
        """The same of this model on a split."""
        metrics, train_loss_nats = self.metrics[split], self.curve[-1].train_loss_nats
        return why_worse_than_unigram(metrics.masked_lm_perplexity, metrics.unigram_perplexity, train_loss_nats)

    @model_validator(mode="after")
    def _proves_its_arm(self) -> Self:
        stored = self.parameters.get("decoder_weight", -1)
        ties = self.config.trained_model.tie_word_embeddings
        of_some_rows = self.config.intervention.ties_some_rows  # of all, no parameter is left
        if stored < 0 or (ties != (stored == 0) and not of_some_rows):
            raise ValueError(
                f"tie_word_embeddings={ties} at the end of training, but the model stored "
                f"decoder_weight={self.parameters.get('decoder_weight')}"
            )
        config = self.config.every_key()
        for section, values in self.overrides.items():
            for key, value in values.items():
                place = f"{section}.{key}"
                if place not in config or config[place] != value:
                    raise ValueError(f"overrides say {place}={value!r}, config says {config.get(place)!r}")
        if set(self.metrics) != set(EVALUATED_SPLITS):
            raise ValueError(f"metrics are of {sorted(self.metrics)}, not of valid and test")
        return self

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """Facts that a record states in two places."""
        seq_length, train = self.config.corpus.seq_length, self.config.train
        if self.pairing is not None and set(self.pairing.eval_masks_sha256) != set(self.metrics):
            raise ValueError(f"pairing is of {sorted(self.pairing.eval_masks_sha256)}, not of valid and test")
        if set(self.data.num_tokens) != set(SPLITS) or set(self.data.text_sha256) != set(SPLITS):
            raise ValueError(f"data are of {sorted(self.data.num_tokens)}, not of {', '.join(SPLITS)}")
        for split, metrics in self.metrics.items():
            num_tokens = self.data.num_tokens[split]
            *whole, last = metrics.block_num_tokens or [0]
            num_whole, rest = divmod(num_tokens - 1, seq_length)
            if len(whole) != num_whole or set(whole) - {seq_length} or last != rest + 1:
                raise ValueError(f"the blocks of {split} are not those of {num_tokens} tokens at {seq_length} a block")
        steps = [point.step for point in self.curve]
        if steps != sorted(set(steps)) or steps[0] != 0 or steps[-1] != train.num_steps:
            raise ValueError(f"curve has the steps {steps[:20]}, not some from 0 to {train.num_steps}")
        for point in self.curve:
            if point.num_tokens != point.step * train.batch_size * seq_length:
                raise ValueError(f"curve: step {point.step} is not after {point.num_tokens} tokens")
        return self

    def sealed(self) -> RunRecord:
        """The same with its `sha256`."""
        return self.model_copy(update={"sha256": document_sha256(self.model_dump())})

    @property
    def run(self) -> RunId:
        """Of which run it is."""
        return RunId(self.arm, self.seed)

    @property
    def file_name(self) -> str:
        """What its file is called in the folder of the runs."""
        return self.run.record_file

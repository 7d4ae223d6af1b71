"""One run: model, corpus and recipe, which must fit each other."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.config.model_config import ModelConfig
from tiedlm.config.strict import Strict
from tiedlm.config.train_config import TrainConfig


class RunConfig(Strict):
    """One arm's full configuration."""

    model: ModelConfig
    corpus: CorpusConfig
    train: TrainConfig

    @property
    def trained_model(self) -> ModelConfig:
        """The model at the end of training, which may have been untied by then."""
        stays = self.train.untie_step is None
        return self.model if stays else self.model.model_copy(update={"tie_word_embeddings": False})

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.corpus.seq_length > self.model.max_position_embeddings:
            raise ValueError(
                f"corpus.seq_length={self.corpus.seq_length} exceeds "
                f"model.max_position_embeddings={self.model.max_position_embeddings}; lower the one or raise the other"
            )
        if self.train.tied_fraction < 1.0 and not self.model.tie_word_embeddings:
            raise ValueError(
                f"train.tied_fraction={self.train.tied_fraction} is of a tied model, and this one is not; set it in "
                "the arm that it is for"
            )
        if self.model.output_matrix_start == "copied" and self.model.tie_word_embeddings:
            raise ValueError(
                "model.output_matrix_start='copied' is of an untied model, and this one is tied; set it in the arm "
                "that it is for"
            )
        return self

"""One run: model, corpus, recipe and intervention, which must fit each other."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.config.interventions import PLAIN, Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.config.strict import NeutralUnwritten, Strict
from tiedlm.config.train_config import TrainConfig


class RunConfig(Strict):
    """One arm's full configuration."""

    sections_unwritten_where_empty: ClassVar[tuple[str, ...]] = ("intervention",)

    model: ModelConfig
    corpus: CorpusConfig
    train: TrainConfig
    intervention: Intervention = PLAIN
    """What is changed to separate causes; not written where it is nothing."""

    @property
    def trained_model(self) -> ModelConfig:
        """The model at the end of training, which may have been untied by then."""
        stays = self.intervention.untie_step(self.train.num_steps) is None
        return self.model if stays else self.model.model_copy(update={"tie_word_embeddings": False})

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.corpus.seq_length > self.model.max_position_embeddings:
            raise ValueError(
                f"corpus.seq_length={self.corpus.seq_length} exceeds "
                f"model.max_position_embeddings={self.model.max_position_embeddings}; lower the one or raise the other"
            )
        if why := self.intervention.why_not_of(self.model.tie_word_embeddings):
            raise ValueError(why)
        if self.intervention.halved and self.model.hidden_size % 2:
            raise ValueError(
                f"intervention.halved needs an even model.hidden_size, not {self.model.hidden_size}; change one of them"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_empty_sections(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unwritten = self.sections_unwritten_where_empty
        return {name: value for name, value in write(self).items() if value or name not in unwritten}

    def every_key(self) -> dict[str, Any]:
        """`section.key` → value, neutral ones too, so that two runs can be compared key by key."""
        sections = (("model", self.model), ("corpus", self.corpus), ("train", self.train))
        return {
            f"{section}.{key}": getattr(part, key)
            for section, part in (*sections, ("intervention", self.intervention))
            for key in type(part).model_fields
        }


def neutral_values() -> dict[str, Any]:
    """`section.key` → the value that is not written, of every key that has one."""
    sections = (
        ("model", ModelConfig),
        ("corpus", CorpusConfig),
        ("train", TrainConfig),
        ("intervention", Intervention),
    )
    return {
        f"{section}.{key}": field.default
        for section, model in sections
        if issubclass(model, NeutralUnwritten)
        for key, field in model.model_fields.items()
        if not field.is_required()
    }

"""What the header of a saved model says of it."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Field

from tiedlm.config.interventions import PLAIN, Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.config.older_schemas import from_5
from tiedlm.config.strict import Strict

METADATA_KEY = "tiedlm"
"""Of our words in the header of a `.safetensors` file: a model's, and a checkpoint's."""
MODEL_SCHEMA_VERSION: Literal[6] = 6


class SavedModelConfig(Strict):
    """The model as it is stored, at the end of its training."""

    schema_version: Literal[6]
    model: ModelConfig
    intervention: Intervention = PLAIN
    """In an older file, what of it acts in the model."""
    vocab_size: Annotated[int, Field(gt=0, le=1_000_000_000)]
    """Which the tokenizer has decided."""


def read_saved_model_config(text: str) -> SavedModelConfig:
    """Read a header, also of an older schema.

    Raises:
        ValueError: it is none.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if isinstance(document, dict) and "schema_version" not in document:  # of schema 5 and before
        document = {"schema_version": MODEL_SCHEMA_VERSION} | from_5(document)
    return SavedModelConfig.model_validate(document)

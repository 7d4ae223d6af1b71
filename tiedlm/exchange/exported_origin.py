"""What an exported folder says of its run, so that `tiedlm evaluate` scores the model as its run was scored."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tiedlm.config.corpus_config import MAX_SEQ_LENGTH
from tiedlm.config.strict import Strict

OWN_KEY = "tiedlm"


class Origin(Strict):
    """In `config.json`, by `OWN_KEY`."""

    seq_length: Annotated[int, Field(ge=8, le=MAX_SEQ_LENGTH)]
    eval_mask_seed: Annotated[int, Field(ge=0, lt=2**63)]
    corpus: str
    text_sha256: dict[str, str]
    record_sha256: str

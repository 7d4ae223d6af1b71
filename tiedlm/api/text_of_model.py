"""The text that a trained model is asked about: the one that is named, or its own."""

from __future__ import annotations

from pathlib import Path

from tiedlm.data.sources.corpus import Corpus, load_corpus
from tiedlm.errors import InputError
from tiedlm.exchange.exported_origin import Origin


def text_of_model(
    model: str, origin: Origin | None, corpus: str | None, data_dir: str | Path | None, text_column: str | None
) -> Corpus:
    """What is named, or that on which the model was trained.

    Raises:
        InputError: neither is known, it cannot be had, or it is no longer the text of the training.
    """
    if corpus is None and origin is None:
        raise InputError(f"{model}: does not say on what it was trained; give --corpus, e.g. --corpus wikitext-2")
    name = corpus or (origin.corpus if origin else "")
    text = load_corpus(name, None if data_dir is None else Path(data_dir), text_column)
    if corpus is None and origin is not None and origin.text_sha256 != text.sha256:
        raise InputError(
            f"corpus {name!r}: is not the text on which {model} was trained, or has other splits; to score it all "
            f"the same, give --corpus {name}"
        )
    return text

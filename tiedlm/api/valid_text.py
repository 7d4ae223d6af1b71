"""The record of a run → the lines of its own valid split, if they are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from tiedlm.data.sources.corpus import load_corpus_again
from tiedlm.errors import InputError
from tiedlm.record.run_record import RunRecord

if TYPE_CHECKING:
    from tiedlm.data.tokenizer import Vocabulary
    from tiedlm.data.tokens import TokenizedCorpus

MAX_TOKENS, MAX_LINES = 500_000, 50_000  # as many as a few sentences are chosen from


def valid_texts(record: RunRecord, vocabulary: Vocabulary) -> Iterator[list[str]]:
    """The first lines of the text that the run was evaluated on, held to the record's hash, in up to two forms.

    First as its tokens in the cache say it, where training has put them under that hash; a tokenizer may have made all
    of it lower case. Then as the text itself, where it lies without a network. Nothing, if neither is on this machine.
    """
    from tiedlm.data.tokens import find_tokens  # here, as all that is heavy

    data = record.data
    tokens = find_tokens(data.corpus, record.config.corpus, data.tokenizer_sha256, data.text_sha256)
    if tokens is not None:
        yield list(_decoded(tokens, vocabulary))
    if data.corpus.startswith("hub:"):
        return
    try:
        corpus = load_corpus_again(data.corpus, data.text_sha256, may_fetch=False)
        if corpus.sha256["valid"] != data.text_sha256["valid"]:
            return
        pieces = (piece for batch in corpus.batches("valid") for piece in batch)
        lines = [piece.text for piece in islice(pieces, MAX_LINES)]
    except InputError:  # it is nowhere, or no longer what it was; the page says that its sentences are others
        return
    yield lines


def _decoded(tokens: TokenizedCorpus, vocabulary: Vocabulary) -> Iterator[str]:
    """Its lines, as the tokenizer writes them."""
    import numpy as np

    from tiedlm.exchange.fast_tokenizer import model_tokenizer

    ids = tokens.token_ids("valid")[:MAX_TOKENS]
    ends = np.flatnonzero(ids == vocabulary.eos_id)
    lines = [line[line != vocabulary.eos_id].tolist() for line in np.split(ids, ends)]
    yield from model_tokenizer(vocabulary).decode_batch(lines, skip_special_tokens=False)

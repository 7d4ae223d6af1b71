"""Word pairs → the cosines of their rows in a model's matrices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tiedlm.masked_batch import MASK
from tiedlm.probing.judging import token_at
from tiedlm.probing.sentence_model import SentenceModel
from tiedlm.probing.word_similarity import Cosines, WordPair

CARRIER = f"the {MASK} is"
"""Where a word's token is found: within a sentence, since some tokenizers have another for a text's first word."""


@torch.no_grad()
def row_cosines(model: SentenceModel, pairs: Sequence[WordPair]) -> Cosines:
    """Compare the rows of the words of each pair, as far as each is a token of its own."""
    words = sorted({word for pair in pairs for word in (pair.first, pair.second)})
    tokens = dict(zip(words, _tokens(model, words), strict=True))
    found = [(tokens[pair.first], tokens[pair.second]) for pair in pairs]
    of_pairs = torch.tensor([both for both in found if None not in both], dtype=torch.long).view(-1, 2)
    return Cosines(
        model=model.name,
        kind=model.kind,
        is_tied=model.is_tied,
        num_parameters=model.num_parameters,
        notes=model.notes,
        has_both=[None not in both for both in found],
        of_input_rows=_cosines(model.input_rows, of_pairs),
        of_output_rows=None if model.output_rows is None else _cosines(model.output_rows, of_pairs),
    )


def _tokens(model: SentenceModel, words: Sequence[str]) -> list[int | None]:
    """The token that each word is in a sentence; None where it is several, unknown, or not read whole."""
    masked, *filled = model.read_texts([CARRIER, *(CARRIER.replace(MASK, word) for word in words)])
    place = masked.ids.index(model.mask_id)
    left_out = masked.num_bytes_left_out
    found = [token_at(place, masked, one) if one.num_bytes_left_out == left_out else None for one in filled]
    return [None if token == model.unk_id else token for token in found]


def _cosines(rows: Tensor, pairs: Tensor) -> list[float]:
    """(V, E) and (N, 2) → N numbers; of equal rows, equal ones."""
    first, second = (rows[pairs[:, side]].double() for side in (0, 1))
    cosines: list[float] = F.cosine_similarity(first, second, dim=1).tolist()
    return cosines

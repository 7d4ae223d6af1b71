"""Items → what a model finds likelier: the right form or sentence, the wrong one, or neither.

A form is scored at its place, under one `[MASK]`. A sentence is scored by its pseudo-log-likelihood: the sum, over its
tokens, of the log probability of each under the mask, where the rest of its word, to its right, is masked too
(PLL-word-l2r of Kauf & Ivanova 2023, "A Better Way to Do Masked Language Model Scoring"). Without the latter, words of
several tokens are found too likely, since their beginning is guessed from their end (Salazar et al. 2020).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from tiedlm.errors import InputError
from tiedlm.probing.pair_items import Cloze, Item
from tiedlm.probing.pair_scores import Outcomes
from tiedlm.probing.sentence_model import Reading, SentenceModel

ITEMS_AT_ONCE = 1_000
UNKNOWN = "hold a word that the model does not know"
SEVERAL = "ask for a form that is several tokens"
LONG = "are longer than the model reads"
LEFT_OUT = "hold a character that the model's tokenizer leaves out"
MASKED = "hold the model's own mask token"


_Row = tuple[tuple[int, ...], int]
"""A text with masks, and the place that is asked for."""


class _Term(NamedTuple):
    """A log probability that is wanted: of a token, at a place of a text in which that place is masked."""

    ids: tuple[int, ...]
    place: int
    token: int


class _Asked(NamedTuple):
    """The terms that add up to the score of the right one, and of the wrong one."""

    right: list[_Term]
    wrong: list[_Term]


class Likelihoods(NamedTuple):
    """Of the right one and of the wrong one, in nats: log probabilities, or sums of them."""

    right: float
    wrong: float


def judge(
    model: SentenceModel,
    items: Sequence[Item],
    device: str,
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> Outcomes:
    """Ask a model every item that it can be asked, in fp32; the others are counted by what is in the way.

    A tie counts one half. (In bf16 many scores would be equal that are not.)

    Raises:
        InputError: as `likelihoods`.
    """
    points, not_scored = np.full(len(items), np.nan), Counter[str]()
    for start in range(0, len(items), ITEMS_AT_ONCE):
        answers = likelihoods(model, items[start : start + ITEMS_AT_ONCE], device)
        for number, answer in enumerate(answers, start):
            match answer:
                case Likelihoods(right, wrong):
                    points[number] = 0.5 if right == wrong else float(right > wrong)
                case reason:
                    not_scored[reason] += 1
        on_progress("asking the pairs", min(1.0, (start + ITEMS_AT_ONCE) / len(items)))
    return Outcomes(
        model=model.name,
        kind=model.kind,
        is_tied=model.is_tied,
        num_parameters=model.num_parameters,
        notes=model.notes,
        points=points,
        not_scored=dict(sorted(not_scored.items())),
    )


@torch.no_grad()
def likelihoods(model: SentenceModel, items: Sequence[Item], device: str) -> list[Likelihoods | str]:
    """What a model gives each item, or what is in the way; sums do not depend on the order of their terms.

    Raises:
        InputError: it gives what is no number, or its tokenizer cannot read a text.
    """
    model.module.to(device)
    model.module.eval()
    asked = _ask(model, items)
    terms = (term for one in asked if isinstance(one, _Asked) for term in one.right + one.wrong)
    likely = _log_probabilities(model, terms, device)
    return [
        Likelihoods(*(math.fsum(likely[term] for term in side) for side in one)) if isinstance(one, _Asked) else one
        for one in asked
    ]


def _ask(model: SentenceModel, items: Sequence[Item]) -> list[_Asked | str]:
    """What is asked for each item, or what is in the way."""
    readings = iter(model.read_texts([text for item in items for text in _texts(item)]))
    asked: list[_Asked | str] = []
    for item in items:
        read = [next(readings) for _ in _texts(item)]
        if any(len(reading.ids) > model.longest for reading in read):
            asked.append(LONG)
        elif any(reading.num_bytes_left_out for reading in read):
            asked.append(LEFT_OUT)
        elif isinstance(item, Cloze):
            asked.append(_forms(model, *read))
        elif any(model.mask_id in reading.ids for reading in read):
            asked.append(MASKED)
        elif any(model.unk_id in reading.ids for reading in read):
            asked.append(UNKNOWN)
        else:
            asked.append(_Asked(*(_whole_sentence(model, reading) for reading in read)))
    return asked


def _texts(item: Item) -> tuple[str, ...]:
    return (item.sentence, *item.filled) if isinstance(item, Cloze) else (item.good, item.bad)


def _forms(model: SentenceModel, masked: Reading, *filled: Reading) -> _Asked | str:
    if masked.ids.count(model.mask_id) != 1:
        return MASKED
    place = masked.ids.index(model.mask_id)
    tokens = [token_at(place, masked, reading) for reading in filled]
    if model.unk_id is not None and model.unk_id in tokens:
        return UNKNOWN
    terms = [[_Term(tuple(masked.ids), place, token)] for token in tokens if token is not None]
    return _Asked(*terms) if len(terms) == len(tokens) else SEVERAL


def token_at(place: int, masked: Reading, filled: Reading) -> int | None:
    """The token that stands in the place of the mask; None where it is not one that leaves the others as they are."""
    before, after = slice(place), slice(place + 1, None)
    is_one = len(filled.ids) == len(masked.ids) and all(
        filled.ids[part] == masked.ids[part] for part in (before, after)
    )
    return filled.ids[place] if is_one else None


def _whole_sentence(model: SentenceModel, reading: Reading) -> list[_Term]:
    """One term for each token of the text: it is masked, and the rest of its word to its right."""
    terms = []
    for place, (token, word) in enumerate(zip(reading.ids, reading.words, strict=True)):
        if word is not None:
            shown = (
                model.mask_id if at >= place and other == word else there
                for at, (there, other) in enumerate(zip(reading.ids, reading.words, strict=True))
            )
            terms.append(_Term(tuple(shown), place, token))
    return terms


def _log_probabilities(model: SentenceModel, terms: Iterable[_Term], device: str) -> dict[_Term, float]:
    """Rows of one length are read together, none padded, since some classes read what pads a row."""
    by_length: dict[int, dict[_Row, set[int]]] = defaultdict(lambda: defaultdict(set))
    for ids, place, token in terms:
        by_length[len(ids)][ids, place].add(token)
    found: dict[_Term, float] = {}
    for length, tokens_of in sorted(by_length.items()):
        rows, at_once = list(tokens_of), model.num_rows(length)
        for some in (rows[start : start + at_once] for start in range(0, len(rows), at_once)):
            wanted = [(row, _Term(*one, token)) for row, one in enumerate(some) for token in tokens_of[one]]
            input_ids = torch.tensor([of_row for of_row, _ in some], device=device)
            places = torch.tensor([place for _, place in some], device=device)
            numbers = torch.tensor([row for row, _ in wanted], device=device)
            tokens = torch.tensor([term.token for _, term in wanted], device=device)
            logits = model.logits_at(input_ids, places).double()  # (B, V)
            likely = logits[numbers, tokens] - logits.logsumexp(1)[numbers]
            if likely.isnan().any():  # which would be neither likelier nor a tie
                raise InputError(
                    f"{model.name}: its probabilities are not numbers; the model is damaged, so get its files anew"
                )
            found |= zip((term for _, term in wanted), likely.tolist(), strict=True)
    return found

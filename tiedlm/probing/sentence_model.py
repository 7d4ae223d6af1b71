"""Any masked LM as one that reads sentences: a run of ours, or a model of `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from tiedlm.data.encoding_limits import enter_encoding
from tiedlm.data.tokenizer import telling_unknown_words
from tiedlm.data.tokenizer_kinds import bytes_left_out, dropping
from tiedlm.errors import InputError, told
from tiedlm.exchange.fast_tokenizer import model_tokenizer, special_names
from tiedlm.exchange.foreign_folder import ForeignFolder
from tiedlm.exchange.foreign_loading import is_tied, load_foreign, word_embeddings
from tiedlm.exchange.foreign_model import NUMBERS_AT_ONCE, longest_input, num_numbers, read
from tiedlm.exchange.trained_run import TrainedRun
from tiedlm.masked_batch import MASK, MASK_ID, UNK_ID
from tiedlm.processes.guarded_process import Guard

TOKENS_AT_ONCE = 8_192
"""Of our own models, which give logits at one place of a row alone; bounds memory, does not change the result."""


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it, with the tokens that stand around a text."""

    ids: list[int]
    words: list[int | None]
    """The word that each token is a part of, numbered; None for those around the text."""
    num_bytes_left_out: int
    """Of characters that its tokenizer does not know and leaves out in silence."""


@dataclass(frozen=True)
class SentenceModel:
    """A model, and what it takes to ask it of a sentence."""

    name: str
    kind: str
    """Its class."""
    is_tied: bool
    """Measured on the tensors."""
    num_parameters: int
    notes: list[str]
    """What its files leave open."""
    module: nn.Module
    mask_id: int
    unk_id: int | None
    longest: int
    """Tokens of a text that it reads, with those around it."""
    read_texts: Callable[[list[str]], list[Reading]]
    """Texts in which `[MASK]` stands for its mask token, and nothing else does."""
    logits_at: Callable[[Tensor, Tensor], Tensor]
    """(B, T) ids and (B,) places → (B, V)."""
    num_rows: Callable[[int], int]
    """How many rows of so many tokens memory holds at once."""
    input_rows: Tensor
    """(V, E): the word-embedding table."""
    output_rows: Tensor | None
    """(V, E): the rows by which tokens are scored; None where it keeps none apart."""


def sentences_of_run(run: TrainedRun, name: str) -> SentenceModel:
    """A run of ours; a sentence stands between two ends of a line, as lines do in its training."""
    model, vocabulary = run.model.eval(), run.vocabulary
    tokenizer, mask = model_tokenizer(vocabulary), special_names(vocabulary)[MASK]
    probe = dropping(vocabulary.tokenizer)

    def read_texts(texts: list[str]) -> list[Reading]:
        with telling_unknown_words(vocabulary, texts):
            encodings = tokenizer.encode_batch([text.replace(MASK, mask) for text in texts])
        return [reading(text, mask, encoding, probe) for text, encoding in zip(texts, encodings, strict=True)]

    def logits_at(ids: Tensor, places: Tensor) -> Tensor:
        logits: Tensor = model(ids, places.unsqueeze(1))[:, 0]
        return logits

    return SentenceModel(
        name=name,
        kind=f"{model.config.encoder} of tiedlm",
        is_tied=model.scores_by_input_rows,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        notes=run.notes,
        module=model,
        mask_id=MASK_ID,
        unk_id=UNK_ID,
        longest=model.config.max_position_embeddings,
        read_texts=read_texts,
        logits_at=logits_at,
        num_rows=lambda length: max(1, min(TOKENS_AT_ONCE // length, NUMBERS_AT_ONCE // vocabulary.size)),
        input_rows=model.embeddings.rows_by_token().detach(),
        output_rows=model.head.rows_by_token()[0].detach(),
    )


def sentences_of_foreign(folder: ForeignFolder, guard: Guard) -> SentenceModel:
    """A masked LM that `transformers` reads, each sentence with what its tokenizer puts around a text.

    Raises:
        InputError: it is no masked LM, is not whole, or its tokenizer does not tell which tokens are of one word.
    """
    model, tokenizer = load_foreign(folder, guard)
    source, output = folder.source, model.get_output_embeddings()
    if not tokenizer.is_fast:
        raise InputError(
            f"{source}: its tokenizer does not tell which tokens are of one word; give its tokenizer.json, which "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of transformers writes"
        )

    mask, probe = tokenizer.mask_token, dropping(tokenizer.backend_tokenizer)

    def read_texts(texts: list[str]) -> list[Reading]:
        enter_encoding(guard, texts)
        with told(source, "its tokenizer cannot read the sentences", "give the tokenizer.json of this model"):
            encodings = tokenizer([text.replace(MASK, mask) for text in texts]).encodings
            return [reading(text, mask, encoding, probe) for text, encoding in zip(texts, encodings, strict=True)]

    def logits_at(ids: Tensor, places: Tensor) -> Tensor:
        return read(model, ids, source, guard)[torch.arange(len(ids), device=ids.device), places]

    return SentenceModel(
        name=source,
        kind=type(model).__name__,
        is_tied=is_tied(model),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        notes=[],
        module=model,
        mask_id=tokenizer.mask_token_id,
        unk_id=tokenizer.unk_token_id,
        longest=longest_input(model),
        read_texts=read_texts,
        logits_at=logits_at,
        num_rows=lambda length: max(1, NUMBERS_AT_ONCE // num_numbers(model, length)),
        input_rows=word_embeddings(model).weight.detach(),
        output_rows=None if output is None else output.weight.detach(),
    )


def reading(text: str, mask: str, encoding: Encoding, probe: Tokenizer | None) -> Reading:
    """Of a text with `[MASK]`, encoded with the model's `mask` there; `probe` is the tokenizer's `dropping`.

    Words are those of the tokenizer, and end at blanks too: some tokenizers cut a text into no words.
    """
    left_out = 0 if probe is None else bytes_left_out(probe, text.split(MASK))
    text = text.replace(MASK, mask)
    words: list[int | None] = []
    number, last = -1, None
    of_tokens: list[Any] = list(zip(encoding.word_ids, encoding.offsets, encoding.special_tokens_mask, strict=True))
    for word, (start, end), is_around in of_tokens:
        if is_around:
            words.append(None)
            continue
        begins = text[start:end][:1].isspace() or (start > 0 and text[start - 1].isspace())
        if word != last or begins:
            number, last = number + 1, word
        words.append(number)
    return Reading(list(encoding.ids), words, left_out)

"""A sentence with a masked word → what goes into the head, and the head's tensors, of any masked LM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tiedlm.data.sources.pieces import Piece
from tiedlm.data.token_files import encode_pieces
from tiedlm.data.tokenizer import ROLES, Vocabulary, read_vocabulary
from tiedlm.errors import InputError, printable, told
from tiedlm.exchange.fast_tokenizer import model_tokenizer, special_names
from tiedlm.exchange.foreign_folder import ForeignFolder
from tiedlm.exchange.foreign_loading import load_foreign, word_embeddings
from tiedlm.exchange.foreign_model import longest_input, read
from tiedlm.exchange.trained_run import TrainedRun, open_run
from tiedlm.masked_batch import MASK, MASK_ID, UNK_ID
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.model.saved_model import load_model
from tiedlm.processes.guarded_process import Guard

PAIR = Path(__file__).parent / "pair"
PAIR_TOKENIZER = "word"
ROUNDING = 1e-5
"""Of fp32, in a sum of products, as a share of the largest."""
SPECIAL_NAMES = {name for names in ROLES.values() for name in names}
"""Also where a corpus has them as words, such as the `<unk>` of the Penn Treebank."""


@dataclass(frozen=True)
class HeadView:
    """The head at one masked place."""

    name: str
    tokens: list[str]
    """Of the sentence, as the model reads them."""
    place: int
    """Of the masked one among them."""
    hidden: Tensor
    """(H,), from the encoder."""
    guess: Tensor
    """(E,), what the rows of the output matrix are multiplied by; E is H but where the table is factorised."""
    output_rows: Tensor
    """(V, E): W, which is the table itself in a tied model."""
    input_rows: Tensor
    """(V, E): the word-embedding table."""
    bias: Tensor
    """(V,); zeros where the model has none."""
    is_tied: bool
    num_parameters: int
    """Of the whole model; a shared tensor counts once."""
    token_names: Callable[[int], str]
    is_word: Callable[[int], bool]
    """Whether a token is more than a special one."""
    unknown: list[str] = field(default_factory=list)
    """Words of the sentence that are no tokens of the model, and are read as its unknown token."""
    notes: list[str] = field(default_factory=list)
    """What the model's files leave open."""


def view_run(path: Path, sentence: str) -> HeadView:
    """Of a run, `DIR/ARM-seedN.safetensors`.

    Raises:
        InputError: the run cannot be had, or the sentence has no masked word.
    """
    return view_opened(open_run(path), str(path), sentence)


def view_opened(run: TrainedRun, name: str, sentence: str) -> HeadView:
    """The same of a run that is read already.

    Raises:
        InputError: the sentence has no masked word.
    """
    return replace(_own(name, run.model, run.vocabulary, sentence), notes=run.notes)


def view_shipped(arm: str, sentence: str) -> HeadView:
    """Of a model that comes with the package, tied or untied."""
    vocabulary = read_vocabulary((PAIR / "tokenizer.json").read_text(encoding="utf-8"), PAIR_TOKENIZER)
    return _own(
        f"the {arm} model that comes with tiedlm", load_model(PAIR / f"{arm}.safetensors"), vocabulary, sentence
    )


@torch.no_grad()
def _own(name: str, model: MaskedLM, vocabulary: Vocabulary, sentence: str) -> HeadView:
    tokenizer = model_tokenizer(vocabulary)
    mask = special_names(vocabulary)[MASK]
    encode_pieces(vocabulary, [Piece(sentence.replace(MASK, " "), False)])  # what training could not read is told
    text = sentence.replace(MASK, mask)
    encoding = tokenizer.encode(text)
    ids = encoding.ids
    place = _place(ids, MASK_ID, mask, model.config.max_position_embeddings)
    model.eval()
    hidden = model.hidden_states(torch.tensor([ids]), torch.tensor([[place]]))[0, 0]
    weight, bias = model.head.rows_by_token()

    def token_name(token: int) -> str:
        return _readable(tokenizer.id_to_token(token))

    return HeadView(
        name=name,
        tokens=[token_name(token) for token in ids],
        place=place,
        hidden=hidden,
        guess=model.head.transform(hidden),
        output_rows=weight.detach(),
        input_rows=model.embeddings.rows_by_token().detach(),
        bias=bias.detach(),
        is_tied=model.scores_by_input_rows,
        num_parameters=_count(model),
        token_names=token_name,
        is_word=lambda token: tokenizer.id_to_token(token) not in SPECIAL_NAMES,
        unknown=_unknown(text, ids, encoding.offsets, UNK_ID),
    )


@torch.no_grad()
def view_foreign(folder: ForeignFolder, sentence: str, guard: Guard) -> HeadView:
    """Of a masked LM that `transformers` reads.

    Raises:
        InputError: the model is not whole, or its scores are no products of an output matrix, or no numbers; or the
            sentence has no masked word.
    """
    model, tokenizer = load_foreign(folder, guard)
    decoder = model.get_output_embeddings()
    if decoder is None or model.base_model is model:
        raise InputError(
            f"{folder.source}: {type(model).__name__} keeps no output matrix apart to look at; give another masked LM"
        )
    with told(folder.source, "its tokenizer cannot read the sentence", "give the tokenizer.json of this model"):
        text = sentence.replace(MASK, tokenizer.mask_token)
        encoded = tokenizer(text, return_offsets_mapping=tokenizer.is_fast)
    ids, offsets = encoded["input_ids"], encoded.get("offset_mapping", [])
    place = _place(ids, tokenizer.mask_token_id, tokenizer.mask_token, longest_input(model))
    into_decoder, out_of_encoder = [], []
    handles = [
        decoder.register_forward_pre_hook(lambda _, inputs: into_decoder.append(inputs[0])),
        model.base_model.register_forward_hook(lambda _, __, output: out_of_encoder.append(output[0])),
    ]
    logits = read(model, torch.tensor([ids]), folder.source, guard)[0]
    for handle in handles:
        handle.remove()
    if not torch.isfinite(logits).all():
        raise InputError(
            f"{folder.source}: its scores are not finite numbers; the model is damaged, so get its files anew"
        )
    table = word_embeddings(model).weight
    bias = _bias(decoder, into_decoder[-1][0], logits) if into_decoder and decoder.weight.shape == table.shape else None
    if bias is None:
        raise InputError(
            f"{folder.source}: {type(model).__name__} does not score a token by the product with one row, as long as "
            "its row of the table, and a bias; give another masked LM"
        )
    special = set(tokenizer.all_special_ids)

    def token_name(token: int) -> str:
        return _readable(tokenizer.convert_ids_to_tokens(token) or f"row {token}")

    return HeadView(
        name=folder.source,
        tokens=[token_name(token) for token in ids],
        place=place,
        hidden=out_of_encoder[-1][0, place],
        guess=into_decoder[-1][0, place],
        output_rows=decoder.weight.detach(),
        input_rows=table.detach(),
        bias=bias,
        is_tied=decoder.weight is table,
        num_parameters=_count(model),
        token_names=token_name,
        is_word=lambda token: token not in special and tokenizer.convert_ids_to_tokens(token) not in SPECIAL_NAMES,
        unknown=_unknown(text, ids, offsets, tokenizer.unk_token_id),
    )


def _bias(decoder: Any, guesses: Tensor, logits: Tensor) -> Tensor | None:
    """What is added to the products of guesses (T, E) to make them logits (T, V), the same at every place; else None.

    The matrix has it, or the class adds it afterwards, as ESM does.
    """
    weight, own = decoder.weight.detach(), getattr(decoder, "bias", None)
    added = logits - guesses @ weight.T
    tolerance = ROUNDING * float(logits.abs().max())
    for bias in (torch.zeros(len(weight)) if own is None else own.detach(), added[0]):
        if float((added - bias).abs().max()) <= tolerance:
            return bias
    return None


def _unknown(text: str, ids: list[int], offsets: Sequence[tuple[int, int]], unk_id: int | None) -> list[str]:
    """What was written where the tokenizer gave its unknown token; nothing where it does not tell places."""
    places = [place for token, place in zip(ids, offsets, strict=False) if token == unk_id]
    return [word for start, end in places if (word := text[start:end].strip())]


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _place(ids: list[int], mask_id: int, mask: str, longest: int) -> int:
    if ids.count(mask_id) != 1:
        raise InputError(
            f"the sentence has {mask} {ids.count(mask_id)} times; write it once, where the model shall guess a word"
        )
    if len(ids) > longest:
        raise InputError(f"the sentence has {len(ids):,} tokens, and the model reads {longest:,}; give a shorter one")
    return ids.index(mask_id)


def _readable(token: str | None) -> str:
    """A token as a person writes it: byte-level BPE and SentencePiece mark the blank before a word."""
    return printable((token or "").replace("Ġ", " ").replace("▁", " ").strip() or "' '")

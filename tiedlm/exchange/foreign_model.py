"""A foreign masked LM, once it is loaded, as one that the fold evaluation can score.

Its ids are mapped to ours, where `[PAD]`, `[MASK]` and `[UNK]` are the first three, and back before it reads them.
Around each block it gets what stood around a text in its training, such as `[CLS]` and `[SEP]`, never predicted.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.config.strict import validated
from tiedlm.data.sources.pieces import Piece
from tiedlm.data.tokens import ID_TYPE
from tiedlm.errors import InputError
from tiedlm.exchange.exported_folder import OWN_KEY, Origin
from tiedlm.exchange.foreign_loading import frame, is_tied, load_foreign
from tiedlm.exchange.scored_model import ScoredModel
from tiedlm.masked_batch import PAD_ID, SPECIAL_TOKENS, UNK_ID, MaskedBatch

LONGEST_BLOCK = 512
"""Unless asked for, tokens of a block with those around it, also where a model could read more."""
NUMBERS_OF_LOGITS = 1 << 25  # at once; bounds memory, does not change the result


class ForeignMaskedLM(nn.Module):
    """Scores our batches by a model of theirs."""

    def __init__(self, model: Any, their_ids: Tensor, before: list[int], after: list[int]) -> None:
        """`their_ids` (V,) has the model's id for each id here; `before` and `after` stand around each block."""
        super().__init__()
        self.model = model
        self.before, self.after = before, after
        self.register_buffer("their_ids", their_ids)
        self.their_ids: Tensor

    def score(self, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
        """Each prediction's loss in nats, and whether it is right: two of (B, P)."""
        per_row = (batch.input_ids.shape[1] + len(self.before) + len(self.after)) * self.model.config.vocab_size
        asked = (batch.input_ids, batch.masked_lm_positions, batch.masked_lm_ids)
        in_parts = (torch.split(tensor, max(1, NUMBERS_OF_LOGITS // per_row)) for tensor in asked)
        nll, is_correct = zip(*(self._score(*part) for part in zip(*in_parts, strict=True)), strict=True)
        return torch.cat(nll), torch.cat(is_correct)

    def _score(self, input_ids: Tensor, positions: Tensor, masked_lm_ids: Tensor) -> tuple[Tensor, Tensor]:
        ids, is_read = self._framed(input_ids)
        logits = self.model(input_ids=ids, attention_mask=is_read.long()).logits  # (B, T + frame, V)
        rows = torch.arange(len(ids), device=ids.device).unsqueeze(1)
        asked = logits[rows, positions + len(self.before)].float()  # (B, P, V)
        targets = self.their_ids[masked_lm_ids]
        nll = F.cross_entropy(asked.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        return nll, asked.argmax(-1) == targets

    def _framed(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Their ids with what stands around a block, (B, T + frame), and which of them are read."""
        num_rows, num_before = len(input_ids), len(self.before)
        is_text = input_ids != PAD_ID
        frame = num_before + len(self.after)
        ids = self.their_ids[PAD_ID].repeat(num_rows, input_ids.shape[1] + frame)
        is_read = torch.zeros_like(ids, dtype=torch.bool)
        ids[:, num_before : num_before + input_ids.shape[1]] = self.their_ids[input_ids]
        is_read[:, num_before : num_before + input_ids.shape[1]] = is_text
        ends = is_text.sum(1) + num_before
        rows = torch.arange(num_rows, device=ids.device)
        for place, token in enumerate(self.before):
            ids[:, place], is_read[:, place] = token, True
        for place, token in enumerate(self.after):
            ids[rows, ends + place], is_read[rows, ends + place] = token, True
        return ids, is_read


def score_foreign(source: str, seq_length: int | None = None) -> ScoredModel:
    """A masked LM in a folder as `transformers` saves it, or `OWNER/NAME` on the Hub; no code of a repository is run.

    One that `tiedlm export` wrote is scored as its run was: in the same blocks, the ends of lines among the tokens.
    Others read blocks of text without line ends, of `seq_length` tokens with what stands around them.

    Raises:
        InputError: it cannot be had, is no masked LM, or has no tokenizer with a mask token.
    """
    model, tokenizer = load_foreign(source)
    raw = getattr(model.config, OWN_KEY, None)
    own = None if raw is None else validated(Origin, raw, f"{source}, config.json, {OWN_KEY}")
    if own is not None and seq_length is not None:
        raise InputError(f"--seq-length {seq_length}: {source} is scored in the blocks of its run; leave it out")
    for role in ("pad", *(["eos"] if own else [])):
        if getattr(tokenizer, f"{role}_token_id") is None:
            raise InputError(f"{source}: its tokenizer has no {role} token, so it cannot be scored; give a masked LM")
    here, theirs = _id_maps(tokenizer, model.config.vocab_size)
    before, after = ([], []) if own else frame(tokenizer)
    end = here[tokenizer.eos_token_id] if own else None

    def encode(batch: list[Piece]) -> npt.NDArray[np.int32]:
        texts = [piece.text for piece in batch]
        encoded = tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ends = ([end] if end is not None and piece.ends_line else [] for piece in batch)
        pieces = ((*(here[token] for token in ids), *of_end) for ids, of_end in zip(encoded, ends, strict=True))
        return np.fromiter(itertools.chain.from_iterable(pieces), dtype=ID_TYPE)

    return ScoredModel(
        name=source,
        kind=type(model).__name__,
        model=ForeignMaskedLM(model, theirs, before, after),
        encode=encode,
        vocab_size=len(theirs),
        has_line_ends=own is not None,
        seq_length=_block(model, own.seq_length if own else seq_length, source) - len(before) - len(after),
        eval_mask_seed=own.eval_mask_seed if own else 0,
        is_tied=is_tied(model),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        corpus=own.corpus if own else None,
        text_sha256=own.text_sha256 if own else None,
    )


def _id_maps(tokenizer: Any, vocab_size: int) -> tuple[npt.NDArray[np.int32], Tensor]:
    """The id here of each of theirs, (V_theirs,), and theirs of each here; what is special there is special here."""
    special = [tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id]
    if special[UNK_ID] is None:  # of bytes: nothing is unknown, and the id here stands for no token
        special[UNK_ID] = tokenizer.pad_token_id
    size = max(vocab_size, len(tokenizer))
    others = [token for token in range(size) if token not in special]
    theirs = torch.tensor([*special, *others])
    here = np.full(size, UNK_ID, dtype=np.int32)
    here[others] = np.arange(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + len(others))
    return here, theirs


def _block(model: Any, seq_length: int | None, source: str) -> int:
    """Tokens of a block, with those around it."""
    longest = getattr(model.config, "max_position_embeddings", None) or LONGEST_BLOCK
    longest -= _num_skipped_positions(model)
    if seq_length is not None and seq_length > longest:
        raise InputError(
            f"blocks of {seq_length} tokens: {source} reads {longest} at most; give a smaller --seq-length"
        )
    return seq_length or min(longest, LONGEST_BLOCK)


def _num_skipped_positions(model: nn.Module) -> int:
    """How many positions no token has: those of RoBERTa and its like begin after the row of the padding."""
    rows = (
        getattr(module, "padding_idx", None)
        for name, module in model.named_modules()
        if name.rpartition(".")[2] == "position_embeddings"
    )
    return max((row + 1 for row in rows if isinstance(row, int)), default=0)

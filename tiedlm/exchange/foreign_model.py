"""A foreign masked LM, once it is loaded, as one that the fold evaluation can score.

Its ids are mapped to ours, where `[PAD]`, `[MASK]` and `[UNK]` are the first three, and back before it reads them.
Around each block it gets what stood around a text in its training, such as `[CLS]` and `[SEP]`, never predicted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tiedlm.data.encoding_limits import enter_encoding
from tiedlm.data.sources.pieces import Piece
from tiedlm.data.token_files import ID_TYPE, EncodedPieces
from tiedlm.data.tokenizer_kinds import bytes_left_out, dropping
from tiedlm.errors import InputError, told
from tiedlm.exchange.foreign_folder import ForeignFolder
from tiedlm.exchange.foreign_loading import FP32_BYTES, frame, is_tied, load_foreign, of_all_threads, word_embeddings
from tiedlm.exchange.scored_model import EncodedText, ScoredModel
from tiedlm.masked_batch import PAD_ID, SPECIAL_TOKENS, UNK_ID, MaskedBatch
from tiedlm.processes.guarded_process import Guard

LONGEST_BLOCK = 512
"""Unless asked for, tokens of a block with those around it, also where a model could read more."""
NUMBERS_AT_ONCE = 1 << 25
"""Of logits, or of attention's weights in a layer; bounds memory, does not change the result."""
SCORING_BYTES = 1 << 29
SCORING_CPU_SECONDS, MULTIPLY_ADDS_PER_CPU_SECOND = 30.0, 5e8
"""The slowest processor does more than a tenth of that a cycle; a class in plain PyTorch loses up to ten times."""


class ForeignMaskedLM(nn.Module):
    """Scores our batches by a model of theirs."""

    def __init__(
        self, model: Any, their_ids: Tensor, before: list[int], after: list[int], source: str, guard: Guard
    ) -> None:
        """`their_ids` (V,) has the model's id for each id here; `before` and `after` stand around each block."""
        super().__init__()
        self.model = model
        self.before, self.after = before, after
        self.source, self.guard = source, guard
        self.register_buffer("their_ids", their_ids)
        self.their_ids: Tensor

    def score(self, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
        """Each prediction's loss in nats, and whether it is right: two of (B, P).

        Rows are read at their own length, since some classes read what pads a row (FNet has no attention mask).
        """
        lengths = (batch.input_ids != PAD_ID).sum(1)
        nll = torch.zeros(batch.masked_lm_ids.shape, dtype=torch.float64, device=lengths.device)
        is_correct = torch.zeros_like(nll, dtype=torch.bool)
        for rows in self._parts(lengths):
            nll[rows], is_correct[rows] = self._score(
                batch.input_ids[rows, : int(lengths[rows[0]])],
                batch.masked_lm_positions[rows],
                batch.masked_lm_ids[rows],
            )
        return nll, is_correct

    def _parts(self, lengths: Tensor) -> Iterator[Tensor]:
        """The rows of a batch, those of one length together, as many as memory holds."""
        for length in sorted(set(lengths.tolist())):
            per_row = num_numbers(self.model, length + len(self.before) + len(self.after))
            yield from torch.split(torch.where(lengths == length)[0], max(1, NUMBERS_AT_ONCE // per_row))

    def _score(self, input_ids: Tensor, positions: Tensor, masked_lm_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Of rows without padding; a place of `positions` that stands for none is read as the first."""
        num_rows, length = input_ids.shape
        before, after = (
            torch.tensor(ids, dtype=torch.long, device=input_ids.device).expand(num_rows, -1)
            for ids in (self.before, self.after)
        )
        ids = torch.cat([before, self.their_ids[input_ids], after], dim=1)
        logits = read(self.model, ids, self.source, self.guard)  # (B, T + frame, V)
        rows = torch.arange(num_rows, device=ids.device).unsqueeze(1)
        asked = logits[rows, positions.clamp(max=length - 1) + len(self.before)].double()  # (B, P, V)
        targets = self.their_ids[masked_lm_ids]
        nll = F.cross_entropy(asked.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        return nll, asked.argmax(-1) == targets


def read(model: Any, ids: Tensor, source: str, guard: Guard) -> Tensor:
    """A foreign model's logits, (B, T, V), for its own ids (B, T).

    Raises:
        InputError: its class cannot read them as its configuration has it.
    """
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    num_bytes = SCORING_BYTES + 8 * FP32_BYTES * (num_parameters + len(ids) * num_numbers(model, ids.shape[1]))
    seconds = SCORING_CPU_SECONDS + num_parameters * ids.numel() / MULTIPLY_ADDS_PER_CPU_SECOND
    guard.enter("scoring by what its config.json describes", num_bytes, of_all_threads(seconds))
    remedy = "correct its config.json, or give another masked LM"
    with told(source, f"{type(model).__name__} cannot score {ids.shape[1]} tokens", remedy):
        logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    if logits.ndim != 3 or len(logits) != len(ids) or logits.shape[1] < ids.shape[1]:  # Perceiver: all its places
        raise InputError(
            f"{source}: {type(model).__name__} gives logits of shape {tuple(logits.shape)} for {ids.shape[1]} tokens, "
            "not one row for each; give another masked LM"
        )
    return logits


def num_numbers(model: Any, length: int) -> int:
    """Of the largest tensor for one row of so many tokens: logits, or attention's weights in a layer."""
    num_heads = getattr(model.config, "num_attention_heads", None)
    per_token = length * (num_heads if isinstance(num_heads, int) else 1)
    return length * max(int(word_embeddings(model).weight.shape[0]), per_token)


def score_foreign(folder: ForeignFolder, seq_length: int | None, guard: Guard) -> ScoredModel:
    """A masked LM in a stranger's folder; no code of a repository is run.

    One that `tiedlm export` wrote is scored as its run was: in the same blocks, the ends of lines among the tokens.
    Others read blocks of text without line ends, of `seq_length` tokens with what stands around them.

    Raises:
        InputError: it is no masked LM, is not whole, or has no tokenizer with a mask token.
    """
    model, tokenizer = load_foreign(folder, guard)
    own, source = folder.origin, folder.source
    if own is not None and tokenizer.eos_token_id is None:
        raise InputError(
            f"{source}: its tokenizer has no eos token, so it is not as tiedlm export wrote it; do it anew"
        )
    here, theirs = _id_maps(tokenizer, word_embeddings(model).weight.shape[0])
    before, after = ([], []) if own else frame(tokenizer)
    end = here[tokenizer.eos_token_id] if own else None
    probe = dropping(tokenizer.backend_tokenizer) if tokenizer.is_fast else None

    def encode(batch: list[Piece]) -> EncodedText:
        texts = [piece.text for piece in batch]
        enter_encoding(guard, texts)
        with told(source, "its tokenizer cannot read the text", "give the tokenizer.json of this model"):
            left_out = bytes_left_out(probe, texts) if probe is not None else 0 if tokenizer.is_fast else None
            return EncodedText(*_encode(tokenizer, batch, here, end), left_out)

    return ScoredModel(
        name=source,
        kind=type(model).__name__,
        model=ForeignMaskedLM(model, theirs, before, after, source, guard),
        encode=encode,
        num_ids=len(theirs),
        vocab_size=word_embeddings(model).weight.shape[0],
        has_line_ends=own is not None,
        seq_length=_block(model, own.seq_length if own else seq_length, len(before) + len(after), source),
        eval_mask_seed=own.eval_mask_seed if own else 0,
        is_tied=is_tied(model),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        notes=[],
    )


def _encode(tokenizer: Any, batch: list[Piece], here: npt.NDArray[np.int32], end: int | None) -> EncodedPieces:
    """Our own folders read the names of special tokens as the text that they are, as the run did (`end`: its eos)."""
    options = {"split_special_tokens": True} if end is not None else {}
    encoded = tokenizer(
        [piece.text for piece in batch],
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        **options,
    )["input_ids"]
    ids, num_tokens = [], []
    for piece, of_piece in zip(batch, encoded, strict=True):
        ends = [end] if end is not None and piece.ends_line else []
        ids += [here[np.array(of_piece, dtype=np.int64)], np.array(ends, dtype=ID_TYPE)]
        num_tokens.append(len(of_piece) + len(ends))
    return EncodedPieces(np.concatenate(ids).astype(ID_TYPE, copy=False), np.array(num_tokens, dtype=np.int64))


def _id_maps(tokenizer: Any, vocab_size: int) -> tuple[npt.NDArray[np.int32], Tensor]:
    """The id here of each of theirs, (V_theirs,), and theirs of each here; what is special there is special here."""
    mask = tokenizer.mask_token_id
    special = [tokenizer.pad_token_id, mask, tokenizer.unk_token_id]
    others = [token for token in range(vocab_size) if token not in special]
    # Where it has none, the id here stands for no token: nothing is padded, and of bytes nothing is unknown.
    theirs = torch.tensor([*(mask if token is None else token for token in special), *others])
    here = np.full(vocab_size, UNK_ID, dtype=np.int32)
    here[others] = np.arange(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + len(others))
    return here, theirs


def _block(model: Any, seq_length: int | None, num_around: int, source: str) -> int:
    """Tokens of a block without those around it, which `seq_length` counts too."""
    longest = longest_input(model)
    if seq_length is not None and seq_length > longest:
        raise InputError(
            f"blocks of {seq_length} tokens: {source} reads {longest} at most; give a smaller --seq-length"
        )
    block = seq_length or min(longest, LONGEST_BLOCK)
    if block <= num_around:
        raise InputError(
            f"{source}: its tokenizer puts {num_around} tokens around a text, so a block of {block} has no room for "
            "one; give a larger --seq-length, or a model that reads more"
        )
    return block - num_around


def longest_input(model: Any) -> int:
    """As many tokens as a foreign model reads, by its positions."""
    longest = getattr(model.config, "max_position_embeddings", None) or LONGEST_BLOCK
    return int(longest) - _num_skipped_positions(model)


def _num_skipped_positions(model: nn.Module) -> int:
    """How many positions no token has: those of RoBERTa and its like begin after the row of the padding."""
    rows = (
        getattr(module, "padding_idx", None)
        for name, module in model.named_modules()
        if name.rpartition(".")[2] == "position_embeddings"
    )
    return max((row + 1 for row in rows if isinstance(row, int)), default=0)

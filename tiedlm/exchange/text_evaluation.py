"""A scored model and a text → what the fold evaluation says of each split, in figures that are kept or shown."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tiedlm.data.frequency_bands import LEAST_COUNTS, frequency_bands
from tiedlm.data.sources.corpus import Corpus
from tiedlm.data.sources.pieces import TextCounts
from tiedlm.data.tokens import unigram_perplexity
from tiedlm.errors import InputError
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.scored_model import ScoredModel
from tiedlm.masked_batch import PAD_ID, UNK_ID
from tiedlm.training.device import resolve_runtime
from tiedlm.training.fold_evaluation import EvalTotals, evaluate

MAX_LOSS_NATS = 700.0
"""exp of more is no number of 64 bits."""


@dataclass(frozen=True)
class BandScore:
    """Of the tokens that occur at least so often in train, and less often than those of the next band."""

    least_count: int
    num_tokens: int
    loss_nats: float | None
    """None where no token is of this band."""


@dataclass(frozen=True)
class SplitScore:
    """One split, or a part of it."""

    split: str
    num_tokens: int
    """That were predicted."""
    share: float
    """Of the split's tokens; 1.0 is all."""
    masked_lm_loss_nats: float
    masked_lm_perplexity: float
    masked_lm_accuracy: float
    bits_per_byte: float
    """Of a part: at the split's mean of bytes a token."""
    unigram_perplexity: float
    num_unk: int
    """Tokens of the split that its tokenizer does not know."""
    unk_fraction: float
    num_bytes_left_out: int | None
    """Of characters that its tokenizer has no token for, nor an unknown token; None where it does not tell."""
    bands: list[BandScore]


@dataclass(frozen=True)
class Evaluation:
    """A model on a text."""

    model: str
    kind: str
    num_parameters: int
    is_tied: bool
    vocab_size: int
    seq_length: int
    has_line_ends: bool
    corpus: str
    text_sha256: dict[str, str]
    precision: str
    splits: list[SplitScore]
    notes: list[str]
    """What the model's files leave open."""

    def document(self) -> dict[str, object]:
        """The JSON of `--json`."""
        return asdict(self)


def evaluate_text(
    scored: ScoredModel, corpus: Corpus, asked: Asked, on_progress: Callable[[str, float], None]
) -> Evaluation:
    """Score splits of a corpus; of each at most `asked.max_tokens`, in blocks evenly spaced.

    Raises:
        InputError: a split is shorter than a block, or the model's loss on it is no number; or there is no such device.
    """
    runtime = resolve_runtime(asked.device, asked.precision)
    scored.model.to(runtime.device)
    on_progress("reading train", 0.0)
    train_counts = np.zeros(scored.num_ids, np.int64)
    for batch in corpus.batches("train"):
        train_counts += np.bincount(scored.encode(batch).ids, minlength=scored.num_ids)
    bands = torch.from_numpy(frequency_bands(train_counts))
    scores = []
    for split in asked.splits:
        phase = f"evaluating {split}"
        text = _read(scored, corpus, split)
        ids = text.ids
        if len(ids) and (ids == UNK_ID).all():
            raise InputError(
                f"{scored.name}: its tokenizer knows no token of the {split} split of {corpus.name}, all are unknown; "
                "give the tokenizer that belongs to the model, or a text in its language"
            )
        blocks = _blocks(ids, scored.seq_length, corpus.name, split)
        some = blocks if asked.max_tokens is None else _evenly_spaced(blocks, asked.max_tokens)
        tell = functools.partial(on_progress, phase)
        totals = evaluate(scored.model, some, scored.eval_mask_seed, runtime.autocast(), bands, on_batch=tell)
        scores.append(_score(split, totals, text, train_counts, scored))
    return Evaluation(
        model=scored.name,
        kind=scored.kind,
        num_parameters=scored.num_parameters,
        is_tied=scored.is_tied,
        vocab_size=scored.vocab_size,
        seq_length=scored.seq_length,
        has_line_ends=scored.has_line_ends,
        corpus=corpus.name,
        text_sha256=corpus.sha256,
        precision=runtime.precision,
        splits=scores,
        notes=scored.notes,
    )


class _SplitText(NamedTuple):
    """A split as tokens, (num_tokens,), its sizes, and the bytes that its tokenizer leaves out, where it tells."""

    ids: npt.NDArray[np.int32]
    counts: TextCounts
    num_bytes_left_out: int | None


def _read(scored: ScoredModel, corpus: Corpus, split: str) -> _SplitText:
    parts, counts = [], TextCounts(0, 0, 0)
    for batch in corpus.batches(split):
        parts.append(scored.encode(batch))
        counts = counts.plus(batch)
    left_out = [part.num_bytes_left_out for part in parts if part.num_bytes_left_out is not None]
    return _SplitText(np.concatenate([part.ids for part in parts]), counts, sum(left_out) if left_out else None)


def _blocks(ids: npt.NDArray[np.int32], seq_length: int, name: str, split: str) -> torch.Tensor:
    """(num_tokens,) → (N, T), the last block padded."""
    if len(ids) < seq_length:
        raise InputError(
            f"corpus {name!r}: its {split} split has {len(ids)} tokens, fewer than one block of {seq_length}; "
            "give more text, or a smaller --seq-length"
        )
    padded = np.full((-(-len(ids) // seq_length), seq_length), PAD_ID, dtype=np.int32)
    padded.reshape(-1)[: len(ids)] = ids
    return torch.from_numpy(padded)


def _evenly_spaced(blocks: torch.Tensor, max_tokens: int) -> torch.Tensor:
    num_rows = min(len(blocks), max(1, max_tokens // blocks.shape[1]))
    return blocks[torch.linspace(0, len(blocks) - 1, num_rows).long()]


def _score(
    split: str,
    totals: EvalTotals,
    text: _SplitText,
    train_counts: npt.NDArray[np.int64],
    scored: ScoredModel,
) -> SplitScore:
    loss_nats = totals.masked_lm_loss_nats
    if not loss_nats < MAX_LOSS_NATS:
        raise InputError(
            f"{scored.name}: its loss on {split} is {loss_nats:.3g} nats a token, of which no perplexity can be told; "
            "the model is damaged, so get its files anew"
        )
    num_tokens = int(totals.block_num_tokens.sum())
    ids, num_bytes = text.ids, text.counts.num_bytes - (0 if scored.has_line_ends else text.counts.num_lines)
    return SplitScore(
        split=split,
        num_tokens=num_tokens,
        share=num_tokens / len(ids),
        masked_lm_loss_nats=loss_nats,
        masked_lm_perplexity=math.exp(loss_nats),
        masked_lm_accuracy=float(totals.block_num_correct.sum()) / num_tokens,
        bits_per_byte=loss_nats / math.log(2) * len(ids) / num_bytes,
        unigram_perplexity=unigram_perplexity(train_counts, np.bincount(ids, minlength=scored.num_ids)),
        num_unk=int((ids == UNK_ID).sum()),
        unk_fraction=float((ids == UNK_ID).mean()),
        num_bytes_left_out=text.num_bytes_left_out,
        bands=[
            BandScore(least, int(of_band), float(nats / of_band) if of_band else None)
            for least, nats, of_band in zip(LEAST_COUNTS, totals.band_nll_nats, totals.band_num_tokens, strict=True)
        ],
    )

"""A scored model and a text → what the fold evaluation says of each split, in figures that are kept or shown."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tiedlm.data.frequency_bands import LEAST_COUNTS, frequency_bands
from tiedlm.data.sources.corpus import Corpus
from tiedlm.data.tokens import unigram_perplexity
from tiedlm.errors import InputError
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.scored_model import ScoredModel
from tiedlm.exchange.split_text import Reading, SplitText, read_split
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

    schema_version: Literal[1] = field(default=1, init=False)
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

    def __repr__(self) -> str:
        """In a line; every field is in `dataclasses.asdict`."""
        found = ", ".join(f"{one.split} {one.masked_lm_perplexity:.4g}" for one in self.splits)
        return f"{self.model} on {self.corpus}: masked-LM perplexity {found}"


@dataclass(frozen=True)
class SplitSums:
    """The sums of one split that another model's may be held against."""

    reading: Reading
    block_nll_nats: npt.NDArray[np.float64]
    block_num_tokens: npt.NDArray[np.float64]
    """(num_blocks,) each."""
    band_nll_nats: npt.NDArray[np.float64]
    band_num_tokens: npt.NDArray[np.float64]
    """(num_bands,) each."""
    stretch_nll_nats: npt.NDArray[np.float64]
    line_end_nll_nats: npt.NDArray[np.float64]
    """(num_stretches,) each; what stands in no block that was scored has no part in it."""


class ScoredText(NamedTuple):
    """What is told of a model on a text, and the sums of each split."""

    evaluation: Evaluation
    sums: dict[str, SplitSums]


def evaluate_text(
    scored: ScoredModel, corpus: Corpus, asked: Asked, on_progress: Callable[[str, float], None]
) -> ScoredText:
    """Score splits of a corpus: of each the stretches that are asked for, or blocks of at most `asked.max_tokens`.

    Raises:
        InputError: a split cannot be read, or the model's loss on it is no number; or there is no such device.
    """
    runtime = resolve_runtime(asked.device, asked.precision)
    scored.model.to(runtime.device)
    on_progress("reading train", 0.0)
    train_counts = np.zeros(scored.num_ids, np.int64)
    for batch in corpus.batches("train"):
        train_counts += np.bincount(scored.encode(batch).ids, minlength=scored.num_ids)
    bands = torch.from_numpy(frequency_bands(train_counts))
    scores, sums = [], {}
    for split in asked.splits:
        text = read_split(scored, corpus, split)
        rows = _rows(text, scored.seq_length, asked, split)
        blocks, groups = (_blocks(of_tokens, scored.seq_length)[rows] for of_tokens in (text.ids, text.groups))
        tell = functools.partial(on_progress, f"evaluating {split}")
        totals = evaluate(
            scored.model, blocks, scored.eval_mask_seed, runtime.autocast(), bands, on_batch=tell, groups=groups
        )
        scores.append(_score(split, totals, text, train_counts, scored))
        sums[split] = _sums(totals, text.reading)
    evaluation = Evaluation(
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
    return ScoredText(evaluation, sums)


def _blocks(of_tokens: npt.NDArray[np.integer], seq_length: int) -> torch.Tensor:
    """(num_tokens,) → (N, T), the last block padded."""
    padded = np.full((-(-len(of_tokens) // seq_length), seq_length), PAD_ID, dtype=of_tokens.dtype)
    padded.reshape(-1)[: len(of_tokens)] = of_tokens
    return torch.from_numpy(padded)


def _rows(text: SplitText, seq_length: int, asked: Asked, split: str) -> torch.Tensor | slice:
    """The blocks that are scored: those in which a stretch has a token, or some evenly spaced, or all."""
    if asked.stretches is not None:
        is_asked = np.isin(text.groups % len(text.reading.stretch_num_bytes), asked.stretches[split])
        return torch.from_numpy(np.unique(np.flatnonzero(is_asked) // seq_length))
    if asked.max_tokens is None:
        return slice(None)
    num_blocks = -(-len(text.ids) // seq_length)
    return torch.linspace(0, num_blocks - 1, min(num_blocks, max(1, asked.max_tokens // seq_length))).long()


def _sums(totals: EvalTotals, reading: Reading) -> SplitSums:
    num_stretches = len(reading.stretch_num_bytes)
    of_groups = np.zeros(2 * num_stretches)
    of_groups[: len(totals.group_nll_nats)] = totals.group_nll_nats.numpy()
    return SplitSums(
        reading=reading,
        block_nll_nats=totals.block_nll_nats.numpy(),
        block_num_tokens=totals.block_num_tokens.numpy(),
        band_nll_nats=totals.band_nll_nats.numpy(),
        band_num_tokens=totals.band_num_tokens.numpy(),
        stretch_nll_nats=of_groups[:num_stretches],
        line_end_nll_nats=of_groups[num_stretches:],
    )


def _score(
    split: str,
    totals: EvalTotals,
    text: SplitText,
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
    ids = text.ids
    return SplitScore(
        split=split,
        num_tokens=num_tokens,
        share=num_tokens / len(ids),
        masked_lm_loss_nats=loss_nats,
        masked_lm_perplexity=math.exp(loss_nats),
        masked_lm_accuracy=float(totals.block_num_correct.sum()) / num_tokens,
        bits_per_byte=loss_nats / math.log(2) * len(ids) / text.num_bytes,
        unigram_perplexity=unigram_perplexity(train_counts, np.bincount(ids, minlength=scored.num_ids)),
        num_unk=int((ids == UNK_ID).sum()),
        unk_fraction=float((ids == UNK_ID).mean()),
        num_bytes_left_out=text.num_bytes_left_out,
        bands=[
            BandScore(least, int(of_band), float(nats / of_band) if of_band else None)
            for least, nats, of_band in zip(LEAST_COUNTS, totals.band_nll_nats, totals.band_num_tokens, strict=True)
        ],
    )

"""RunRecord: what one run leaves behind. Sums rather than means, and enough to say what was run.

Reports are generated from records and from nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticSerializationError

from tiedlm.atomic_file import write_atomically
from tiedlm.config import Name, Overrides, RunConfig, Strict
from tiedlm.errors import InputError
from tiedlm.masked_batch import SPECIAL_TOKENS
from tiedlm.regular_file import read_regular_file

SCHEMA_VERSION = 5
SPLITS = ("train", "valid", "test")
MAX_NATS = 700.0  # a token; beyond it the perplexity is no number
OVERFIT_NATS = 0.5  # below the unigram level on train; who has learned little else is 0.03 to 0.12 below it
SUM_TOLERANCE = 1e-12  # of sums of doubles that were added in another order
BAND_TOLERANCE = 1e-9  # of sums over many more of them
MAX_RECORD_BYTES = 256_000_000  # two splits of four million blocks each
RECORD_PATTERN = re.compile(r"(?P<arm>[a-z0-9][a-z0-9-]*)-seed\d+\.json")


Count = Annotated[int, Field(ge=0, lt=2**63)]
Nats = Annotated[float, Field(ge=0.0, le=MAX_NATS * 2**53)]
LossNats = Annotated[float, Field(ge=0.0, le=MAX_NATS)]
NonNegative = Annotated[float, Field(ge=0.0)]
Seconds = NonNegative
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BandMetrics(Strict):
    """The same sums over the tokens of one frequency band."""

    least_count: Count
    """How often they occur in train at least; at most, one less than those of the next band."""
    num_tokens: Count
    total_nll_nats: Nats
    num_correct: Count


class SplitMetrics(Strict):
    """The fold evaluation of one split: sums over all its tokens, and over those of each block."""

    num_tokens: Annotated[Count, Field(gt=0)]
    total_nll_nats: Nats
    num_correct: Count
    unigram_perplexity: Annotated[float, Field(ge=1.0)]
    """Of the split under the train split's token frequencies: the level of having learned nothing else."""
    num_unk: Count
    """Tokens that are `[UNK]`: of words that train does not have."""
    unk_nll_nats: Nats
    """Of these; a part of `total_nll_nats`."""
    num_words: Annotated[Count, Field(gt=0)]
    """Of the text, between blanks, and one more for the end of each line; no tokenizer decides it."""
    num_bytes: Annotated[Count, Field(gt=0)]
    """Of the text in UTF-8, and one more for the end of each line."""
    bands: list[BandMetrics] | None
    """By how often the token occurs in train, the rarest first; None in records that are older than it."""
    block_nll_nats: list[Nats]
    block_num_tokens: list[Annotated[Count, Field(gt=0)]]

    @model_validator(mode="after")
    def _sums_close(self) -> Self:
        if len(self.block_nll_nats) != len(self.block_num_tokens) or sum(self.block_num_tokens) != self.num_tokens:
            raise ValueError("block_nll_nats, block_num_tokens and num_tokens disagree")
        if not math.isclose(math.fsum(self.block_nll_nats), self.total_nll_nats, rel_tol=SUM_TOLERANCE):
            raise ValueError(f"total_nll_nats={self.total_nll_nats} is not the sum of block_nll_nats")
        if self.total_nll_nats > MAX_NATS * self.num_tokens:
            raise ValueError(f"total_nll_nats={self.total_nll_nats} is over {MAX_NATS:.0f} a token, which is no result")
        for name in ("num_unk", "num_correct"):
            if getattr(self, name) > self.num_tokens:
                raise ValueError(f"{name}={getattr(self, name)} is more than num_tokens={self.num_tokens}")
        if self.unk_nll_nats > self.total_nll_nats * (1 + SUM_TOLERANCE) or (self.unk_nll_nats > 0) != (
            self.num_unk > 0
        ):
            raise ValueError(f"unk_nll_nats={self.unk_nll_nats} cannot be of {self.num_unk} of the tokens")
        if self.bands is not None:
            self._check_bands(self.bands)
        return self

    def _check_bands(self, bands: list[BandMetrics]) -> None:
        least_counts = [band.least_count for band in bands]
        if least_counts != sorted(set(least_counts)) or least_counts[:1] != [0]:
            raise ValueError(f"bands begin at {least_counts[:20]}, not at 0 and then higher")
        for name in ("num_tokens", "num_correct", "total_nll_nats"):
            whole, parts = getattr(self, name), [getattr(band, name) for band in bands]
            if not math.isclose(math.fsum(parts), whole, rel_tol=BAND_TOLERANCE):
                raise ValueError(f"{name}={whole} is not the sum of those of the bands")
        if any(band.num_correct > band.num_tokens for band in bands):
            raise ValueError("a band has more correct tokens than tokens")

    @property
    def masked_lm_loss_nats(self) -> float:
        """Mean over all tokens of the split."""
        return self.total_nll_nats / self.num_tokens

    @property
    def masked_lm_perplexity(self) -> float:
        """exp(Σ nll / n); not comparable with a causal perplexity."""
        return math.exp(self.masked_lm_loss_nats)

    @property
    def has_learned(self) -> bool:
        """Whether it is better than the token frequencies of train alone."""
        return self.masked_lm_perplexity < self.unigram_perplexity

    @property
    def masked_lm_accuracy(self) -> float:
        """Share of tokens whose top-1 prediction is right."""
        return self.num_correct / self.num_tokens

    @property
    def bits_per_byte(self) -> float:
        """The split's loss over the bytes of its text, which is the same for every tokenizer."""
        return self.total_nll_nats / math.log(2) / self.num_bytes

    @property
    def nats_per_word(self) -> float:
        """The same over its words; where words are the tokens, the loss a token."""
        return self.total_nll_nats / self.num_words

    @property
    def unk_fraction(self) -> float:
        """Share of the tokens that are `[UNK]`."""
        return self.num_unk / self.num_tokens

    @property
    def masked_lm_perplexity_without_unk(self) -> float | None:
        """Over the tokens that are words of the vocabulary; None if none is."""
        num_known = self.num_tokens - self.num_unk
        return math.exp((self.total_nll_nats - self.unk_nll_nats) / num_known) if num_known else None


class GradientSides(Strict):
    """The gradients of the two uses of the word-embedding table, or of the two matrices of an untied model."""

    input_norm: NonNegative
    output_norm: NonNegative
    cosine: Annotated[float, Field(ge=-1.0, le=1.0)]
    """Of the two, each as one vector of V×H numbers."""


class CurvePoint(Strict):
    """One look at the model during training, by one evaluation fold of evenly spaced blocks of each split."""

    step: Count
    num_tokens: Count
    """Read in training so far."""
    train_seconds: Seconds
    train_loss_nats: LossNats
    valid_loss_nats: LossNats
    gradients: GradientSides | None
    """None in records that are older than it."""


class Data(Strict):
    """Which text and which tokens."""

    corpus: str
    text_sha256: dict[str, Sha256]
    num_tokens: dict[str, Annotated[Count, Field(gt=0)]]
    tokenizer_sha256: Sha256
    vocab_size: Annotated[Count, Field(gt=len(SPECIAL_TOKENS))]


class Cost(Strict):
    """What the run took; evaluation is not counted as training."""

    train_seconds: Seconds
    tokens_per_second: Seconds
    total_seconds: Seconds
    peak_memory_bytes: Count
    checkpoint_bytes: Count


class Pairing(Strict):
    """Hashes of what the arms of one seed share, taken as it was used."""

    start_values: dict[str, str]
    """Of the untrained model, by name: shape and SHA-256 of each tensor."""
    order_sha256: Sha256
    """Of the blocks of all batches, in their order."""
    masks_sha256: Sha256
    """Of all batches as they were masked."""
    eval_masks_sha256: dict[str, Sha256]
    """Of the folds by which a split is evaluated."""


class Code(Strict):
    """What a run was made by."""

    tiedlm_version: str
    git_commit: str | None
    """Of the checkout, when the run began."""
    git_dirty: bool | None
    """Whether the commit is not all of it: files were changed, or the run went on from one of other code."""
    python: str
    torch: str


class Provenance(Code):
    """Where the run came from; `device` and `precision` must agree between the runs of a comparison."""

    command: str
    finished_at: str
    device: str
    processor: str
    precision: str
    num_threads: Count


class RunRecord(Strict):
    """One arm, one seed."""

    schema_version: int
    experiment: Name
    arm: Name
    seed: Count
    overrides: Overrides
    """What the arm changes in the experiment."""
    config: RunConfig
    """The arm's full configuration, overrides applied."""
    data: Data
    text_source: str
    """Where the text came from; runs on one text from two places may be compared."""
    parameters: dict[str, Count]
    """Stored parameters by group, measured on the model; `decoder_weight` is 0 when it is the embedding table."""
    metrics: dict[str, SplitMetrics]
    curve: Annotated[list[CurvePoint], Field(min_length=1)]
    pairing: Pairing | None
    """None in records that are older than it: there pairing is promised by the code and not proved."""
    cost: Cost
    provenance: Provenance
    sha256: str = ""
    """Of all the above as JSON, so that what was changed after it was written is no record."""

    def why_worse_than_unigram(self, split: str) -> str | None:
        """What is wrong with a model that token frequencies beat on a split, and what to do; None if they do not."""
        metrics = self.metrics[split]
        if metrics.has_learned:
            return None
        if self.curve[-1].train_loss_nats < math.log(metrics.unigram_perplexity) - OVERFIT_NATS:
            return "has overfit, so train for fewer steps or on more text"
        return "has hardly learned anything yet, so train longer"

    @model_validator(mode="after")
    def _proves_its_arm(self) -> Self:
        stored = self.parameters.get("decoder_weight", -1)
        ties = self.config.trained_model.tie_word_embeddings
        if stored < 0 or ties != (stored == 0):
            raise ValueError(
                f"tie_word_embeddings={ties} at the end of training, but the model stored "
                f"decoder_weight={self.parameters.get('decoder_weight')}"
            )
        config = self.config.model_dump()
        for section, values in self.overrides.items():
            for key, value in values.items():
                if key not in config[section] or config[section][key] != value:
                    raise ValueError(
                        f"overrides say {section}.{key}={value!r}, config says {config[section].get(key)!r}"
                    )
        if set(self.metrics) != {"valid", "test"}:
            raise ValueError(f"metrics are of {sorted(self.metrics)}, not of valid and test")
        return self

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """Facts that a record states in two places."""
        seq_length, train = self.config.corpus.seq_length, self.config.train
        if self.pairing is not None and set(self.pairing.eval_masks_sha256) != set(self.metrics):
            raise ValueError(f"pairing is of {sorted(self.pairing.eval_masks_sha256)}, not of valid and test")
        if set(self.data.num_tokens) != set(SPLITS) or set(self.data.text_sha256) != set(SPLITS):
            raise ValueError(f"data are of {sorted(self.data.num_tokens)}, not of {', '.join(SPLITS)}")
        for split, metrics in self.metrics.items():
            num_tokens = self.data.num_tokens[split]
            *whole, last = metrics.block_num_tokens or [0]
            num_whole, rest = divmod(num_tokens - 1, seq_length)
            if len(whole) != num_whole or set(whole) - {seq_length} or last != rest + 1:
                raise ValueError(f"the blocks of {split} are not those of {num_tokens} tokens at {seq_length} a block")
        steps = [point.step for point in self.curve]
        if steps != sorted(set(steps)) or steps[0] != 0 or steps[-1] != train.num_steps:
            raise ValueError(f"curve has the steps {steps[:20]}, not some from 0 to {train.num_steps}")
        for point in self.curve:
            if point.num_tokens != point.step * train.batch_size * seq_length:
                raise ValueError(f"curve: step {point.step} is not after {point.num_tokens} tokens")
        return self

    def own_sha256(self) -> str:
        """What `sha256` must be."""
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode()).hexdigest()

    def sealed(self) -> RunRecord:
        """The same with its `sha256`."""
        return self.model_copy(update={"sha256": self.own_sha256()})

    @property
    def file_name(self) -> str:
        """`<arm>-seed<k>.json`."""
        return record_file_name(self.arm, self.seed)


def record_file_name(arm: str, seed: int) -> str:
    """The name of a run's record in its experiment's folder."""
    return f"{arm}-seed{seed}.json"


def load_record(path: Path) -> RunRecord:
    """Read one record.

    Raises:
        InputError: it cannot be read, or is not a record of this schema.
    """
    try:
        content = read_regular_file(path, MAX_RECORD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if len(content) > MAX_RECORD_BYTES:
        raise InputError(f"{path}: is over the limit of {MAX_RECORD_BYTES:,} bytes; delete it and train again")
    try:
        raw = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({error}); delete it and train again") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: has schema_version={version}, this tiedlm reads {SCHEMA_VERSION}; delete it and train again"
        )
    try:
        record = RunRecord.model_validate(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "record"
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        raise InputError(f"{path}: {place}: {message}; delete it and train again") from error
    try:
        own_sha256 = record.own_sha256()
    except PydanticSerializationError as error:
        raise InputError(f"{path}: holds half of a character; delete it and train again") from error
    if record.sha256 != own_sha256:
        raise InputError(
            f"{path}: was changed after it was written (its sha256 is not that of its content); take it from a copy, "
            "or delete it and train again"
        )
    if record.file_name != path.name:
        raise InputError(f"{path}: is the record of {record.file_name}; delete it or give it that name")
    return record


def load_records(folder: Path, may_be_empty: bool = False) -> list[RunRecord]:
    """Every record of a folder, in file order.

    Raises:
        InputError: the folder does not exist, has no records, or one of them cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one that tiedlm compare wrote")
    records = [load_record(path) for path in sorted(folder.iterdir()) if RECORD_PATTERN.fullmatch(path.name)]
    if not records and not may_be_empty:
        raise InputError(f"{folder}: holds no records (<arm>-seed<k>.json); give the folder that tiedlm compare wrote")
    return records


def save_record(record: RunRecord, folder: Path) -> Path:
    """Write a record so that a reader finds all of it or nothing."""
    path = folder / record.file_name
    text = json.dumps(record.sealed().model_dump(), indent=1)
    number_lists = re.compile(
        r"\[\s*(-?[\d.e+-]+(?:,\s*-?[\d.e+-]+)*)\s*\]"
    )  # one line each, so that a person can scroll
    write_atomically(path, number_lists.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text) + "\n")
    return path

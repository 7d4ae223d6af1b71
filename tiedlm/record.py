"""RunRecord: what one run leaves behind. Sums rather than means, and enough to say what was run.

Reports are generated from records and from nothing else.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from tiedlm.atomic_file import write_atomically
from tiedlm.config import Name, Overrides, RunConfig, Strict
from tiedlm.errors import InputError

SCHEMA_VERSION = 4
MAX_RECORD_BYTES = 256_000_000  # two splits of four million blocks each
RECORD_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*-seed\d+\.json")


class SplitMetrics(Strict):
    """The fold evaluation of one split: sums over all its tokens, and over those of each block."""

    num_tokens: Annotated[int, Field(gt=0)]
    total_nll_nats: float
    num_correct: int
    unigram_perplexity: float
    """Of the split under the train split's token frequencies: the level of having learned nothing else."""
    num_unk: Annotated[int, Field(ge=0)]
    """Tokens that are `[UNK]`: of words that train does not have."""
    unk_nll_nats: float
    """Of these; a part of `total_nll_nats`."""
    num_words: Annotated[int, Field(gt=0)]
    """Of the text, between blanks, and one more for the end of each line; no tokenizer decides it."""
    num_bytes: Annotated[int, Field(gt=0)]
    """Of the text in UTF-8, and one more for the end of each line."""
    block_nll_nats: list[float]
    block_num_tokens: list[int]

    @model_validator(mode="after")
    def _sums_close(self) -> Self:
        if len(self.block_nll_nats) != len(self.block_num_tokens) or sum(self.block_num_tokens) != self.num_tokens:
            raise ValueError("block_nll_nats, block_num_tokens and num_tokens disagree")
        if not math.isclose(sum(self.block_nll_nats), self.total_nll_nats, rel_tol=1e-3):
            raise ValueError(f"total_nll_nats={self.total_nll_nats} is not the sum of block_nll_nats")
        if self.num_unk > self.num_tokens:
            raise ValueError(f"num_unk={self.num_unk} is more than num_tokens={self.num_tokens}")
        return self

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


class CurvePoint(Strict):
    """One look at the model during training, by one evaluation fold of evenly spaced blocks of each split."""

    step: int
    num_tokens: int
    """Read in training so far."""
    train_seconds: float
    train_loss_nats: float
    valid_loss_nats: float


class Data(Strict):
    """Which text and which tokens."""

    corpus: str
    text_sha256: dict[str, str]
    num_tokens: dict[str, int]
    tokenizer_sha256: str
    vocab_size: int


class Cost(Strict):
    """What the run took; evaluation is not counted as training."""

    train_seconds: float
    tokens_per_second: float
    total_seconds: float
    peak_memory_bytes: int
    checkpoint_bytes: int


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
    num_threads: int


class RunRecord(Strict):
    """One arm, one seed."""

    schema_version: int
    experiment: Name
    arm: Name
    seed: int
    overrides: Overrides
    """What the arm changes in the experiment."""
    config: RunConfig
    """The arm's full configuration, overrides applied."""
    data: Data
    text_source: str
    """Where the text came from; runs on one text from two places may be compared."""
    parameters: dict[str, int]
    """Stored parameters by group, measured on the model; `decoder_weight` is 0 when it is the embedding table."""
    metrics: dict[str, SplitMetrics]
    curve: Annotated[list[CurvePoint], Field(min_length=1)]
    cost: Cost
    provenance: Provenance

    @model_validator(mode="after")
    def _proves_its_arm(self) -> Self:
        stored = self.parameters.get("decoder_weight", -1)
        if stored < 0 or self.config.model.tie_word_embeddings != (stored == 0):
            raise ValueError(
                f"tie_word_embeddings={self.config.model.tie_word_embeddings} but the model stored "
                f"decoder_weight={self.parameters.get('decoder_weight')}"
            )
        config = self.config.model_dump()
        for section, values in self.overrides.items():
            for key, value in values.items():
                if config[section].get(key) != value:
                    raise ValueError(
                        f"overrides say {section}.{key}={value!r}, config says {config[section].get(key)!r}"
                    )
        if set(self.metrics) != {"valid", "test"}:
            raise ValueError(f"metrics are of {sorted(self.metrics)}, not of valid and test")
        return self

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
        with path.open("rb") as file:
            content = file.read(MAX_RECORD_BYTES + 1)
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
    text = json.dumps(record.model_dump(), indent=1)
    number_lists = re.compile(
        r"\[\s*(-?[\d.e+-]+(?:,\s*-?[\d.e+-]+)*)\s*\]"
    )  # one line each, so that a person can scroll
    write_atomically(path, number_lists.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]", text) + "\n")
    return path

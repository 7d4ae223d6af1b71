"""An experiment as strict, frozen data: what a TOML file says, and nothing it does not say.

Every key must be stated and no other key may be. A comparison trains *arms*: the experiment with a
few keys overridden. `tied` and `untied` exist in every experiment; a file may add more.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tiedlm.errors import InputError, did_you_mean

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}$"  # names become file names, so they hold no path
TOKENIZER_PATTERN = r"^(word|word:[1-9]\d{0,6}|bpe:[1-9]\d{0,6}|file:.+|hub:[\w.-]+/[\w.-]+)$"
OUTPUT_ROWS_PATTERN = r"^(own|identity|(band|any):\d{1,9})$"
PATTERN_WORDS = {
    OUTPUT_ROWS_PATTERN: "own, identity, band:N or any:N, e.g. band:0",
    NAME_PATTERN: "up to 64 small letters, digits and hyphens, a hyphen not first",
    TOKENIZER_PATTERN: "word, word:N, bpe:N, file:PATH or hub:OWNER/NAME, e.g. bpe:4096",
}

MAX_SEQ_LENGTH = 1_000_000
SHOWN_CHARACTERS = 80  # of a wrong value

# What all arms must share for "steps and tokens are equal" and "the same masks" to hold.
SHARED_TRAIN_KEYS = ("num_steps", "batch_size", "mlm_probability", "num_evaluations", "eval_mask_seed")
Overrides = dict[Literal["model", "train"], dict[str, Any]]
BUILT_IN_ARMS: dict[str, Overrides] = {
    "tied": {"model": {"tie_word_embeddings": True}},
    "untied": {"model": {"tie_word_embeddings": False}},
}

SECTIONS_OF_ARMS: tuple[Literal["model", "train"], ...] = ("model", "train")
ALSO_CALLED = {
    "lr": "learning_rate",
    "dropout": "hidden_dropout_prob",
    "epochs": "num_steps",
    "vocab_size": "tokenizer",
}
"""What people look for, and the key that decides it here."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Size = Annotated[int, Field(gt=0, le=1_000_000)]
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model without defaults, coercion, or unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ModelConfig(Strict):
    """The masked LM, but for `vocab_size`, which the tokenizer decides."""

    encoder: Literal["modernbert", "bert"]
    """Which layers: pre-LayerNorm, rotary, GeGLU; or BERT's own."""
    hidden_size: Size
    """Width H of every hidden vector."""
    num_hidden_layers: Annotated[int, Field(gt=0, le=1_000)]
    """Layers of the encoder."""
    num_attention_heads: Size
    """Heads of each layer; they divide `hidden_size`."""
    intermediate_size: Size
    """Width of the feed-forward; `modernbert` adds a gate of the same width."""
    max_position_embeddings: Size
    """`bert` has a learned vector for each position; for `modernbert` (rotary) it is only a limit."""
    hidden_dropout_prob: Probability
    """Dropout after the embeddings and after each attention and feed-forward."""
    attention_probs_dropout_prob: Probability
    """Dropout of the attention weights."""
    initializer_range: Annotated[float, Field(gt=0.0)]
    """Standard deviation of every matrix at the start, the embeddings among them."""
    rope_theta: Annotated[float, Field(gt=0.0)]
    """Base of the rotary angles of `modernbert`; `bert`, whose positions are learned, does not read it."""
    tie_word_embeddings: bool
    """Whether the output matrix is the word-embedding table; the arms set it."""
    head_transform: bool
    """BERT's dense → GELU → LayerNorm between the encoder and the output matrix."""
    output_rows: Annotated[str, Field(pattern=OUTPUT_ROWS_PATTERN)]
    """Whose row of the output matrix scores a token: its `own`, or that of another, drawn by the number N. `band:N`: of
    one about as frequent in train; `any:N`: of any; `identity`: its own, by the same code."""
    output_matrix_start: Literal["drawn", "copied"]
    """An untied output matrix starts with values of its own, or as a copy of the word-embedding table."""
    input_gradient_scale: Annotated[float, Field(ge=0.0)]
    """Times this, the table takes the gradient of its use as input (Lopardo et al. 2026); 1 changes nothing."""

    def config_json(self, vocab_size: int) -> dict[str, Any]:
        """The same model in the words of a `config.json`, once the tokenizer is known."""
        of_training = {"initializer_range", "output_rows", "output_matrix_start", "input_gradient_scale"}
        left_out = {"encoder", "hidden_dropout_prob", "attention_probs_dropout_prob", "rope_theta", *of_training}
        return {"model_type": self.encoder, "vocab_size": vocab_size} | self.model_dump(exclude=left_out)

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by "
                f"num_attention_heads={self.num_attention_heads}; change one of them"
            )
        if self.encoder == "modernbert" and (self.hidden_size // self.num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size={self.hidden_size} over num_attention_heads={self.num_attention_heads} gives an "
                "odd head size, which rotary positions cannot split; change one of them"
            )
        return self


class SavedModelConfig(Strict):
    """What the header of a saved model says of it."""

    model: ModelConfig
    vocab_size: Annotated[int, Field(gt=0, le=1_000_000_000)]
    """Which the tokenizer has decided."""


class CorpusConfig(Strict):
    """Which text, how it becomes tokens, and how long a block is."""

    name: Annotated[str, Field(min_length=1)]
    """`pydoc`, `ptb`, `wikitext-2`, another known corpus, a folder or file of text, `hub:OWNER/NAME[:CONFIG]`."""
    tokenizer: Annotated[str, Field(pattern=TOKENIZER_PATTERN)]
    """`word`: every word of the train split; `word:N` or `bpe:N`: a vocabulary of N with the special tokens;
    `file:PATH` or `hub:OWNER/NAME`: the `tokenizer.json` of another model."""
    seq_length: Annotated[int, Field(ge=8, le=MAX_SEQ_LENGTH)]
    """Tokens of a block."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)]
    """Share of train's blocks that are trained on, by one fixed order, so that a smaller share is part of a larger one;
    the vocabulary stays the whole text's."""


class TrainConfig(Strict):
    """The recipe; the same for all arms unless an arm says otherwise."""

    num_steps: Size
    """Optimizer steps."""
    batch_size: Size
    """Blocks a step."""
    mlm_probability: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Share of each block predicted in training; evaluation always masks folds of about 15 %."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """AdamW's peak rate, for the embeddings and the output matrix."""
    norm_and_bias_learning_rate: Annotated[float, Field(gt=0.0)]
    """For what is no matrix; by AdamW, like the embeddings and the output matrix."""
    output_matrix_rate_scale: Annotated[float, Field(gt=0.0)]
    """An untied output matrix learns at this times `learning_rate`."""
    muon_learning_rate: Annotated[float, Field(ge=0.0)]
    """For the matrices between the embeddings and the output matrix, by Muon; 0 leaves them to AdamW."""
    adam_beta1: Probability
    """Decay of AdamW's first moment."""
    adam_beta2: Probability
    """Decay of AdamW's second moment."""
    adam_epsilon: Annotated[float, Field(gt=0.0)]
    """Added to the root of AdamW's second moment: it damps what has tiny gradients, such as the rows of rare tokens
    between their occurrences. BERT has 1e-6 (google-research/bert, `optimization.py`), PyTorch by default 1e-8."""
    weight_decay: Annotated[float, Field(ge=0.0)]
    """Decoupled, of matrices alone."""
    warmup_fraction: Probability
    """Linear warm-up over this share of the steps, then linear decay to zero."""
    tied_fraction: Annotated[float, Field(ge=0.0, le=1.0)]
    """For this share of the steps a tied model stays tied; then its output matrix goes on as a copy of the table, with
    a copy of its optimizer's states (modded-nanogpt, record 53). 1: it stays tied."""
    max_grad_norm: Annotated[float, Field(gt=0.0)]
    """Of all gradients together, beyond which they are scaled down."""
    num_evaluations: Annotated[int, Field(gt=0, le=10_000)]
    """Points of the learning curve after the one at step 0; never more than there are steps."""
    eval_mask_seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Of the masks of every evaluation."""

    @property
    def untie_step(self) -> int | None:
        """After how many steps a tied model is untied; None: never."""
        return None if self.tied_fraction == 1.0 else round(self.tied_fraction * self.num_steps)


class RunConfig(Strict):
    """One arm's full configuration."""

    model: ModelConfig
    corpus: CorpusConfig
    train: TrainConfig

    @property
    def trained_model(self) -> ModelConfig:
        """The model at the end of training, which may have been untied by then."""
        stays = self.train.untie_step is None
        return self.model if stays else self.model.model_copy(update={"tie_word_embeddings": False})

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.corpus.seq_length > self.model.max_position_embeddings:
            raise ValueError(
                f"corpus.seq_length={self.corpus.seq_length} exceeds "
                f"model.max_position_embeddings={self.model.max_position_embeddings}; lower the one or raise the other"
            )
        if self.train.tied_fraction < 1.0 and not self.model.tie_word_embeddings:
            raise ValueError(
                f"train.tied_fraction={self.train.tied_fraction} is of a tied model, and this one is not; set it in "
                "the arm that it is for"
            )
        if self.model.output_matrix_start == "copied" and self.model.tie_word_embeddings:
            raise ValueError(
                "model.output_matrix_start='copied' is of an untied model, and this one is tied; set it in the arm "
                "that it is for"
            )
        return self


class Grid(Strict):
    """What is searched for each arm before a comparison: every combination of some values of some keys."""

    seeds: Annotated[int, Field(gt=0, le=100)]
    """How many seeds of each arm in each cell; none of them is compared."""
    values: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    """By `section.key`."""


class Experiment(RunConfig):
    """A TOML file of `experiments/`: the shared configuration, the arms and the number of seeds."""

    name: Name
    """Of the records and their folder, `results/NAME`."""
    seeds: Annotated[int, Field(gt=0, le=1_000)]
    """How many seeds of each arm, from 0 on."""
    arms: dict[Name, Overrides] = Field(default_factory=dict)
    grid: Grid | None = None

    @model_validator(mode="after")
    def _arms_fit(self) -> Self:
        for arm, overrides in self.arms.items():
            if arm in BUILT_IN_ARMS and "tie_word_embeddings" in overrides.get("model", {}):
                raise ValueError(
                    f"arms.{arm}.model.tie_word_embeddings is what makes the arm {arm}; give another arm another name"
                )
            for key in overrides.get("train", {}):
                if key in SHARED_TRAIN_KEYS:
                    raise ValueError(f"arms.{arm}.train.{key} must be the same in all arms; set train.{key} instead")
            others = [other for other in self.arm_names if other != arm]
            for other in others:
                if self.run_config(arm) == self.run_config(other):
                    raise ValueError(
                        f"arms.{arm} changes nothing: it is {other} again; change a key in it, or remove it"
                    )
        return self

    @property
    def arm_names(self) -> list[str]:
        """The built-in two first, then those of the file."""
        return [*BUILT_IN_ARMS, *(arm for arm in self.arms if arm not in BUILT_IN_ARMS)]

    def overrides(self, arm: str) -> Overrides:
        """What an arm changes.

        Raises:
            InputError: the arm is unknown.
        """
        if arm not in self.arm_names:
            hint = did_you_mean(arm, self.arm_names)
            raise InputError(f"arm {arm!r} is not one of {', '.join(self.arm_names)}{hint}; choose one of these")
        of_file: dict[str, dict[str, Any]] = {str(section): keys for section, keys in self.arms.get(arm, {}).items()}
        built_in = BUILT_IN_ARMS.get(arm, {})
        merged = {section: {**of_file.get(section, {}), **built_in.get(section, {})} for section in SECTIONS_OF_ARMS}
        return {section: keys for section, keys in merged.items() if keys}

    def run_config(self, arm: str) -> RunConfig:
        """Apply an arm's overrides.

        Raises:
            InputError: the arm is unknown, or one of its overrides is.
        """
        overrides = self.overrides(arm)
        merged = {
            "model": {**self.model.model_dump(), **overrides.get("model", {})},
            "corpus": self.corpus.model_dump(),
            "train": {**self.train.model_dump(), **overrides.get("train", {})},
        }
        return validated(RunConfig, merged, f"arm {arm!r}")


def changed(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment with other values, by `section.key` or `arms.ARM.section.key`.

    Raises:
        InputError: there is no such key, or it cannot have the value.
    """
    raw = experiment.model_dump()
    for place, value in values.items():
        *sections, key = place.split(".")
        target = raw
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(f"{place}: {section!r} is no section; give a key as tiedlm config shows it")
        target[key] = value
    told = ", ".join(f"{place}={value!r}" for place, value in values.items())
    return validated(Experiment, raw, f"{experiment.name} with {told}")


def validated(model: type[M], raw: dict[str, Any], source: str) -> M:
    """Make a model of raw data.

    Raises:
        InputError: it is not such a model; every problem is told with its place, its value and what is allowed.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{source}: {'; '.join(_sentences(error))}") from error


def _sentences(error: ValidationError) -> list[str]:
    """Say each problem of a validation in words: where, what, and what is allowed."""
    sentences = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        match problem["type"]:
            case "missing":
                sentences.append(f"key {place} is missing; add it")
            case "extra_forbidden":
                key = place.rpartition(".")[2]
                like = [ALSO_CALLED[key]] if key in ALSO_CALLED else get_close_matches(key, _keys(), n=1)
                hint = f" (did you mean {_keys()[like[0]]}?)" if like else ""
                if key == "vocab_size":
                    hint = " (the tokenizer decides it: corpus.tokenizer=bpe:N)"
                sentences.append(f"key {place} is unknown; remove it or correct its spelling{hint}")
            case "string_pattern_mismatch":
                allowed = PATTERN_WORDS[problem["ctx"]["pattern"]]
                sentences.append(f"{place}={_shown(problem['input'])} is not {allowed}; change the value")
            case "value_error":
                sentences.append(str(problem["ctx"]["error"]))
            case _:
                sentences.append(f"{place}={_shown(problem['input'])}: {problem['msg'].lower()}; change the value")
    return sentences


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def place_of_key(name: str) -> str | None:
    """`train.learning_rate` of `learning_rate`, or of what others call it; None if there is no such key."""
    return _keys().get(ALSO_CALLED.get(name, name))


def _keys() -> dict[str, str]:
    """Each key of an experiment's file by its last word, and each section."""
    sections: dict[str, type[BaseModel]] = {"model": ModelConfig, "corpus": CorpusConfig, "train": TrainConfig}
    keys = {key: f"{section}.{key}" for section, kind in sections.items() for key in kind.model_fields}
    return keys | {key: key for key in Experiment.model_fields}

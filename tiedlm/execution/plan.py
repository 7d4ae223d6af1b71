"""What a command is about to do, and how long that takes: said before the first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import WithJsonSchema

from tiedlm.comparison.text_notes import text_notes
from tiedlm.config.experiment import Experiment
from tiedlm.data.sources.documents import Documents
from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.record.run_id import RunId
from tiedlm.record.trained_on import trained_on
from tiedlm.training.cost import expected_cost
from tiedlm.training.device import Runtime

FORWARD_SHARE = 1 / 3
"""Of a training step's FLOPs: backward makes twice as many products as forward."""


InWords = Annotated[RunId, WithJsonSchema({"type": "string"})]
"""Told as `tied seed 3`."""


@dataclass(frozen=True)
class PlannedWidth:
    """What `--to-within` leads to."""

    half_width_nats: float
    seeds_needed: int | None
    """None while it cannot be known, since runs of the first stage have no record."""
    sentence: str


@dataclass(frozen=True)
class Plan:
    """The runs of a command; sizes are of each run."""

    schema_version: Literal[1] = dataclasses.field(default=1, init=False)
    experiment: str
    corpus: str
    out: str
    to_train: list[InWords]
    already_there: list[InWords]
    num_steps: int
    train_tokens: int
    evaluation_tokens: int
    """As `ExpectedCost` has both."""
    epochs: float
    corpus_tokens: dict[str, int]
    """As `TrainedOn` has both."""
    documents: Documents | None
    """By which valid or test was taken from train; None where the corpus has both."""
    vocab_size: int
    parameters: dict[str, int]
    """At the end of training, by arm."""
    device: str
    precision: str
    has_bf16: bool
    """Whether the device has bf16, which makes training a few times faster."""
    side_by_side: int
    notes: list[str]
    """What a reader must know of the text beforehand."""
    tokens_per_second: float | None = None
    """Of the slowest of the runs that go side by side; None until some steps were timed, as the next."""
    estimated_seconds: float | None = None
    estimated_evaluation_seconds: float | None = None
    """That part of them in which runs are evaluated."""
    width: PlannedWidth | None = None
    """None without `--to-within`."""
    num_cells: int | None = None
    """Of a scan or a tuning, whose sizes above are those of its first cell; None of one comparison."""

    def document(self) -> dict[str, object]:
        """The JSON of `--dry-run --json`, with runs in words."""
        runs = {"to_train": [*map(str, self.to_train)], "already_there": [*map(str, self.already_there)]}
        return dataclasses.asdict(self) | runs

    @property
    def tokens_of_run(self) -> float:
        """Of training, and of evaluation as much training as takes as long."""
        return self.train_tokens + self.evaluation_tokens_of_run

    @property
    def evaluation_tokens_of_run(self) -> float:
        """The second part of it."""
        return FORWARD_SHARE * self.evaluation_tokens

    def timed(self, tokens_per_second: float, start_seconds: float = 0.0) -> Plan:
        """With the time of all runs, at the pace of one run in training while others go beside it."""
        num_rounds = -(-len(self.to_train) // max(1, self.side_by_side))
        return dataclasses.replace(
            self,
            tokens_per_second=tokens_per_second,
            estimated_seconds=start_seconds + num_rounds * self.tokens_of_run / tokens_per_second,
            estimated_evaluation_seconds=num_rounds * self.evaluation_tokens_of_run / tokens_per_second,
        )


def plan_of_cells(plans: Sequence[Plan], out: Path, side_by_side: int, num_cells: int) -> Plan:
    """The plans of cells as one, in the folder of all of them."""
    return dataclasses.replace(
        plans[0],
        out=str(out),
        to_train=[run for plan in plans for run in plan.to_train],
        already_there=[run for plan in plans for run in plan.already_there],
        side_by_side=side_by_side,
        notes=list(dict.fromkeys(note for plan in plans for note in plan.notes)),
        num_cells=num_cells,
    )


def make_plan(
    experiment: Experiment,
    corpus: TokenizedCorpus,
    runs: Sequence[RunId],
    already_there: Sequence[RunId],
    out: Path,
    runtime: Runtime,
    side_by_side: int,
    has_bf16: bool,
) -> Plan:
    """Put together what is known before a step is made."""
    arms = dict.fromkeys(run.arm for run in (*runs, *already_there))
    costs = {arm: expected_cost(experiment.run_config(arm), corpus) for arm in arms}
    first = next(iter(costs.values()))  # steps, batches and evaluations are the same in all arms
    text = trained_on(experiment, corpus.num_tokens)
    return Plan(
        experiment=experiment.name,
        corpus=corpus.name,
        out=str(out),
        to_train=list(runs),
        already_there=list(already_there),
        num_steps=experiment.train.num_steps,
        train_tokens=first.train_tokens,
        evaluation_tokens=first.evaluation_tokens,
        epochs=text.epochs,
        corpus_tokens=text.num_tokens,
        documents=corpus.documents,
        vocab_size=corpus.vocab_size,
        parameters={arm: cost.parameters for arm, cost in costs.items()},
        device=runtime.device,
        precision=runtime.precision,
        has_bf16=has_bf16,
        side_by_side=side_by_side,
        notes=text_notes(text, corpus.documents is not None and corpus.documents.may_cut_paragraphs),
    )

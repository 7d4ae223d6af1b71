"""What a comparison says, as data: a report shows this and computes nothing."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import computed_field

from tiedlm.comparison.curves import DifferenceCurve
from tiedlm.comparison.paired_statistics import Delta
from tiedlm.comparison.similarity import MatrixSimilarity
from tiedlm.comparison.tabular import Row, Tabular
from tiedlm.comparison.tuning_table import Tuning
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.contrasts import Contrast
from tiedlm.config.strict import Name, Strict
from tiedlm.record.curve_point import CurvePoint, GradientSides
from tiedlm.record.trained_on import TrainedOn

METRICS = ("masked_lm_perplexity", "masked_lm_loss_nats", "masked_lm_accuracy", "bits_per_byte", "nats_per_word")
"""Of a run on a split, in the order in which they are told."""
INCONCLUSIVE, NO_VERDICT = "inconclusive", "no verdict"
EXPLORATORY = "exploratory"
"""Of a difference beside planned contrasts: it has an interval, and is not tested."""
AS_PREDICTED, CONTRARY = "as predicted", "contrary to the prediction"


def verdict_of(ahead: str | None, p_holm: float | None) -> str:
    """`ARM better`, `inconclusive`, or `no verdict` where nothing was tested."""
    return NO_VERDICT if p_holm is None else INCONCLUSIVE if ahead is None else f"{ahead} better"


class Summary(Strict):
    """One number a seed; `std` over seeds (n − 1), absent for one seed."""

    mean: float
    std: float | None
    values: list[float]


class SplitSummary(Strict):
    """One arm on one split."""

    masked_lm_perplexity: Summary
    masked_lm_loss_nats: Summary
    masked_lm_accuracy: Summary
    num_tokens: int
    unigram_perplexity: float
    bits_per_byte: Summary
    nats_per_word: Summary
    """Of the text's bytes and words, which no tokenizer decides."""
    unk_fraction: float
    """Share of the tokens that are `[UNK]`."""
    masked_lm_perplexity_without_unk: Summary | None
    """Over the other tokens; None where none is `[UNK]`, or all are."""

    @property
    def bits_of_a_nat(self) -> float:
        """How many bits a byte one nat a token is; by the text and its tokens alone, so the same in all arms."""
        return self.bits_per_byte.mean / self.masked_lm_loss_nats.mean


class ArmSummary(Strict):
    """One arm over its seeds; costs are means, memory the largest."""

    overrides: dict[str, Any]
    """What the arm changes, as `section.key`."""
    parameters: dict[str, int]
    metrics: dict[str, SplitSummary]
    train_seconds: float
    total_seconds: float
    """With the evaluations."""
    tokens_per_second: float
    peak_memory_bytes: int
    checkpoint_bytes: int
    curves: dict[str, list[CurvePoint]]
    """The learning curve of each seed."""


class Saved(Strict):
    """What tying saves at this size."""

    parameters: int
    fraction: float
    """Of the untied model."""
    formula: str


class BandDifference(Strict):
    """Two arms on the tokens of one frequency band of a split."""

    least_count: int
    """How often they occur in train at least."""
    num_tokens: int
    mean: float
    """In nats a token."""
    ci95: tuple[float, float] | None
    """Of each band alone; None for one seed."""


class Difference(Strict):
    """Two arms on one split."""

    arms: tuple[str, str]
    split: str
    delta_nats: Delta
    perplexity_ratio: float
    """exp(mean delta): perplexity of the second arm over that of the first."""
    is_exploratory: bool
    """Whether there are planned contrasts, which alone are tested."""
    p_holm: float | None
    """The p-value that decides: Holm's over all differences of the split, where there are several; None where the
    difference is exploratory."""
    detectable_nats: float | None
    """The true difference that this many seeds would find significant 80 % of the time, unadjusted; None for one seed,
    or by a two-stage design, which has the width of its interval instead."""
    bands: list[BandDifference] | None
    """None where records are older than bands."""
    ahead: str | None
    """The arm that is found ahead: of lower loss."""
    reason: str | None
    """Why there is no verdict, and what to do."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> str:
        """In words."""
        return EXPLORATORY if self.is_exploratory else verdict_of(self.ahead, self.p_holm)

    @property
    def label(self) -> str:
        """What it is called where one arm is the first in all differences."""
        return self.arms[1]

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        return self.delta_nats.ci95

    @property
    def num_seeds(self) -> int:
        """Over which it is."""
        return len(self.delta_nats.values)


class ContrastResult(Strict):
    """A planned contrast on one split."""

    name: Name
    split: str
    contrast: Contrast
    seeds: list[int]
    """Those that all its arms have, in all its cells."""
    values: list[float]
    """Its value for each of them, in nats a token."""
    mean: float | None
    """None where it has no value yet."""
    ci95: tuple[float, float] | None
    """None for one seed."""
    p_value: float | None
    """Of the two-sided t-test for a predicted sign, of two one-sided tests for a margin of equality; None where there
    is no verdict."""
    p_holm: float | None
    """The same, adjusted for the number of contrasts on the split; it decides."""
    detectable_nats: float | None
    """As of a difference."""
    method: str | None
    """Of the interval."""
    verdict: str
    """`as predicted`, `contrary to the prediction`, `equal within ± 0.03`, `inconclusive` or `no verdict`."""
    reason: str | None
    """Why there is no verdict, or why a margin is not decided on."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def formula(self) -> str:
        """What is subtracted from what, in words."""
        return self.contrast.formula

    @property
    def is_decided(self) -> bool:
        """Whether the test found what was predicted, or the contrary."""
        return self.verdict not in (INCONCLUSIVE, NO_VERDICT)

    @property
    def is_as_predicted(self) -> bool:
        """Whether the test found what was predicted: the sign, or equality within the margin."""
        return self.is_decided and self.verdict != CONTRARY

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        return self.ci95

    @property
    def num_seeds(self) -> int:
        """Over which it is."""
        return len(self.seeds)

    def row(self) -> Row:
        """Its figures."""
        low, high = self.ci95 or (None, None)
        return {
            "contrast": self.name,
            "formula": self.formula,
            "split": self.split,
            "seeds": self.num_seeds,
            "nats": self.mean,
            "ci95_low": low,
            "ci95_high": high,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        """In a line."""
        figures = "" if self.mean is None else f" {self.mean:+.3f}"
        figures += "" if self.ci95 is None else f" [{self.ci95[0]:+.3f}, {self.ci95[1]:+.3f}]"
        return f"{self.name} ({self.formula}){figures} nats a token: {self.verdict}"


class Comparison(Strict, Tabular):
    """Everything a report says; `tiedlm compare --json` prints it."""

    schema_version: Literal[8] = 8
    experiment: str
    corpus: str
    seeds: list[int]
    trained_on: TrainedOn
    arms: dict[str, ArmSummary]
    saved: Saved
    contrasts: list[ContrastResult]
    """What was planned; where there is anything, it alone has verdicts."""
    differences: list[Difference]
    difference_curves: list[DifferenceCurve]
    """Of every other arm against the first."""
    shared_config: dict[str, Any]
    """What is equal in all arms, as `section.key`."""
    provenance: dict[str, list[str]]
    """The distinct values over all records."""
    notes: list[str]
    unpaired: dict[str, list[int]]
    """The seeds of an arm that are left out, since no other arm has them; arms without such are left out."""
    design: TwoStage | None
    """How many seeds were decided on before they were trained; None if they were a number given beforehand."""
    tuning: Tuning | None
    """Each arm's losses in every cell of the tuning that chose its values; None where none was made."""
    similarity: list[MatrixSimilarity] | None
    """Of each arm's matrices to the tied run's table; None where no models were at hand."""
    records_sha256: str
    """Of what all this follows from: the records, the design, the contrasts and this version."""

    @property
    def is_exploratory(self) -> bool:
        """Whether contrasts are planned, here or over the cells of a scan, so that no difference is tested."""
        return any(item.is_exploratory for item in self.differences)

    def tables(self) -> dict[str, list[Row]]:
        """`runs`: each with each split; `differences` from the first arm; `contrasts`, planned; `curves`, by points."""
        return {
            "runs": self._run_rows(),
            "differences": self._difference_rows(),
            "contrasts": [item.row() for item in self.contrasts],
            "curves": self._curve_rows(),
        }

    def _run_rows(self) -> list[Row]:
        return [
            {
                "experiment": self.experiment,
                "arm": arm,
                "seed": int(seed),
                "split": split,
                "parameters": summary.parameters["total"],
                **{name: getattr(metrics, name).values[place] for name in METRICS},
                "num_tokens": metrics.num_tokens,
                "unigram_perplexity": metrics.unigram_perplexity,
            }
            for arm, summary in self.arms.items()
            for place, seed in enumerate(summary.curves)
            for split, metrics in summary.metrics.items()
        ]

    def _difference_rows(self) -> list[Row]:
        return [
            {
                "arm": item.arms[1],
                "minus_arm": item.arms[0],
                "split": item.split,
                "seeds": item.num_seeds,
                "delta_nats": item.delta_nats.mean,
                "ci95_low": item.interval[0],
                "ci95_high": item.interval[1],
                "p_value": item.delta_nats.p_value,
                "p_holm": item.p_holm,
                "perplexity_ratio": item.perplexity_ratio,
                "verdict": item.verdict,
            }
            for item in self.differences
        ]

    def _curve_rows(self) -> list[Row]:
        without = dict.fromkeys(GradientSides.model_fields)
        return [
            {
                "arm": arm,
                "seed": int(seed),
                **point.model_dump(exclude={"gradients"}),
                **(without if point.gradients is None else point.gradients.model_dump()),
            }
            for arm, summary in self.arms.items()
            for seed, points in summary.curves.items()
            for point in points
        ]

    def __repr__(self) -> str:
        """In a line for each contrast, or else difference, on valid; every field is in `model_dump()`."""
        perplexities = ", ".join(
            f"{arm} {summary.metrics['valid'].masked_lm_perplexity.mean:.4g}" for arm, summary in self.arms.items()
        )
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        contrasts = [f"  {item!r}" for item in self.contrasts if item.split == "valid"]
        differences = [
            f"  {item.arms[1]} − {item.arms[0]} {item.delta_nats.mean:+.3f} [{item.interval[0]:+.3f}, "
            f"{item.interval[1]:+.3f}] nats a token: {item.verdict}"
            for item in self.differences
            if item.split == "valid"
        ]
        return "\n".join([f"{self.experiment}: valid perplexity {perplexities}; {seeds}", *(contrasts or differences)])

    __str__ = __repr__

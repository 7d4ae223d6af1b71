"""What a comparison says, as data: a report shows this and computes nothing."""

from __future__ import annotations

from typing import Any, Literal

from tiedlm.comparison.arm_summary import METRICS, ArmSummary, Saved
from tiedlm.comparison.curves import DifferenceCurve
from tiedlm.comparison.similarity import MatrixSimilarity
from tiedlm.comparison.tabular import Row, Tabular
from tiedlm.comparison.tested_differences import ContrastResult, Difference
from tiedlm.comparison.tuning_table import Tuning
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.strict import Strict
from tiedlm.record.curve_point import GradientSides
from tiedlm.record.trained_on import TrainedOn


class Comparison(Strict, Tabular):
    """Everything a report says; `tiedlm compare --json` prints it."""

    schema_version: Literal[9] = 9
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
    """The seeds of an arm that are left out, since the first arm has no such run, or of the first arm no other has;
    arms without such are left out."""
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

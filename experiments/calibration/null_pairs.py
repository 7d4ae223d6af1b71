"""Is our own test honest? The same arm against itself: pairs that differ in nothing but the seed.

    python experiments/calibration/null_pairs.py --pairs 200 --out results/calibration

Trains two runs of the tied arm for each pair, all of different seeds, small enough for a few seconds each; runs that
are there already are not trained again. Then it asks how often tests at p < 0.05 find a difference that is not there:
the t-test over seeds that a comparison uses, and the bootstrap over blocks of one pair, which gives no verdict here.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiedlm import Listener, RunOptions, load_experiment
from tiedlm.api.runs import run_folder
from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.paired_statistics import paired_bootstrap, paired_t
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord

SETTINGS = (
    "model.hidden_size=32",
    "model.num_hidden_layers=1",
    "model.num_attention_heads=2",
    "model.intermediate_size=64",
    "corpus.tokenizer=bpe:1024",
    "train.num_steps=200",
    "train.num_evaluations=1",
)
NUM_SEEDS = (3, 5, 10)
NUM_GROUPS = 10_000
LEVEL = 0.05


class Counting(Listener):
    """Says how many runs have ended."""

    def __init__(self) -> None:
        self.number = 0

    def finish(self, record: RunRecord) -> None:
        """One more."""
        self.number += 1
        print(f"{self.number}: {record.run}, {record.metrics['valid'].masked_lm_perplexity:.2f}", flush=True)


def main() -> None:
    """Train, then count false alarms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("results/calibration"))
    options = parser.parse_args()
    experiment = load_experiment("pydoc", [*SETTINGS, "name=calibration"])
    folder = run_folder(experiment, options.out / "runs", options=RunOptions(listener=Counting()))
    folder.train_missing([RunId("tied", seed) for seed in range(2 * options.pairs)])
    records = {record.seed: record for record in load_records(folder.place)}
    pairs = [(records[2 * number], records[2 * number + 1]) for number in range(options.pairs)]
    document = calibrate(pairs)
    write_atomically(options.out / "null_pairs.json", json.dumps(document, indent=1) + "\n")
    write_atomically(options.out / "null_pairs.md", page(document))
    print(page(document))


def calibrate(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> dict[str, Any]:
    """Shares of false alarms, and what they follow from."""
    losses = [[record.metrics["valid"].masked_lm_loss_nats for record in pair] for pair in pairs]
    differences = [second - first for first, second in losses]
    intervals = [paired_bootstrap(*(record.metrics["valid"] for record in pair)).ci95 for pair in pairs]
    return {
        "seeds": [[record.seed for record in pair] for pair in pairs],
        "records_sha256": [[record.sha256 for record in pair] for pair in pairs],
        "valid_loss_nats": losses,
        "t_test": {str(number): false_alarms(differences, number) for number in NUM_SEEDS},
        "bootstrap_ci95": [list(interval) for interval in intervals],
        "bootstrap": statistics.fmean(not low <= 0 <= high for low, high in intervals),
        "unigram_perplexity": pairs[0][0].metrics["valid"].unigram_perplexity,
        "perplexity": statistics.fmean(
            record.metrics["valid"].masked_lm_perplexity for pair in pairs for record in pair
        ),
    }


def false_alarms(differences: Sequence[float], num_seeds: int) -> float:
    """How often p < 0.05 where groups of pairs are drawn at random; which run of a pair is the first is a coin."""
    generator = random.Random(num_seeds)
    alarms = 0
    for _ in range(NUM_GROUPS):
        group = [generator.choice((-1, 1)) * value for value in generator.sample(differences, num_seeds)]
        p_value = paired_t(group).p_value
        alarms += p_value is not None and p_value < LEVEL
    return alarms / NUM_GROUPS


def page(document: dict[str, Any]) -> str:
    """The answer."""
    rows = [f"| paired t over {number} seeds | {100 * share:.1f} % |" for number, share in document["t_test"].items()]
    return "\n".join(
        [
            "# The same arm against itself\n",
            f"{len(document['seeds'])} pairs of tied runs that differ in their seed alone; valid perplexity "
            f"{document['perplexity']:.1f}, of token frequencies {document['unigram_perplexity']:.1f}. A test at "
            "p < 0.05 should find a difference in 5 % of the cases.\n",
            "| test | finds a difference |",
            "|---|---:|",
            *rows,
            f"| bootstrap over blocks, one pair | {100 * document['bootstrap']:.1f} % |\n",
            f"The t-tests: {NUM_GROUPS:,} groups of pairs drawn at random, with the sign of each pair by a coin. "
            "Generated by `python experiments/calibration/null_pairs.py`; do not edit.\n",
        ]
    )


if __name__ == "__main__":
    main()

"""Does bf16 cost accuracy? The same runs in both precisions, paired by arm and seed.

    tiedlm compare experiments/pydoc.toml --seeds 10 --precision bf16 --out results/throughput/precision/bf16
    tiedlm compare experiments/pydoc.toml --seeds 10 --precision fp32 --out results/throughput/precision/fp32
    python experiments/throughput/precision.py

Start values, batches and masks are those of the seed, so a pair differs in nothing but the precision of its matrix
products; weights are fp32 in both.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from tiedlm.atomic_file import write_atomically
from tiedlm.paired import paired_t
from tiedlm.record import RunRecord, load_records

FOLDER = Path("results/throughput/precision")
LEGEND = """± over seeds, of the perplexity on valid. bf16 − fp32: nats a token on valid, paired by seed, with its 95 %
interval; beside it the standard deviation over seeds of the fp32 runs, in nats: the noise that a choice of seed brings
anyway."""


def main() -> None:
    """Print the table and write it beside the records."""
    runs = {precision: load_records(FOLDER / precision) for precision in ("bf16", "fp32")}
    pairs = zip(*runs.values(), strict=True)  # each folder's in the order of their file names
    assert all((one.arm, one.seed, one.config) == (other.arm, other.seed, other.config) for one, other in pairs)
    lines = [
        "| arm | bf16 | fp32 | bf16 − fp32 | seed noise | tokens/s |",
        "|---|---:|---:|---:|---:|---:|",
        *(render(arm, *(of_arm(records, arm) for records in runs.values())) for arm in ("tied", "untied")),
    ]
    experiment, commands = runs["bf16"][0].experiment, [records[0].provenance.command for records in runs.values()]
    named = "\n".join(f"    {command}" for command in [*commands, "python experiments/throughput/precision.py"])
    page = f"# bf16 against fp32: {experiment}\n\n" + "\n".join(lines) + f"\n\n{LEGEND}\n\n{named}\n"
    write_atomically(FOLDER / "precision.md", page)
    print(page)


def of_arm(records: list[RunRecord], arm: str) -> list[RunRecord]:
    """In the order of their seeds."""
    return sorted((record for record in records if record.arm == arm), key=lambda record: record.seed)


def render(arm: str, bf16: list[RunRecord], fp32: list[RunRecord]) -> str:
    """One line of the table."""
    losses = [[record.metrics["valid"].masked_lm_loss_nats for record in records] for records in (bf16, fp32)]
    delta = paired_t([a - b for a, b in zip(*losses, strict=True)])
    perplexities = [[math.exp(loss) for loss in of_precision] for of_precision in losses]
    means = " | ".join(f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}" for values in perplexities)
    speeds = [statistics.fmean(record.cost.tokens_per_second for record in records) for records in (bf16, fp32)]
    return (
        f"| {arm} | {means} | {delta.mean:+.4f} [{delta.ci95[0]:+.4f}, {delta.ci95[1]:+.4f}] | "
        f"{statistics.stdev(losses[1]):.4f} | {speeds[0]:,.0f}, {speeds[1]:,.0f} |"
    )


if __name__ == "__main__":
    main()

"""Does bf16 cost accuracy? The same runs in both precisions, paired by arm and seed.

    tiedlm compare pydoc --seeds 10 --precision bf16 --out results/throughput/precision/bf16
    tiedlm compare pydoc --seeds 10 --precision fp32 --out results/throughput/precision/fp32
    tiedlm compare pydoc --seeds 10 --precision fp32 --jobs 1 --out results/throughput/precision/control
    python experiments/throughput/precision.py

Start values, batches and masks are those of the seed, so a pair differs in nothing but the precision that autocast
sets; weights are fp32 in both. The control differs from the fp32 runs in its threads alone, two a run instead of one,
and with them in the order of its sums: no change of precision can be expected to do less than that.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.paired_statistics import paired_t
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord

FOLDER = Path("results/throughput/precision")
RUNS = {"bf16": "bf16", "fp32": "fp32", "control": "fp32"}  # the precision of each folder's
TITLES = ["arm", "bf16", "fp32", "bf16 − fp32", "furthest", "control − fp32", "furthest", "seed noise"]
TITLES += ["tokens/s a run in bf16", "in fp32"]
LEGEND = """± over seeds, of the perplexity on valid. Differences: nats a token on valid, paired by seed, with their
95 % interval, and that of the pair furthest apart. Control: fp32 with its sums in another order, since a run had two
threads instead of one. Seed noise: the standard deviation over seeds of the fp32 runs, in nats, which a choice of seed
brings anyway."""


def main() -> None:
    """Print the table and write it beside the records."""
    runs = {name: load_records(FOLDER / name) for name in RUNS}
    check(runs)
    lines = [
        f"| {' | '.join(TITLES)} |",
        f"|---|{(len(TITLES) - 1) * '---:|'}",
        *(render(arm, *(of_arm(records, arm) for records in runs.values())) for arm in ("tied", "untied")),
    ]
    experiment, commands = runs["bf16"][0].experiment, [records[0].provenance.command for records in runs.values()]
    named = "\n".join(f"    {command}" for command in [*commands, "python experiments/throughput/precision.py"])
    page = f"# bf16 against fp32: {experiment}\n\n" + "\n".join(lines) + f"\n\n{LEGEND}\n\n{named}\n"
    write_atomically(FOLDER / "precision.md", page)
    print(page)


def check(runs: dict[str, list[RunRecord]]) -> None:
    """Stop unless the records differ in what their folders' names say, and in nothing else that counts."""
    for name, precision in RUNS.items():
        if {record.provenance.precision for record in runs[name]} != {precision}:
            raise SystemExit(f"{FOLDER / name}: not all records are in {precision}; run its command anew")
    threads = {name: {record.provenance.num_threads for record in records} for name, records in runs.items()}
    if threads["bf16"] != threads["fp32"] or threads["fp32"] & threads["control"]:
        raise SystemExit(f"threads a run: {threads}; bf16 and fp32 want the same number, control another")
    for records in zip(*runs.values(), strict=True):  # each folder's in the order of their file names
        compared = {
            (one.arm, one.seed, one.config.model_dump_json(), one.provenance.git_commit, one.provenance.processor)
            for one in records
        }
        if len(compared) > 1:
            named = ", ".join(f"{name}/{one.file_name}" for name, one in zip(runs, records, strict=True))
            raise SystemExit(f"{named}: differ in configuration, commit or processor; run all three commands anew")


def of_arm(records: list[RunRecord], arm: str) -> list[RunRecord]:
    """In the order of their seeds."""
    return sorted((record for record in records if record.arm == arm), key=lambda record: record.seed)


def render(arm: str, bf16: list[RunRecord], fp32: list[RunRecord], control: list[RunRecord]) -> str:
    """One line of the table."""
    of_bf16, of_fp32, of_control = (
        [record.metrics["valid"].masked_lm_loss_nats for record in records] for records in (bf16, fp32, control)
    )
    perplexities = [[math.exp(loss) for loss in losses] for losses in (of_bf16, of_fp32)]
    speeds = [statistics.fmean(record.cost.tokens_per_second for record in records) for records in (bf16, fp32)]
    cells = [
        arm,
        *(f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}" for values in perplexities),
        *difference(of_bf16, of_fp32),
        *difference(of_control, of_fp32),
        f"{statistics.stdev(of_fp32):.4f}",
        *(f"{speed:,.0f}" for speed in speeds),
    ]
    return f"| {' | '.join(cells)} |"


def difference(losses: list[float], others: list[float]) -> tuple[str, str]:
    """Mean of the pairs with its interval, and the pair furthest apart."""
    pairs = [one - other for one, other in zip(losses, others, strict=True)]
    delta = paired_t(pairs)
    return f"{delta.mean:+.4f} [{delta.ci95[0]:+.4f}, {delta.ci95[1]:+.4f}]", f"{max(pairs, key=abs):+.4f}"


if __name__ == "__main__":
    main()

"""How time, memory and disk grow with a text, and what two processors bring: → results/scale/scale.json and scale.md.

    python experiments/scale/measure.py --data-dir DIR --out results/scale

Texts of several sizes are made from WikiText-2 (`make_text.py`). For each, a process of its own reads the text, trains
the tokenizer and encodes it; another begins a run on it and ends after some steps. Then a few runs are made by two
processes of one thread and by one of two threads, and one run by one rank and by two, in turns: a figure of time holds
for the machine of that minute, a ratio is taken within each round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from make_text import BYTES_PER_MEGABYTE, write_text

from tiedlm.training.device import Runtime, processor

SIZES_MEGABYTES = (11, 33, 100, 300, 540)
"""The last one is the size of WikiText-103's train split."""
ROUNDS = 3
FIRST_STEPS = 3
SMALL = (
    *("--set", "model.hidden_size=64", "--set", "model.num_attention_heads=4", "--set", "model.intermediate_size=192"),
    *("--set", "model.num_hidden_layers=2", "--set", "train.batch_size=8", "--precision", "fp32"),
)
TOKENIZE = """
import sys
from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import tokenize

config = CorpusConfig(name=sys.argv[1], tokenizer="bpe:8192", seq_length=128, fraction=1.0)
tokens = tokenize(load_corpus(sys.argv[1]), config)
print(tokens.num_tokens["train"])
"""


@dataclass(frozen=True)
class Reading:
    """Of one size of text."""

    megabytes: float
    num_tokens: int
    tokenize_seconds: float
    tokenize_bytes: int
    """The most that the process held."""
    disk_bytes: int
    """Of the ids."""
    again_seconds: float
    """Where the text is tokenized already: to read and hash it, and to check what is in the cache."""
    first_steps_seconds: float
    """Of a command from its start, tokenized already, to the end of its first steps."""
    first_steps_bytes: int


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, int, str]:
    """Seconds, the most bytes that the command or a process of its held, and what it printed."""
    started = time.monotonic()
    code = (
        "import resource, subprocess, sys\n"
        "finished = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)\n"
        "sys.stderr.write(finished.stderr[-2000:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "print(finished.stdout)\n"
        "sys.exit(finished.returncode)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, env=environment, check=False
    )
    if finished.returncode:
        sys.exit(finished.stderr)
    peak, _, printed = finished.stdout.partition("\n")
    return time.monotonic() - started, 1024 * int(peak), printed


def read_size(megabytes: int, data_dir: Path, place: Path) -> Reading:
    """Measure one size."""
    text, cache = place / f"text-{megabytes}", place / f"cache-{megabytes}"
    write_text("wikitext-2", data_dir, megabytes, text)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", TOKENIZE, str(text)]
    seconds, peak, printed = timed(command, environment)
    again, _, _ = timed(command, environment)
    steps = ["--set", f"train.num_steps={FIRST_STEPS}", "--set", "train.num_evaluations=1"]
    train = ["train", "pydoc", "--tied", "--corpus", str(text), *SMALL, *steps, "--dry-run", "--json"]
    words = ["--set", "corpus.seq_length=128", "--set", "corpus.tokenizer=bpe:8192"]
    first, first_peak, _ = timed([sys.executable, "-m", "tiedlm", *train, *words], environment)
    return Reading(
        megabytes=(text / "train.txt").stat().st_size / BYTES_PER_MEGABYTE,
        num_tokens=int(printed.split()[0]),
        tokenize_seconds=seconds,
        tokenize_bytes=peak,
        disk_bytes=sum(path.stat().st_blocks * 512 for path in cache.rglob("*.ids")),
        again_seconds=again,
        first_steps_seconds=first,
        first_steps_bytes=first_peak,
    )


def seconds_of(words: list[str], environment: dict[str, str], before: list[str] | None = None) -> float:
    """Of a command whose text is tokenized already."""
    with tempfile.TemporaryDirectory() as out:
        started = time.monotonic()
        command = [sys.executable, "-m", *(before or []), "tiedlm", *words, "--out", out]
        finished = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if finished.returncode:
            sys.exit(finished.stderr)
        return time.monotonic() - started


def rounds(variants: dict[str, Any]) -> dict[str, list[float]]:
    """Seconds of each variant, in turns."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, run in variants.items():
            found[name].append(run())
    return found


def line_of(readings: list[Reading], name: str) -> tuple[float, float]:
    """Intercept and slope a megabyte, by least squares."""
    slope, start = np.polyfit([one.megabytes for one in readings], [getattr(one, name) for one in readings], 1)
    return float(start), float(slope)


def ratio(found: dict[str, list[float]], over: str, under: str) -> str:
    """Of times, within each round: the median, and the lowest and highest."""
    ratios = [one / other for one, other in zip(found[over], found[under], strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


FITTED = {
    "tokenize_seconds": ("tokenize", "s", 1.0),
    "tokenize_bytes": ("its memory", "MB", 1e-6),
    "disk_bytes": ("disk", "MB", 1e-6),
    "again_seconds": ("again", "s", 1.0),
    "first_steps_seconds": ("first steps", "s", 1.0),
    "first_steps_bytes": ("their memory", "MB", 1e-6),
}
PAGE = """# How a text's size and a second processor count

On {processor}, {num_cpus} cores, by `{command}`.
Texts are made from WikiText-2 by `experiments/scale/make_text.py`; the largest is as large as WikiText-103.

| train | tokens | tokenize | its memory | disk | again | first steps | their memory |
|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

*Tokenize*: read, hash, train a BPE of 8,192, encode. *Again*: the same where it is in the cache. *First steps*: a dry
run, from the start of the command to its first timed steps. *Memory* is the most that one process held, with the pages
of files that it has mapped.

By least squares over these sizes; the last column is on paper, a hundred times the largest.

| | at no text | each MB more | {hundredfold:,.0f} MB, on paper |
|---|---:|---:|---:|
{fits}

**Two runs on {num_cpus} cores**: two processes of one thread take {two_processes:.0f} s, one after the other with two
threads {two_threads:.0f} s. The second over the first is {over_processes}, within each of {num_rounds} rounds.

**One run**: one process of one thread takes {one_rank:.0f} s, two ranks of one thread {two_ranks:.0f} s. The first over
the second is {over_ranks}. All include the start of the command.
"""


def report(document: dict[str, Any]) -> str:
    """As Markdown."""
    readings = [Reading(**one) for one in document["sizes"]]
    rows = [
        f"| {one.megabytes:,.0f} MB | {one.num_tokens / 1e6:,.1f} M | {one.tokenize_seconds:,.0f} s | "
        f"{one.tokenize_bytes / 1e6:,.0f} MB | {one.disk_bytes / 1e6:,.0f} MB | {one.again_seconds:,.1f} s | "
        f"{one.first_steps_seconds:,.0f} s | {one.first_steps_bytes / 1e6:,.0f} MB |"
        for one in readings
    ]
    fits, hundredfold = [], readings[-1].megabytes * 100
    for name, (called, unit, factor) in FITTED.items():
        start, slope = (factor * value for value in line_of(readings, name))
        there = start + slope * hundredfold
        fits.append(f"| {called} | {start:,.1f} {unit} | {slope:,.4f} {unit} | {there:,.0f} {unit} |")
    runs, ranks = document["runs"], document["ranks"]
    return PAGE.format(
        **document,
        rows="\n".join(rows),
        fits="\n".join(fits),
        hundredfold=hundredfold,
        two_processes=statistics.median(runs["two processes"]),
        two_threads=statistics.median(runs["two threads"]),
        over_processes=ratio(runs, "two threads", "two processes"),
        one_rank=statistics.median(ranks["one rank"]),
        two_ranks=statistics.median(ranks["two ranks"]),
        over_ranks=ratio(ranks, "one rank", "two ranks"),
        num_rounds=ROUNDS,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=SIZES_MEGABYTES)
    parser.add_argument("--steps", type=int, default=200, help="of the runs that are compared")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tiedlm-scale-") as name:
        place = Path(name)
        sizes = [read_size(megabytes, given.data_dir, place) for megabytes in given.megabytes]
        environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache")}
        words = ["pydoc", *SMALL, "--set", f"train.num_steps={given.steps}", "--set", "train.num_evaluations=1"]
        compare, train = ["compare", *words, "--seeds", "1"], ["train", *words, "--tied"]
        seconds_of([*train, "--set", "train.num_steps=1"], environment)  # tokenizes
        runs = rounds(
            {
                "two processes": lambda: seconds_of([*compare, "--jobs", "2"], environment),
                "two threads": lambda: seconds_of([*compare, "--jobs", "1"], environment),
            }
        )
        torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "--log-dir", str(place), "-m"]
        ranks = rounds(
            {
                "one rank": lambda: seconds_of([*train, "--threads", "1"], environment),
                "two ranks": lambda: seconds_of(train, environment, torchrun),
            }
        )
    document = {
        "command": f"python experiments/scale/measure.py --data-dir DIR --out {given.out}",
        "processor": processor(Runtime("cpu", "fp32")),
        "num_cpus": len(os.sched_getaffinity(0)),
        "sizes": [asdict(one) for one in sizes],
        "runs": runs,
        "ranks": ranks,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "scale.json").write_text(json.dumps(document, indent=1) + "\n")
    (given.out / "scale.md").write_text(report(document))


if __name__ == "__main__":
    main()

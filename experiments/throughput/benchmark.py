"""Tokens a second of tiedlm and of `transformers`, side by side on this machine.

    python experiments/throughput/benchmark.py --out results/throughput

Each variant of `variants.py` trains the same BERT (one size at a time) on batches made in the same order with the same
masks, by the same AdamW, in a process of its own. Only one process runs at a time: they take turns. A figure is the
median over the rounds of turns, a ratio is taken within each round. A matrix product is timed in every round as well,
so that "of peak" has its peak from the same minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shlex
import statistics
import sys
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from variants import GPU_SIZES, PEAKS, SIZES, Size, as_shipped, gathered, variants

from tiedlm.processes.start_method import memory_kept_by_children
from tiedlm.training.device import Runtime, peak_memory_bytes, resolve_runtime
from tiedlm.training.provenance import present_code, provenance

WARM_UP_STEPS = 4
LEAST_STEPS_OF_A_TURN = 2
VOCAB_LIMIT_OF_TRANSFORMERS = 100_000  # four processes with all (B·T, V) logits, several times in fp32, are too much
OURS, PLAIN = "tiedlm", "transformers fp32"
LEGEND = """tiedlm ×: its tokens a second over those of the variant, taken within each round: the median, and the lowest
and highest. Best: the fastest in each round of the three variants in this precision that are as `transformers` ships
them; these compute the head and the whole last layer at all positions. Gathered: `BertForMaskedLM`'s parts put together
by hand, compiled, with the head at the masked positions alone and freed memory kept, in huge pages, as tiedlm keeps it;
there what is left of the ratio is not the gathering. Matrix products alone: those of a step of tiedlm, with nothing
between them, so no step that makes them is faster. All at peak: the ratios that a step would reach if all it needs ran
at the peak of this processor and nothing else took time; what is larger needs fewer FLOPs, not faster ones.

of peak: the FLOPs that loss and gradient need (no recomputation; the head, and the last layer but for keys and values,
at the masked positions alone) over the fastest matrix product of the same run; own: the FLOPs that the variant
makes instead. memory: the most that the variant's process held (on a GPU: that the device held for it); needed:
weights, gradients and AdamW's states in fp32, and 300 MB. start: from the process's start to the end of its warm-up,
compiling included. At the largest vocabulary tiedlm alone was measured."""


def work(connection: Connection, name: str, precision: str, size: Size, device: str, num_threads: int) -> None:
    """One variant's process: run steps until the turn's seconds are over, report, and wait for the next turn."""
    torch.set_num_threads(num_threads)
    variant = variants(precision)[name]
    runtime = Runtime(device, variant.precision)
    num_steps, started, seconds = -WARM_UP_STEPS, 0.0, 0.0

    def after_step() -> None:
        nonlocal num_steps, started, seconds
        num_steps += 1
        elapsed = time.perf_counter() - started
        if num_steps < 0 or (num_steps > 0 and (elapsed < seconds or num_steps < LEAST_STEPS_OF_A_TURN)):
            return
        connection.send((num_steps, elapsed, peak_memory_bytes(runtime)))
        order = connection.recv()
        if order is None:
            raise SystemExit
        num_steps, seconds, started = 0, order, time.perf_counter()

    variant.steps(size, runtime, after_step, **variant.options)


def measure(
    size: Size, names: list[str], precision: str, device: str, rounds: int, seconds: float, num_threads: int
) -> dict[str, Any]:
    """Every variant's turns in tokens a second, its peak memory, and the peak's FLOP/s."""
    known = variants(precision)
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name in names:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, name, precision, size, device, num_threads), daemon=True)
        started = time.perf_counter()
        with memory_kept_by_children() if known[name].keeps_memory else contextlib.nullcontext():
            process.start()
        theirs.close()  # so that a process that dies is noticed
        ours.recv()  # warmed up
        workers[name] = (process, ours, time.perf_counter() - started)
    turns: dict[str, list[float]] = {name: [] for name in names}
    memory = dict.fromkeys(names, 0)
    for _ in range(rounds):
        for name, (_, connection, _) in workers.items():
            connection.send(seconds)
            num_steps, elapsed, memory[name] = connection.recv()
            turns[name].append(num_steps / elapsed)
    for process, connection, _ in workers.values():
        connection.send(None)
        process.join()
    products = {
        name: 2.0 * num_multiplications * statistics.median(turns[name]) for name, num_multiplications in PEAKS.items()
    }
    of_variants = {
        name: {
            "tokens_per_second": statistics.median(turns[name]) * size.tokens_per_step,
            "turns_tokens_per_second": [turn * size.tokens_per_step for turn in turns[name]],
            "tiedlm_ratio": ratio(turns, [name]),
            **{
                key: statistics.median(turns[name]) * size.flops_per_step(**computes) / max(products.values())
                for key, computes in (("share_of_peak", {}), ("own_share_of_peak", known[name].computes))
            },
            "peak_memory_bytes": memory[name],
            "peak_memory_over_needed": memory[name] / size.needed_bytes(),
            "start_seconds": workers[name][2],
        }
        for name in names
        if name not in PEAKS
    }
    best = ratio(turns, [name for name in as_shipped(precision) if name in turns])
    return {
        "name": size.name,
        **asdict(size),
        "product_flops_per_second": products,
        "precision": precision,
        "tiedlm_ratio_to_best": best,
        "variants": of_variants,
    }


def ratio(turns: dict[str, list[float]], rivals: list[str]) -> dict[str, float] | None:
    """Of tiedlm's speed and that of the fastest rival in the same round: median, lowest and highest."""
    if OURS not in turns or not rivals:
        return None
    fastest = [max(speeds) for speeds in zip(*(turns[name] for name in rivals), strict=True)]
    ratios = [ours / theirs for ours, theirs in zip(turns[OURS], fastest, strict=True)]
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def render_summary(sizes: list[dict[str, Any]]) -> str:
    """A line a size: tiedlm against what a user would run, as a table in Markdown."""
    titles = [
        "size",
        "tiedlm × best of transformers",
        "× gathered",
        "× its plain fp32",
        "of peak",
        "products alone × best",
        "all at peak × best",
        "all at peak × its plain fp32",
    ]
    lines = [f"| {' | '.join(titles)} |", f"|---|{(len(titles) - 1) * '---:|'}"]
    for size in sizes:
        figures, best = size["variants"], size["tiedlm_ratio_to_best"]
        of = {name: of_variant["tiedlm_ratio"] for name, of_variant in figures.items()}
        alone = of.get("matrix products alone")
        products = f"{best['median'] / alone['median']:.2f}" if best and alone else "–"
        share = figures[OURS]["share_of_peak"] if OURS in figures else None
        limits = [f"{found['median'] / share:.2f}" if found and share else "–" for found in (best, of.get(PLAIN))]
        of_peak = f"{100 * share:.0f} %" if share else "–"
        cells = [
            size["name"],
            told(best),
            told(of.get(gathered(size["precision"]))),
            told(of.get(PLAIN)),
            of_peak,
            products,
            *limits,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def render(sizes: list[dict[str, Any]]) -> str:
    """All figures as a table in Markdown."""
    titles = ["size", "variant", "tokens/s", "tiedlm ×", "of peak", "own", "memory", "of needed", "start"]
    lines = [f"| {' | '.join(titles)} |", f"|---|---|{(len(titles) - 2) * '---:|'}"]
    for size in sizes:
        for name, figures in size["variants"].items():
            cells = [
                size["name"],
                name,
                f"{figures['tokens_per_second']:,.0f}",
                told(figures["tiedlm_ratio"]) if name != OURS else "",
                f"{100 * figures['share_of_peak']:.0f} %",
                f"{100 * figures['own_share_of_peak']:.0f} %",
                f"{figures['peak_memory_bytes'] / 1e6:,.0f} MB",
                f"{figures['peak_memory_over_needed']:.2f} ×",
                f"{figures['start_seconds']:.0f} s",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def told(ratio: dict[str, float] | None) -> str:
    """`2.31 (2.20 to 2.44)`."""
    return "–" if ratio is None else f"{ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})"


def main() -> None:
    """Measure and print; with --out, write the figures too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--sizes", default="", help="part of the sizes' names, e.g. H256")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16"), default="auto", help="auto: bf16 if it is there"
    )
    parser.add_argument("--variants", help="names with semicolons between; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn, which has two steps at least")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    code = present_code()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = resolve_runtime(device, arguments.precision).precision
    wanted = arguments.variants.split(";") if arguments.variants else list(variants(precision))
    names = [name for name in variants(precision) if name in PEAKS or name in wanted]
    measured = []
    for size in GPU_SIZES if device == "cuda" else SIZES:
        if arguments.sizes in size.name:
            too_large = size.vocab_size > VOCAB_LIMIT_OF_TRANSFORMERS
            fitting = [name for name in names if not too_large or name.startswith(("tiedlm", "product"))]
            measured.append(
                measure(size, fitting, precision, device, arguments.rounds, arguments.seconds, arguments.threads)
            )
            print(f"{render_summary(measured[-1:])}\n\n{render(measured[-1:])}\n", flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(arguments.threads)
        command = shlex.join(["python", *sys.argv])
        origin = provenance(command, Runtime(device, precision), code).model_dump()
        origin["instruction_set"] = torch.backends.cpu.get_cpu_capability()  # which a variable may hold back
        (arguments.out / f"{device}.json").write_text(json.dumps({"provenance": origin, "sizes": measured}, indent=1))
        tables = f"{render_summary(measured)}\n\n{render(measured)}"
        place = f"{origin['processor']}, {origin['instruction_set']}"
        page = f"# Throughput in {precision} on {place}\n\n{tables}\n\n{LEGEND}\n\n`{command}`\n"
        (arguments.out / f"{device}.md").write_text(page)


if __name__ == "__main__":
    main()

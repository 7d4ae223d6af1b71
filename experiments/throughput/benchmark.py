"""Tokens a second of tiedlm and of `transformers`, side by side on this machine.

    python experiments/throughput/benchmark.py --out results/throughput

Each variant trains the same BERT (one size at a time) on the same blocks with the same masks and AdamW in a
process of its own; only one process runs at a time, they take turns, and a figure is the median over the turns.
A matrix product is timed in every turn as well, so that "share of peak" has its peak from the same minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tiedlm.config import ModelConfig, TrainConfig
from tiedlm.counting import count_config
from tiedlm.masking import mask_blocks
from tiedlm.model import build_model
from tiedlm.runtime import Runtime, keep_freed_memory, peak_memory_bytes, provenance
from tiedlm.train import TrainingState, train

WARM_UP_STEPS = 4
MASK_PROBABILITY = 0.15
NUM_BLOCKS = 4_096
VOCAB_LIMIT_OF_TRANSFORMERS = 100_000  # beyond it their (B·T, V) logits, several times in fp32, are too large
PEAK_SHAPES = ((4_096, 256, 1_024), (4_096, 1_024, 1_024), (4_096, 4_096, 4_096))
LEGEND = """×: of the slowest variant of that size. of peak: the FLOPs that loss and gradient need (no recomputation;
the head, and the last layer but for keys and values, at the masked positions alone) over the fastest bf16 matrix
product of the same run. memory: resident in the variant's process at its highest; needed: weights, gradients and
AdamW's states in fp32, and 300 MB. start: from the process's start to the end of its warm-up, compiling included.
Matrix products alone: those of a step of tiedlm, with nothing between them. Medians over the turns. The largest
vocabulary is tiedlm's alone: the logits of `transformers` do not fit beside it."""


@dataclass(frozen=True)
class Size:
    """A model and a batch."""

    hidden_size: int
    num_hidden_layers: int
    seq_length: int
    vocab_size: int
    batch_size: int = 32

    @property
    def name(self) -> str:
        """`H256 L4 T128 V10000`."""
        return f"H{self.hidden_size} L{self.num_hidden_layers} T{self.seq_length} V{self.vocab_size}"

    @property
    def tokens_per_step(self) -> int:
        """Read by the encoder."""
        return self.batch_size * self.seq_length

    def model_config(self) -> ModelConfig:
        """BERT, tied, without dropout."""
        return ModelConfig(
            encoder="bert",
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=max(1, self.hidden_size // 64),
            intermediate_size=4 * self.hidden_size,
            max_position_embeddings=512,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.02,
            rope_theta=10_000.0,
            tie_word_embeddings=True,
            head_transform=True,
        )

    def train_config(self) -> TrainConfig:
        """AdamW alone, as run_mlm has it."""
        return TrainConfig(
            num_steps=1_000_000,
            batch_size=self.batch_size,
            mlm_probability=MASK_PROBABILITY,
            learning_rate=1e-4,
            norm_and_bias_learning_rate=1e-4,
            muon_learning_rate=0.0,
            adam_beta1=0.9,
            adam_beta2=0.999,
            weight_decay=0.01,
            warmup_fraction=0.0,
            max_grad_norm=1.0,
            num_evaluations=1,
            eval_mask_seed=0,
        )

    def flops_per_step(self) -> float:
        """What the loss and its gradient need, without recomputation.

        The head, and the last layer but for its keys and values, are needed at the masked positions alone.
        """
        count = count_config(self.name, self.model_config().config_json(self.vocab_size))
        assert count.head_flops is not None
        assert count.body_flops is not None
        attention = 4 * self.seq_length * self.hidden_size  # QKᵀ and the weighted sum of V
        layer = count.body_flops / self.num_hidden_layers + attention
        keys_and_values = 4 * self.hidden_size**2
        predicted = round(self.seq_length * MASK_PROBABILITY) / self.seq_length
        at_all = (self.num_hidden_layers - 1) * layer + keys_and_values
        at_masked = layer - keys_and_values + count.head_flops
        return 3 * self.tokens_per_step * (at_all + predicted * at_masked)

    def needed_bytes(self) -> float:
        """Weights, gradients and AdamW's two states in fp32, and 300 MB for everything else."""
        return 16 * count_config(self.name, self.model_config().config_json(self.vocab_size)).total + 300e6

    def blocks(self) -> torch.Tensor:
        """(N, T) of random words; how fast a step is does not depend on which."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(3, self.vocab_size, (NUM_BLOCKS, self.seq_length), generator=generator)


SIZES = (
    Size(128, 4, 64, 10_000),
    Size(256, 4, 128, 10_000),
    Size(256, 4, 128, 30_522),
    Size(512, 4, 128, 30_522),
    Size(256, 4, 128, 250_000),
)
GPU_SIZES = (*SIZES, Size(768, 12, 128, 30_522, 64), Size(768, 12, 512, 30_522, 32))


def tiedlm_steps(size: Size, runtime: Runtime, after_step: Callable[[], None], is_compiled: bool = False) -> None:
    """Our own loop as `tiedlm train` runs it, masking and all."""
    keep_freed_memory()
    model = build_model(size.model_config(), size.vocab_size, seed=0).to(runtime.device)
    if is_compiled:
        model.encoder.compile()
    blocks, config = size.blocks(), size.train_config()
    state = TrainingState(model, len(blocks), config, seed=0)
    train(state, blocks, config, size.vocab_size, runtime.autocast(), lambda _: after_step())


class RecordProducts(TorchDispatchMode):
    """Keeps the operands' layouts of every matrix product that is made under it."""

    OPERATIONS: ClassVar = {"mm": torch.mm, "addmm": torch.mm, "bmm": torch.bmm}  # addmm: without its addend

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[Callable[..., torch.Tensor], list[torch.Tensor]]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name = operation.overloadpacket.__name__
        if name in self.OPERATIONS:
            self.products.append((self.OPERATIONS[name], [torch.randn_like(tensor) for tensor in arguments[-2:]]))
        return operation(*arguments, **(options or {}))


def products_alone(size: Size, runtime: Runtime, after_step: Callable[[], None]) -> None:
    """The matrix products of a step of `tiedlm_steps` and nothing else: no step that makes them can be faster."""

    class OneStepMade(Exception):
        pass

    def stop() -> None:
        raise OneStepMade

    with RecordProducts() as record, contextlib.suppress(OneStepMade):
        tiedlm_steps(size, runtime, stop)
    made = [(operation, operands, operation(*operands)) for operation, operands in record.products]
    while True:
        for operation, operands, product in made:
            operation(*operands, out=product)
        if runtime.device == "cuda":
            torch.cuda.synchronize()
        after_step()


def transformers_steps(
    size: Size, runtime: Runtime, after_step: Callable[[], None], attention: str, is_compiled: bool
) -> None:
    """`BertForMaskedLM` in a bare loop: what run_mlm does, less the overhead of the Trainer and of its collator."""
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=size.vocab_size,
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_hidden_layers,
        num_attention_heads=max(1, size.hidden_size // 64),
        intermediate_size=4 * size.hidden_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation=attention,
    )
    model = transformers.BertForMaskedLM(config).to(runtime.device).train()
    forward = torch.compile(model) if is_compiled else model
    recipe = size.train_config()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.999), weight_decay=0.01, fused=True
    )
    for input_ids, labels in labelled_batches(size):
        with runtime.autocast():
            loss = forward(input_ids=input_ids.to(runtime.device), labels=labels.to(runtime.device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        loss.item()
        optimizer.step()
        optimizer.zero_grad()
        after_step()


def labelled_batches(size: Size) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches with labels of −100 where nothing is predicted, made ahead of time: their masking costs nothing here."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for rows in size.blocks().split(size.batch_size)[:16]:
        batch = mask_blocks(rows, MASK_PROBABILITY, size.vocab_size, generator)
        labels = torch.full_like(rows, -100).scatter(1, batch.masked_lm_positions, batch.masked_lm_ids)
        made.append((batch.input_ids, labels))
    while True:
        yield from made


def matrix_products(size: Size, runtime: Runtime, after_step: Callable[[], None], shape: tuple[int, int, int]) -> None:
    """One product a step, nothing else: what the processor can do at this precision."""
    del size  # the same beside every model
    rows, inner, columns = shape
    dtype = torch.bfloat16 if runtime.precision == "bf16" else torch.float32
    left = torch.randn(rows, inner, dtype=dtype, device=runtime.device)
    right = torch.randn(inner, columns, dtype=dtype, device=runtime.device)
    product = torch.empty(rows, columns, dtype=dtype, device=runtime.device)
    while True:
        torch.mm(left, right, out=product)
        if runtime.device == "cuda":
            torch.cuda.synchronize()
        after_step()


PEAKS = {f"product {'×'.join(map(str, shape))}": shape for shape in PEAK_SHAPES}
VARIANTS: dict[str, tuple[Callable[..., None], str, dict[str, Any]]] = {
    **{name: (matrix_products, "bf16", {"shape": shape}) for name, shape in PEAKS.items()},
    "matrix products alone": (products_alone, "bf16", {}),
    "tiedlm": (tiedlm_steps, "bf16", {}),
    "tiedlm compiled": (tiedlm_steps, "bf16", {"is_compiled": True}),
    "transformers fp32": (transformers_steps, "fp32", {"attention": "sdpa", "is_compiled": False}),
    "transformers bf16": (transformers_steps, "bf16", {"attention": "sdpa", "is_compiled": False}),
    "transformers bf16 compiled": (transformers_steps, "bf16", {"attention": "sdpa", "is_compiled": True}),
    "transformers bf16 compiled with eager attention": (
        transformers_steps,
        "bf16",
        {"attention": "eager", "is_compiled": True},
    ),
}


def work(connection: Connection, variant: str, size: Size, device: str, num_threads: int) -> None:
    """One variant's process: run steps until the turn's seconds are over, report, and wait for the next turn."""
    torch.set_num_threads(num_threads)
    steps, precision, options = VARIANTS[variant]
    num_steps, started, seconds = -WARM_UP_STEPS, 0.0, 0.0

    def after_step() -> None:
        nonlocal num_steps, started, seconds
        num_steps += 1
        if num_steps < 0 or (time.perf_counter() - started < seconds and num_steps > 0):
            return
        elapsed = time.perf_counter() - started
        connection.send((num_steps, elapsed, peak_memory_bytes(Runtime(device, precision))))
        order = connection.recv()
        if order is None:
            raise SystemExit
        num_steps, seconds, started = 0, order, time.perf_counter()

    steps(size, Runtime(device, precision), after_step, **options)


def measure(
    size: Size, variants: list[str], device: str, rounds: int, seconds: float, num_threads: int
) -> dict[str, Any]:
    """Every variant's median tokens a second over the rounds, its peak memory, and the peak's FLOP/s."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for variant in variants:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, variant, size, device, num_threads), daemon=True)
        started = time.perf_counter()
        process.start()
        theirs.close()  # so that a process that dies is noticed
        ours.recv()  # warmed up
        workers[variant] = (process, ours, time.perf_counter() - started)
    turns: dict[str, list[float]] = {variant: [] for variant in variants}
    memory = dict.fromkeys(variants, 0)
    for _ in range(rounds):
        for variant, (_, connection, _) in workers.items():
            connection.send(seconds)
            num_steps, elapsed, memory[variant] = connection.recv()
            turns[variant].append(num_steps / elapsed)
    for process, connection, _ in workers.values():
        connection.send(None)
        process.join()
    medians = {variant: statistics.median(turns[variant]) for variant in variants}
    products = {name: 2.0 * math.prod(shape) * medians[name] for name, shape in PEAKS.items()}
    results = {
        variant: {
            "tokens_per_second": medians[variant] * size.tokens_per_step,
            "turns_tokens_per_second": [turn * size.tokens_per_step for turn in turns[variant]],
            "share_of_peak": medians[variant] * size.flops_per_step() / max(products.values()),
            "peak_memory_bytes": memory[variant],
            "peak_memory_over_needed": memory[variant] / size.needed_bytes(),
            "start_seconds": workers[variant][2],
        }
        for variant in variants
        if variant not in PEAKS
    }
    return {"name": size.name, **asdict(size), "product_flops_per_second": products, "variants": results}


def render(sizes: list[dict[str, Any]]) -> str:
    """The figures as a table in Markdown."""
    lines = ["| size | variant | tokens/s | × | of peak | memory | of needed | start |", f"|---|---|{6 * '---:|'}"]
    for size in sizes:
        slowest = min(figures["tokens_per_second"] for figures in size["variants"].values())
        for variant, figures in size["variants"].items():
            speed, memory = figures["tokens_per_second"], figures["peak_memory_bytes"] / 1e6
            lines.append(
                f"| {size['name']} | {variant} | {speed:,.0f} | {speed / slowest:.2f} | "
                f"{100 * figures['share_of_peak']:.0f} % | {memory:,.0f} MB | "
                f"{figures['peak_memory_over_needed']:.2f} × | {figures['start_seconds']:.0f} s |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure and print; with --out, write the figures too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--sizes", default=None, help="part of the sizes' names, e.g. H256")
    parser.add_argument("--variants", default=",".join(name for name in VARIANTS if name not in PEAKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    variants = [*PEAKS, *(name for name in VARIANTS if name in arguments.variants.split(","))]
    measured = []
    for size in GPU_SIZES if device == "cuda" else SIZES:
        if (arguments.sizes or "") in size.name:
            too_large = size.vocab_size > VOCAB_LIMIT_OF_TRANSFORMERS
            fitting = [name for name in variants if not too_large or name.startswith(("tiedlm", "product"))]
            measured.append(measure(size, fitting, device, arguments.rounds, arguments.seconds, arguments.threads))
            print(render(measured[-1:]), flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(arguments.threads)
        command = shlex.join(["python", *sys.argv])
        origin = provenance(command, Runtime(device, "bf16")).model_dump()
        (arguments.out / f"{device}.json").write_text(json.dumps({"provenance": origin, "sizes": measured}, indent=1))
        page = f"# Throughput on {origin['processor']}\n\n{render(measured)}\n\n{LEGEND}\n\n`{command}`\n"
        (arguments.out / f"{device}.md").write_text(page)


if __name__ == "__main__":
    main()

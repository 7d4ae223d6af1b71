"""What the benchmark runs: sizes, and one endless loop of training steps a variant."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tiedlm.config.model_config import ModelConfig
from tiedlm.config.train_config import TrainConfig
from tiedlm.counting.closed_forms.parameter_bytes import TRAINING_RECIPES
from tiedlm.counting.closed_forms.parameters import ParameterCount, count_config
from tiedlm.data.masking import BatchOrder, mask_blocks
from tiedlm.generators import make_generator
from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.attention import gather_positions
from tiedlm.model.masked_lm import build_model
from tiedlm.training.device import Runtime
from tiedlm.training.loop import train
from tiedlm.training.optim import build_optimizers
from tiedlm.training.state import TrainingState

SEED = 0
MASK_PROBABILITY = 0.15
NUM_BLOCKS = 4_096
NUM_PREPARED_BATCHES = 16
PEAK_SHAPES = ((4_096, 256, 1_024), (4_096, 1_024, 1_024), (4_096, 4_096, 4_096))


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
            adam_epsilon=1e-8,
            weight_decay=0.01,
            warmup_fraction=0.0,
            max_grad_norm=1.0,
            num_evaluations=1,
            eval_mask_seed=0,
        )

    def count(self) -> ParameterCount:
        """Parameters and FLOPs in closed form."""
        return count_config(self.name, self.model_config().config_json(self.vocab_size))

    def flops_per_step(self, last_layer_at_all: bool = False, head_at_all: bool = False) -> float:
        """Of loss and gradient, without recomputation.

        What is needed: the head, and the last layer but for its keys and values, at the masked positions alone.
        Asked for `at_all` positions, what a variant computes that does not gather them first.
        """
        count = self.count()
        assert count.head_flops is not None
        assert count.body_flops is not None
        attention = 4 * self.seq_length * self.hidden_size  # QKᵀ and the weighted sum of V
        layer = count.body_flops / self.num_hidden_layers + attention
        keys_and_values = 4 * self.hidden_size**2
        predicted = round(self.seq_length * MASK_PROBABILITY) / self.seq_length
        last_layer = keys_and_values + (1 if last_layer_at_all else predicted) * (layer - keys_and_values)
        head = (1 if head_at_all else predicted) * count.head_flops
        return 3 * self.tokens_per_step * ((self.num_hidden_layers - 1) * layer + last_layer + head)

    def needed_bytes(self) -> float:
        """Weights, gradients and AdamW's two states in fp32, and 300 MB for everything else."""
        return TRAINING_RECIPES["float32"].total * self.count().total + 300e6

    def blocks(self) -> torch.Tensor:
        """(N, T) of random words; how fast a step is does not depend on which."""
        return torch.randint(3, self.vocab_size, (NUM_BLOCKS, self.seq_length), generator=make_generator(SEED, "text"))

    def batches(self) -> Iterator[MaskedBatch]:
        """Those of `tiedlm.training.loop`, in its order; made ahead and used again, so their masking costs nothing."""
        blocks, order = self.blocks(), BatchOrder(NUM_BLOCKS, self.batch_size, make_generator(SEED, "order"))
        generator = make_generator(SEED, "mask")
        made = (mask_blocks(blocks[rows], MASK_PROBABILITY, self.vocab_size, generator) for rows in order)
        return cycle(list(islice(made, NUM_PREPARED_BATCHES)))


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
    model = build_model(size.model_config(), size.vocab_size, SEED).to(runtime.device)
    if is_compiled:
        model.encoder.compile()
    blocks, config = size.blocks(), size.train_config()
    state = TrainingState(model, len(blocks), config, SEED, runtime.product_dtype)
    train(state, blocks, config, size.vocab_size, runtime.autocast(), lambda _: after_step())


class RecordProducts(TorchDispatchMode):
    """Keeps every matrix product that is made under it, with operands of the same strides and other numbers."""

    OPERATIONS: ClassVar = {"mm": torch.mm, "addmm": torch.mm, "bmm": torch.bmm}  # addmm: without its addend

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[Callable[..., torch.Tensor], list[torch.Tensor]]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        name = operation.overloadpacket.__name__
        if name in self.OPERATIONS:
            self.products.append((self.OPERATIONS[name], [_like(tensor) for tensor in arguments[-2:]]))
        return operation(*arguments, **(options or {}))


def _like(tensor: torch.Tensor) -> torch.Tensor:
    reach = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return torch.randn(reach, dtype=tensor.dtype, device=tensor.device).as_strided(tensor.shape, tensor.stride())


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
    size: Size,
    runtime: Runtime,
    after_step: Callable[[], None],
    attention: str,
    is_compiled: bool,
    gathers_before_head: bool = False,
) -> None:
    """`BertForMaskedLM` in a bare loop: what run_mlm does, less the overhead of the Trainer and of its collator.

    With `gathers_before_head`, what a careful user writes around its parts: the head at the masked positions alone.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    torch.manual_seed(SEED)
    ours, recipe = size.model_config(), size.train_config()
    config = transformers.BertConfig(
        vocab_size=size.vocab_size,
        hidden_size=ours.hidden_size,
        num_hidden_layers=ours.num_hidden_layers,
        num_attention_heads=ours.num_attention_heads,
        intermediate_size=ours.intermediate_size,
        hidden_dropout_prob=ours.hidden_dropout_prob,
        attention_probs_dropout_prob=ours.attention_probs_dropout_prob,
        attn_implementation=attention,
    )
    model = transformers.BertForMaskedLM(config).to(runtime.device).train()
    assert sum(parameter.numel() for parameter in model.parameters()) == size.count().total

    def loss_at_all(input_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return model(input_ids=input_ids, labels=labels).loss

    def loss_at_masked(input_ids: torch.Tensor, positions: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        hidden_states = gather_positions(model.bert(input_ids=input_ids).last_hidden_state, positions)
        return F.cross_entropy(model.cls(hidden_states).flatten(0, 1), ids.flatten())

    compute = loss_at_masked if gathers_before_head else loss_at_all
    if is_compiled:
        compute = torch.compile(compute)
    optimizers = build_optimizers(model, recipe, runtime.product_dtype)
    for batch in size.batches():
        ids, positions = batch.masked_lm_ids, batch.masked_lm_positions
        labels = torch.full_like(batch.input_ids, -100).scatter(1, positions, ids)
        answer = (positions, ids) if gathers_before_head else (labels,)
        with runtime.autocast():
            loss = compute(*(tensor.to(runtime.device) for tensor in (batch.input_ids, *answer)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        loss.item()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        after_step()


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


@dataclass(frozen=True)
class Variant:
    """One way to make steps."""

    steps: Callable[..., None]
    precision: str
    options: dict[str, Any] = field(default_factory=dict)
    computes: dict[str, bool] = field(default_factory=dict)
    """Beyond what is needed; arguments of `Size.flops_per_step`."""
    keeps_memory: bool = False
    """As the workers of `tiedlm train` do."""


def _transformers(precision: str, attention: str, is_compiled: bool, gathers_before_head: bool = False) -> Variant:
    options = {"attention": attention, "is_compiled": is_compiled, "gathers_before_head": gathers_before_head}
    computes = {"last_layer_at_all": True, "head_at_all": not gathers_before_head}
    return Variant(transformers_steps, precision, options, computes, keeps_memory=gathers_before_head)


PEAKS = {f"product {'×'.join(map(str, shape))}": math.prod(shape) for shape in PEAK_SHAPES}


def as_shipped(precision: str) -> dict[str, Variant]:
    """What a user of `transformers` can run without writing a loop of their own parts."""
    return {
        f"transformers {precision}": _transformers(precision, "sdpa", is_compiled=False),
        f"transformers {precision} compiled": _transformers(precision, "sdpa", is_compiled=True),
        f"transformers {precision} compiled with eager attention": _transformers(precision, "eager", is_compiled=True),
    }


def gathered(precision: str) -> str:
    """The name of the variant that a careful user writes."""
    return f"transformers {precision} compiled, gathered"


def variants(precision: str) -> dict[str, Variant]:
    """Every variant by name; all in one precision, and `transformers` in plain fp32 too."""
    peaks = {
        name: Variant(matrix_products, precision, {"shape": shape}, keeps_memory=True)
        for name, shape in zip(PEAKS, PEAK_SHAPES, strict=True)
    }
    return {
        **peaks,
        "matrix products alone": Variant(products_alone, precision, keeps_memory=True),
        "tiedlm": Variant(tiedlm_steps, precision, keeps_memory=True),
        "tiedlm compiled": Variant(tiedlm_steps, precision, {"is_compiled": True}, keeps_memory=True),
        "transformers fp32": _transformers("fp32", "sdpa", is_compiled=False),
        **as_shipped(precision),
        gathered(precision): _transformers(precision, "eager", is_compiled=True, gathers_before_head=True),
    }

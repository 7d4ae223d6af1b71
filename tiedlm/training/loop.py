"""The training loop: one model, one recipe. It knows no arm and writes no file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tiedlm.config.train_config import TrainConfig
from tiedlm.data.masking import BatchOrder, mask_blocks
from tiedlm.generators import derive_seed, make_generator
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.training.muon import Muon
from tiedlm.training.optim import add_copy, build_optimizers, set_learning_rate
from tiedlm.training.pairing import BatchChain

Kind = tuple[torch.dtype, tuple[int, ...] | None]
TABLE, OUTPUT_MATRIX = "embeddings.word_embeddings.weight", "head.decoder.weight"
STATE_KEYS = {torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"), Muon: ("momentum_buffer",)}


class StateError(ValueError):
    """The tensors are not those of a state of this model."""


class RunFailed(RuntimeError):
    """A run cannot go on; the message says at which step and why."""


@dataclass(frozen=True)
class Step:
    """What the loop tells about each finished step."""

    step: int
    loss_nats: float
    learning_rate: float
    """Of the embeddings."""
    train_seconds: float
    """Since the start, evaluations not counted."""


class TrainingState:
    """All that changes while a model trains; `tensors` gives it away and `restore` takes it up again.

    The schedule is a function of the step and needs no state. Dropout draws from PyTorch's global generators,
    so there can be one training at a time in a process.
    """

    def __init__(
        self, model: MaskedLM, num_blocks: int, config: TrainConfig, seed: int, precision: torch.dtype = torch.float32
    ) -> None:
        """`precision` is that of the optimizers' matrix products; all that is kept is fp32."""
        torch.manual_seed(derive_seed(seed, "dropout"))
        self.model, self.optimizers = model, build_optimizers(model, config, precision)
        self.untie_step = config.untie_step
        self.order = BatchOrder(num_blocks, config.batch_size, make_generator(seed, "order"))
        self.mask_generator = make_generator(seed, "mask")
        self.batches = BatchChain()
        self.train_seconds = 0.0
        self.go_to(0)

    def go_to(self, step: int) -> None:
        """Set the step; a model that is untied by then is untied, its optimizer's states copied with the matrix."""
        self.step = step
        if self._unties_by(step):
            table = self.model.embeddings.word_embeddings.weight
            self.model.untie()
            add_copy(self.optimizers, table, self.model.head.decoder.weight)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, on the CPU: a parameter once, its optimizer's states, the generators."""
        device = next(self.model.parameters()).device
        tensors = {f"model.{name}": parameter.detach() for name, parameter in self.model.named_parameters()}
        for name, states in self._optimizer_states():
            tensors |= {f"optimizer.{name}.{key}": value for key, value in states.items()}
        tensors |= {
            "order.rows_to_come": self.order.rows_to_come,
            "order.generator": self.order.generator.get_state(),
            "mask.generator": self.mask_generator.get_state(),
            "dropout.generator": torch.get_rng_state(),
        }
        if device.type == "cuda":
            tensors["dropout.cuda_generator"] = torch.cuda.get_rng_state(device)
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor], step: int, train_seconds: float) -> None:
        """Go on from the tensors that a state of the same model, recipe and device gave away.

        Raises:
            StateError: they are not such; nothing has changed then.
        """
        wanted = self._kinds(step)
        for name in sorted(wanted.keys() | tensors.keys()):
            found = _kind(tensors[name]) if name in tensors else None
            if found != wanted.get(name):
                raise StateError(f"does not fit this model ({name} is {found}, not {wanted.get(name)})")
        rows_to_come = tensors["order.rows_to_come"]
        if not all(0 <= row < self.order.num_blocks for row in rows_to_come.tolist()):
            raise StateError("does not fit this text (order.rows_to_come)")
        try:
            generators = {name: _generator(tensors[f"{name}.generator"]) for name in ("order", "mask", "dropout")}
        except RuntimeError as error:
            raise StateError(f"does not fit this model ({error})") from error
        self.go_to(step)
        device = next(self.model.parameters()).device
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.data.copy_(tensors[f"model.{names[parameter]}"])
                    optimizer.state[parameter] = {
                        key: tensors[f"optimizer.{names[parameter]}.{key}"].to(device)
                        for key in STATE_KEYS[type(optimizer)]
                    }
        self.order.rows_to_come, self.order.generator = rows_to_come, generators["order"]
        self.mask_generator = generators["mask"]
        torch.set_rng_state(generators["dropout"].get_state())
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["dropout.cuda_generator"], device)
        self.train_seconds = train_seconds

    def _unties_by(self, step: int) -> bool:
        return self.untie_step is not None and step >= self.untie_step and self.model.is_tied

    def _kinds(self, step: int) -> dict[str, Kind]:
        """What `tensors` gives at a step after the first, by name."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        kinds = {name: _kind(tensor) for name, tensor in self.tensors().items() if not name.startswith("optimizer.")}
        kinds["order.rows_to_come"] = (torch.int64, None)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    for key in STATE_KEYS[type(optimizer)]:
                        shape = () if key == "step" else tuple(parameter.shape)
                        kinds[f"optimizer.{names[parameter]}.{key}"] = (torch.float32, shape)
        if self._unties_by(step):
            of_table = {name: kind for name, kind in kinds.items() if TABLE in name}
            kinds |= {name.replace(TABLE, OUTPUT_MATRIX): kind for name, kind in of_table.items()}
        return kinds

    def _optimizer_states(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        states = {parameter: states for optimizer in self.optimizers for parameter, states in optimizer.state.items()}
        for name, parameter in self.model.named_parameters():
            yield name, states.get(parameter, {})


def _kind(tensor: Tensor) -> Kind:
    """Of a vector of ids, the length may differ."""
    return tensor.dtype, None if tensor.dtype == torch.int64 and tensor.dim() == 1 else tuple(tensor.shape)


def _generator(state: Tensor) -> torch.Generator:
    generator = torch.Generator()
    generator.set_state(state)
    return generator


def train(
    state: TrainingState,
    blocks: Tensor,
    config: TrainConfig,
    vocab_size: int,
    autocast: torch.amp.autocast_mode.autocast,
    on_step: Callable[[Step], None],
) -> None:
    """Train in place on (N, T) blocks from the state's step to `num_steps`.

    `on_step` is called after every step; what it does is not counted as training time.

    Raises:
        RunFailed: the loss or a gradient is not finite.
    """
    model, optimizers = state.model, state.optimizers
    device = next(model.parameters()).device
    model.train()
    while state.step < config.num_steps:
        started = time.perf_counter()
        rows = next(state.order)
        batch = mask_blocks(blocks[rows], config.mlm_probability, vocab_size, state.mask_generator)
        state.batches.add(rows, batch)
        set_learning_rate(optimizers, state.step, config)
        with autocast:
            loss = model.loss(batch.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        loss_nats = loss.item()
        if not math.isfinite(loss_nats) or not math.isfinite(norm.item()):
            raise RunFailed(
                f"step {state.step + 1}: loss {loss_nats}, gradient norm {norm.item()}; lower the learning rates"
            )
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        state.go_to(state.step + 1)
        state.train_seconds += time.perf_counter() - started
        on_step(Step(state.step, loss_nats, optimizers[0].param_groups[0]["lr"], state.train_seconds))

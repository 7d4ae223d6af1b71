"""All that changes while a model trains (model, optimizers, generators), given away to and taken from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from tiedlm.config.train_config import TrainConfig
from tiedlm.data.masking import BatchOrder
from tiedlm.generators import derive_seed, make_generator
from tiedlm.model.masked_lm import OUTPUT_MATRIX, MaskedLM
from tiedlm.training.optim import add_copy, build_optimizers
from tiedlm.training.pairing import BatchChain

Kind = tuple[torch.dtype, tuple[int, ...] | None]
TABLE = "embeddings.word_embeddings.weight"


class StateError(ValueError):
    """The tensors are not those of a state of this model."""


class TrainingState:
    """`tensors` gives it away, and `restore` takes it up again.

    The schedule is a function of the step and needs no state. Dropout draws from PyTorch's global generators,
    so there can be one training at a time in a process.
    """

    def __init__(
        self, model: MaskedLM, num_blocks: int, config: TrainConfig, seed: int, precision: torch.dtype = torch.float32
    ) -> None:
        """`precision` is that of the optimizers' matrix products; all that is kept is fp32."""
        torch.manual_seed(derive_seed(seed, "dropout"))
        self.model, self.optimizers = model, build_optimizers(model, config, precision, model.intervention)
        self.untie_step = model.intervention.untie_step(config.num_steps)
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
                        for key in optimizer.state_shapes(parameter)
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
                    for key, shape in optimizer.state_shapes(parameter).items():
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

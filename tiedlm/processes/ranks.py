"""The processes that train one model together, each on a part of every batch (`torchrun`); alone, there is one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiedlm.errors import InputError
from tiedlm.processes.available_cpus import available_cpus

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Which of how many this process is."""

    rank: int = 0
    number: int = 1
    on_this_machine: int = 1
    number_here: int = 0
    """Which of those on this machine."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and tells."""
        return self.rank == 0

    def share(self, number: int) -> slice:
        """This rank's part of so many rows, as even as can be."""
        return slice(self.rank * number // self.number, (self.rank + 1) * number // self.number)

    def is_mine(self, index: int) -> bool:
        """Whether this rank does a piece of work that is dealt out in turn."""
        return index % self.number == self.rank

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Let each tensor be the sum of those of all ranks, in place; a shared one is given once."""
        if self.number == 1:
            return
        by_kind: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for tensor in tensors:
            by_kind.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for of_kind in by_kind.values():
            _add_up(of_kind)

    def wait(self) -> None:
        """Until all ranks are here."""
        self.any(False)

    @property
    def num_threads(self) -> int:
        """Of this process, where all ranks of the machine share its processors."""
        return max(1, available_cpus() // self.on_this_machine)

    def any(self, is_so: bool) -> bool:
        """Whether it is so for one of them at least."""
        import torch  # here, as below: who asks for ranks need not wait for it

        flag = torch.tensor([float(is_so)])
        self.add_up([flag])
        return bool(flag.item())

    def check_agree(self, what: str, value: int) -> None:
        """Refuse to go on from different places.

        Raises:
            RuntimeError: a rank has another value.
        """
        import torch

        given = torch.tensor([float(value)], dtype=torch.float64)
        total = given.clone()
        self.add_up([total])
        if total.item() != self.number * value:
            raise RuntimeError(f"rank {self.rank} has {what} {value}, other ranks have another")


ALONE = Ranks()


def ranks_of_environment() -> Ranks:
    """As `torchrun` tells them; one where it does not."""
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number == 1 or "RANK" not in os.environ:
        return ALONE
    rank = int(os.environ["RANK"])
    return Ranks(rank, number, int(os.environ.get("LOCAL_WORLD_SIZE", number)), int(os.environ.get("LOCAL_RANK", rank)))


def check_rows(ranks: Ranks, batch_size: int) -> None:
    """Refuse a batch that has no row for a rank.

    Raises:
        InputError: there are more ranks than rows.
    """
    if ranks.number > batch_size:
        raise InputError(
            f"train.batch_size={batch_size} has fewer blocks than torchrun has processes, {ranks.number}; start fewer, "
            "or raise it"
        )


def _add_up(tensors: Sequence[Tensor]) -> None:
    import torch
    from torch import distributed

    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))

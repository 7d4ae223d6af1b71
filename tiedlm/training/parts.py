"""A batch in parts: the rows of one rank, and of these as many at a time as memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiedlm.masked_batch import MaskedBatch
from tiedlm.model.dropout import RowShare
from tiedlm.processes.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Division:
    """How a batch goes through the model. It changes the rounding of sums and nothing else."""

    ranks: Ranks = ALONE
    micro_batch: int | None = None
    """At most so many blocks at a time on each rank; None: all of them."""

    def parts(self, batch: MaskedBatch) -> Iterator[tuple[MaskedBatch, RowShare | None]]:
        """This rank's parts of a batch of (B, T), and which rows they are; None: all."""
        num_rows = len(batch.input_ids)
        mine = self.ranks.share(num_rows)
        size = self.micro_batch or num_rows
        for start in range(mine.start, mine.stop, size):
            rows = slice(start, min(start + size, mine.stop))
            is_all = rows == slice(0, num_rows)
            yield (batch, None) if is_all else (batch.part(rows), RowShare(rows, num_rows))


WHOLE = Division()

"""A folder of records, read or reported again: what is trained already, for Python."""

from __future__ import annotations

from pathlib import Path

from tiedlm.comparison.arm_summary import METRICS
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.designs import SCAN_DESIGN_FILE
from tiedlm.comparison.folder import compare_cells, compare_folder
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.tabular import Row, Tabular
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.write import update_report
from tiedlm.reporting.write_scan import update_scan


class Records(list[RunRecord], Tabular):
    """The records of a folder, in file order."""

    def tables(self) -> dict[str, list[Row]]:
        """`runs`: each with each split, what it cost, and every key of its configuration."""
        rows = [
            {
                "experiment": record.experiment,
                "arm": record.arm,
                "seed": record.seed,
                "split": split,
                "parameters": sum(record.parameters.values()),
                **{name: getattr(metrics, name) for name in METRICS},
                "num_tokens": metrics.num_tokens,
                "train_seconds": record.cost.train_seconds,
                "tokens_per_second": record.cost.tokens_per_second,
                "peak_memory_bytes": record.cost.peak_memory_bytes,
                **record.config.every_key(),
            }
            for record in self
            for split, metrics in record.metrics.items()
        ]
        return {"runs": rows}

    def __repr__(self) -> str:
        """In a line for each run."""
        return "\n".join(map(repr, self))


def records(folder: str | Path) -> Records:
    """The records of a folder as `tiedlm compare` writes it, each held to its digest.

    Raises:
        InputError: there are none, or one cannot be used.
    """
    return Records(load_records(Path(folder)))


def load(folder: str | Path) -> Comparison | Scan:
    """The comparison of a folder's records, or the scan of its cells. Nothing is written.

    Raises:
        InputError: the folder holds no records, or they cannot be compared.
    """
    folder = Path(folder)
    return compare_cells(folder) if is_scan(folder) else compare_folder(folder)


def report(folder: str | Path, *, force: bool = False) -> Comparison | Scan:
    """The same, and REPORT.md, the plots and the JSON are written beside the records, as by `tiedlm report`.

    The plots are drawn again where a record has changed, or with `force`.

    Raises:
        InputError: as `load`, or the folder cannot be written.
    """
    folder = Path(folder)
    return update_scan(folder, force) if is_scan(folder) else update_report(folder, force)


def is_scan(folder: Path) -> bool:
    """Whether it holds the cells of a scan."""
    return (folder / SCAN_DESIGN_FILE).exists()

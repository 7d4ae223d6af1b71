"""A comparison in every cell of some values of some keys: when does tying help?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiedlm.api.cell_experiments import make_cells
from tiedlm.api.planned_contrasts import check_of_scan, planned_contrasts
from tiedlm.api.runs import as_experiment, compare, out_folder
from tiedlm.comparison.designs import CONTRASTS_FILE, SCAN_DESIGN_FILE, check_new_design, sealed_scan
from tiedlm.comparison.scan_result import Scan, ScanDesign
from tiedlm.comparison.sealed_design import save_decision, seal
from tiedlm.config.experiment import Experiment
from tiedlm.config.strict import validated
from tiedlm.errors import InputError
from tiedlm.execution.run_options import RunOptions
from tiedlm.report.write_scan import update_scan


def scan(
    experiment: Experiment | str | Path | None,
    values: Mapping[str, Sequence[Any]],
    arms: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    options: RunOptions | None = None,
) -> Scan:
    """Compare the arms for every combination of values, by `section.key`, each in a folder of its own below `out`.

    Cells that have their records are not trained again, so an interrupted scan goes on, and one over more values of
    the same keys adds to it. `out` is by default `runs/NAME-scan`. The rest is as for `compare`.

    Raises:
        InputError: a combination is no experiment, or `out` holds another scan.
        RunsFailed: runs of a cell failed; the cells before it are kept.
    """
    experiment = as_experiment(experiment)
    options = options or RunOptions()
    folder = scan_folder(experiment, out)
    document = {"experiment": experiment.name, "values": {key: list(of_key) for key, of_key in values.items()}}
    design = validated(ScanDesign, document, "--scan")
    cells = make_cells(experiment, values)
    earlier = sealed_scan(folder)
    if earlier is not None and not design.has_all_of(earlier.design):
        raise InputError(
            f"--out {folder}: has another scan ({earlier.design}); give its keys in that order with all its values, or "
            "choose another --out"
        )
    sealed = seal(design, earlier)
    check_new_design("scan", sealed, folder)
    check_of_scan(experiment, values)
    contrasts = planned_contrasts(experiment, folder)

    from tiedlm.execution.output_folder import make_folder  # here, since it imports torch

    make_folder(folder)
    save_decision(sealed, folder / SCAN_DESIGN_FILE)
    if contrasts is not None:
        save_decision(contrasts, folder / CONTRASTS_FILE)
    for number, cell in enumerate(cells, 1):
        options.listener.notice(f"cell {number} of {len(cells)}: {cell.folder}")
        place = folder / cell.folder
        compare(cell.experiment, arms, seeds, out=place, data_dir=data_dir, text_column=text_column, options=options)
    return update_scan(folder)


def scan_folder(experiment: Experiment, out: str | Path | None) -> Path:
    """The folder of a scan: the one given, or `runs/NAME-scan`.

    Raises:
        InputError: it is a file.
    """
    return out_folder(experiment, out, "-scan")

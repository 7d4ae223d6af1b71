"""The designs of `--to-within`, `--tune` and `--scan`, and the contrasts: where each lies, and which records know it.

A record holds the digest of each design that lay beside it when it was trained. So a design that was changed or
removed since is told, and nothing that follows from it is shown.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tiedlm.comparison.cells import cell_folders, cells_with_records
from tiedlm.comparison.scan_result import ScanDesign
from tiedlm.comparison.sealed_design import PUT_BACK, Sealed, load_design_file, save_decision
from tiedlm.comparison.trials import tuned_folders
from tiedlm.comparison.tuning_table import TUNE_FOLDER
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.contrasts import Contrasts
from tiedlm.config.strict import Strict
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.record.divergence import Divergence
from tiedlm.record.origin import DesignOption
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord

DESIGN_FILE, TUNE_FILE, SCAN_DESIGN_FILE = "two-stage.json", "tune.json", "scan-design.json"
CONTRASTS_FILE = "contrasts.json"
FILES: dict[DesignOption, str] = {
    "to-within": DESIGN_FILE,
    "tune": f"{TUNE_FOLDER}/{TUNE_FILE}",
    "scan": SCAN_DESIGN_FILE,
    "contrasts": CONTRASTS_FILE,
}
"""Below the folder that the option was given for; the contrasts of a scan lie in its folder."""
OLDER_TUNE_FOLDER, OLDER_TUNE_FILE = "search", "grid.json"

D = TypeVar("D", bound=Strict)


def sealed_contrasts(folder: Path) -> Sealed[Contrasts] | None:
    """What is tested in a folder, or None where that is every other arm against the first.

    Raises:
        InputError: the file is damaged or was changed.
    """
    return load_design_file(folder / CONTRASTS_FILE, Contrasts)


def sealed_scan(folder: Path) -> Sealed[ScanDesign] | None:
    """What was scanned in a folder, or None.

    Raises:
        InputError: the file is damaged or was changed.
    """
    return load_design_file(folder / SCAN_DESIGN_FILE, ScanDesign, ScanDesign.has_all_of)


def sealed_two_stage(folder: Path) -> Sealed[TwoStage] | None:
    """What `--to-within` decided in a folder, or None.

    Raises:
        InputError: the file is damaged or was changed.
    """
    return load_design_file(folder / DESIGN_FILE, TwoStage, lambda later, earlier: later.follows(earlier))


def sealed_tune(folder: Path) -> Sealed[Tune] | None:
    """What `--tune` was given for a folder, or None.

    Raises:
        InputError: the file is damaged or was changed, or lies where it lay before `--tune` and `tune` were one word.
    """
    older = folder / OLDER_TUNE_FOLDER / OLDER_TUNE_FILE
    if older.exists():
        raise InputError(
            f"{older}: is called {TUNE_FOLDER}/{TUNE_FILE} now; rename the folder {OLDER_TUNE_FOLDER} to {TUNE_FOLDER} "
            f"and {OLDER_TUNE_FILE} in it to {TUNE_FILE}"
        )
    return load_design_file(folder / TUNE_FOLDER / TUNE_FILE, Tune, Tune.prolongs)


def load_scan_design(folder: Path) -> ScanDesign | None:
    """What was scanned in a folder, or None; raises as `sealed_scan`."""
    sealed = sealed_scan(folder)
    return None if sealed is None else sealed.design


def load_design(folder: Path) -> TwoStage | None:
    """What `--to-within` decided in a folder, or None; raises as `sealed_two_stage`."""
    sealed = sealed_two_stage(folder)
    return None if sealed is None else sealed.design


def load_tune(folder: Path) -> Tune | None:
    """What `--tune` was given for a folder, or None; raises as `sealed_tune`."""
    sealed = sealed_tune(folder)
    return None if sealed is None else sealed.design


def designs_beside(folder: Path) -> dict[DesignOption, str] | None:
    """The digests of the designs by which runs in a folder are trained, for their records; None where there are none.

    Raises:
        InputError: one of them is damaged or was changed.
    """
    found: dict[DesignOption, str] = {}
    for option, place in _places(folder).items():
        sealed = place.load()
        is_of_folder = place.holder == folder or option == "contrasts"
        if sealed is not None and (is_of_folder or _name(folder) in _cells_of(sealed.design)):
            found[option] = sealed.digests[0]
    return found or None


def check_designs(records: Iterable[RunRecord | Divergence], folder: Path) -> None:
    """Refuse records in a folder that were trained by a design which is no longer there as it was.

    Raises:
        InputError: a design is missing, is another one, is damaged or was changed.
    """
    named = {(option, digest): record for record in records for option, digest in (record.design_sha256 or {}).items()}
    places = _places(folder)
    for (option, digest), record in named.items():
        place = places[option]
        sealed = place.load()
        if sealed is None:
            raise InputError(f"{place.path}: is missing, and {record.file_name} was trained by that design; {PUT_BACK}")
        follows = option == "to-within" and record.seed not in sealed.design.first_stage_seeds
        follows = follows or (option == "tune" and place.holder == folder)  # from all trials, so none is added later
        if digest not in (sealed.digests[:1] if follows else sealed.digests):
            raise InputError(f"{place.path}: is not the design that {record.file_name} was trained by; {PUT_BACK}")


def check_none_is_missing(folder: Path) -> None:
    """Refuse a folder without a scan's or a tuning's design whose cells were trained by one.

    Raises:
        InputError: there is such a cell.
    """
    for path in (folder / SCAN_DESIGN_FILE, folder / TUNE_FOLDER / TUNE_FILE):
        if not path.exists():
            for cell in cells_with_records(path.parent):
                check_designs(load_records(path.parent / cell), path.parent / cell)


def check_new_design(option: DesignOption, sealed: Sealed[D], folder: Path) -> None:
    """Refuse a design of a folder that has records by another one.

    Raises:
        InputError: there is such a record.
    """
    path = folder / FILES[option]
    cells = [] if option == "to-within" else [path.parent / cell for cell in cells_with_records(path.parent)]
    for place in ([] if option == "scan" else [folder]) + cells:
        for record in load_records(place, may_be_empty=True) if place.is_dir() else []:
            if (record.design_sha256 or {}).get(option, sealed.digests[0]) not in sealed.digests:
                raise InputError(
                    f"{path}: is missing or changed, and {place / record.file_name} was trained by another design than "
                    f"this command's; {PUT_BACK}, or choose another --out"
                )


def put_back(option: DesignOption, sealed: Sealed[D], folder: Path) -> None:
    """Write a missing design again whose digest records of the folder have.

    Raises:
        InputError: a record cannot be used.
    """
    path = folder / FILES[option]
    records = load_records(folder, may_be_empty=True) if folder.is_dir() and not path.exists() else []
    if any(option in (record.design_sha256 or {}) for record in records):
        save_decision(sealed, path)


def contrasts_folder(folder: Path) -> Path:
    """Where the contrasts of the records of a folder lie: in it, or beside the design of the scan whose cell it is."""
    return _places(folder)["contrasts"].holder


def is_cell(folder: Path) -> bool:
    """Whether the runs of a folder are one cell of a scan or of a tuning."""
    place = folder if folder.name not in ("", "..") else folder.resolve()
    above = place.parent
    return "=" in place.name and (above.name == TUNE_FOLDER or (above / SCAN_DESIGN_FILE).exists())


def is_trial(folder: Path) -> bool:
    """Whether the runs of a folder are one cell of a tuning, where a run that diverges has a result."""
    place = folder if folder.name not in ("", "..") else folder.resolve()
    return "=" in place.name and place.parent.name == TUNE_FOLDER and (place.parent / TUNE_FILE).exists()


class _Place(NamedTuple):
    """Where the design of an option lies, for the records of one folder."""

    holder: Path
    """The folder that the option was given for: that of the records, or the one whose cell that is."""
    path: Path
    load: Callable[[], Sealed[Any] | None]


def _places(folder: Path) -> dict[DesignOption, _Place]:
    above = folder.parent if folder.name not in ("", "..") else folder.resolve().parent
    is_of_tuning = above.name == TUNE_FOLDER and not (folder / TUNE_FOLDER).exists()
    holders: dict[DesignOption, Path] = {
        "to-within": folder,
        "tune": above.parent if is_of_tuning else folder,
        "scan": above,
        "contrasts": above if is_cell(folder) and not is_of_tuning else folder,
    }
    loaders: dict[DesignOption, Callable[[Path], Sealed[Any] | None]] = {
        "to-within": sealed_two_stage,
        "tune": sealed_tune,
        "scan": sealed_scan,
        "contrasts": sealed_contrasts,
    }
    return {
        option: _Place(holder, holder / FILES[option], functools.partial(loaders[option], holder))
        for option, holder in holders.items()
    }


def _cells_of(design: TwoStage | Tune | ScanDesign) -> Collection[str]:
    """The folders of its cells; none where it is of the folder itself."""
    if isinstance(design, TwoStage):
        return ()
    return tuned_folders(design) if isinstance(design, Tune) else cell_folders(design.values)


def _name(folder: Path) -> str:
    return (folder if folder.name not in ("", "..") else folder.resolve()).name

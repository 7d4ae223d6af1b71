"""Models out: a run as a folder for `transformers`."""

from __future__ import annotations

from pathlib import Path


def export(run: str | Path, folder: str | Path) -> Path:
    """Write a run, `DIR/ARM-seedN.safetensors`, as a folder that `transformers` reads; return the folder.

    Raises:
        InputError: it is no run, the folder is not empty, or no class of `transformers` computes the same.
    """
    from tiedlm.exchange.exported_folder import export_run  # here, since it imports torch
    from tiedlm.exchange.trained_run import open_run

    export_run(open_run(Path(run)), Path(folder))
    return Path(folder)

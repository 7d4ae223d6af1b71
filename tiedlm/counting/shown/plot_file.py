"""A figure of matplotlib → the file that `--plot` names, as pixels or as vectors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiedlm.atomic_file import write_atomically
from tiedlm.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""By the ending, what the file shall not say of itself, so that the same figure has the same bytes."""
VECTORS = {"pdf.fonttype": 42, "svg.hashsalt": "tiedlm"}
"""Text of a PDF stays text in a font that publishers accept."""


def check_plot_file(path: Path) -> None:
    """Refuse what cannot be drawn before anything is computed.

    Raises:
        InputError: the format is unknown, or the folder is not there.
    """
    if path.suffix[1:].lower() not in FORMATS:
        raise InputError(f"--plot {path}: is none of {', '.join('.' + name for name in FORMATS)}; rename it")
    if path.is_dir():
        raise InputError(f"--plot {path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise InputError(f"--plot {path}: the folder {path.parent} does not exist; create it")


def write_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Draw a figure into a file that `check_plot_file` has let pass; `dpi` is that of pixels.

    Raises:
        InputError: the file cannot be written.
    """
    import matplotlib  # here: it takes long to import

    form, content = path.suffix[1:].lower(), io.BytesIO()
    with matplotlib.rc_context(VECTORS):
        figure.savefig(content, dpi=dpi, format=form, metadata=FORMATS[form])
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise InputError(f"--plot {path}: cannot be written ({error.strerror}); choose another file") from error

"""Files of weights that are not read here: why, and which of them lie beside what was counted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tiedlm.counting.stored.safetensors_header import OTHER_FILES
from tiedlm.errors import listed

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Opening one runs whatever its author put into it (https://docs.python.org/3/library/pickle.html)."""
OTHERS = (".msgpack", ".h5", ".onnx", ".ot", ".engine", ".nemo", ".distcp", ".tflite")
READ = (".safetensors", ".gguf", ".npz")
NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|rng_state|scaler|tokenizer).*")


def why_not_opened(path: Path) -> str | None:
    """In a sentence, why a file of weights is refused; None for any other file."""
    ending = path.suffix.lower()
    if ending in PICKLES and path.is_file():
        with path.open("rb") as file:
            first = file.read(8)
        what = next((what for begins, what in OTHER_FILES.items() if first.startswith(begins)), None)
        if what is not None and not first.startswith(b"\x80"):
            return f"{path}: is {what}; give the model's config.json or .safetensors"
        return (
            f"{path}: is a pickle, which can run code when it is opened, so it is not opened; save it as .safetensors, "
            "or by torch.save of PyTorch 1.6 or newer, whose archive tells its tensors"
        )
    if ending in OTHERS:
        return f"{path}: {ending} files are not read here; give the model's config.json or .safetensors"
    return None


def unread_note(folder: Path, read: Iterable[Path]) -> tuple[str, ...]:
    """A note of the weights in a folder that the answer does not rest on, if there are any."""
    known = {path.name for path in read}
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in (*READ, *PICKLES, *OTHERS)
        and path.name not in known
        and not NO_WEIGHTS.fullmatch(path.name)
        and path.is_file()
    )
    return (f"beside it lie weights that were not read: {listed(names)}",) if names else ()

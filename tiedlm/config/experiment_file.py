"""A TOML file of an experiment → Experiment, and the experiments that come with the package."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiedlm.config.experiment import Experiment
from tiedlm.config.strict import validated
from tiedlm.config.written_value import written_value
from tiedlm.errors import InputError, did_you_mean
from tiedlm.regular_file import read_regular_file

MAX_TOML_BYTES = 100_000  # the largest shipped experiment has 6,000


def read_experiment(path: Path, settings: Sequence[str] = (), values: Mapping[str, str] | None = None) -> Experiment:
    """Read a TOML file, and change it as `changed_document` does.

    Raises:
        InputError: the file cannot be read, or a key is unknown, missing or of the wrong type.
    """
    return changed_document(_document(path), settings, values, str(path))


def changed_document(
    document: dict[str, Any], settings: Sequence[str], values: Mapping[str, str] | None, source: str
) -> Experiment:
    """The experiment of a document, which is changed by `values`, taken as they are, then by `section.key=value`.

    Raises:
        InputError: a key is unknown, missing or of the wrong type.
    """
    for place, value in (values or {}).items():
        section, _, key = place.rpartition(".")
        target = document.setdefault(section, {}) if section else document
        if isinstance(target, dict):  # else it is refused below
            target[key] = value
    for setting in settings:
        _apply_setting(document, setting)
    return validated(Experiment, document, f"{source} changed by {', '.join(settings)}" if settings else source)


def _document(path: Path) -> dict[str, Any]:
    try:
        content = read_regular_file(path, MAX_TOML_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of an experiment") from error
    if len(content) > MAX_TOML_BYTES:
        raise InputError(f"{path}: is over the limit of {MAX_TOML_BYTES:,} bytes; give the TOML file of an experiment")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start}); give a TOML file") from error
    except (ValueError, RecursionError) as error:  # ValueError: bad TOML, or an integer of more than 4,300 digits
        raise InputError(f"{path}: is not valid TOML ({error}); correct the file") from error


def shipped_experiments() -> dict[str, Path]:
    """Name → file of the experiments that come with the package."""
    package = Path(__file__).parents[1]
    for folder in (package / "experiments", package.parent / "experiments"):  # a wheel; a checkout
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    raise InputError(f"{package}: the shipped experiments are missing; reinstall tiedlm")


def find_experiment(name_or_path: str) -> Path:
    """A path that exists, or the name of a shipped experiment.

    Raises:
        InputError: it is neither.
    """
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    shipped = shipped_experiments()
    if name_or_path in shipped:
        return shipped[name_or_path]
    if Path(name_or_path).is_dir():
        raise InputError(
            f"experiment {name_or_path!r} is a folder without records; for a text of your own give --corpus "
            f"{name_or_path}"
        )
    hint = did_you_mean(name_or_path, shipped)
    raise InputError(
        f"experiment {name_or_path!r} is neither a file nor one of {', '.join(shipped)}{hint}; check the path or use a "
        "name"
    )


def _apply_setting(raw: dict[str, Any], setting: str) -> None:
    matched = re.fullmatch(
        r"(?:([a-z_]+|arms\.[a-z0-9-]+\.[a-z_]+|contrasts\.[a-z0-9-]+)\.)?([a-z_0-9]+)=(.*)", setting, flags=re.DOTALL
    )
    if not matched:
        raise InputError(f"--set {setting!r} is not of the form section.key=value; write e.g. train.num_steps=100")
    section, key, text = matched.groups()
    if (section, key) == ("model", "tie_word_embeddings"):
        raise InputError(
            f"--set {setting!r}: the tie is what the arms differ in; leave it out, for compare trains both, and give "
            "train --tied or --untied"
        )
    target: Any = raw
    for part in section.split(".") if section else ():
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise InputError(f"--set {setting!r}: {part!r} is no section; write e.g. train.num_steps=100")
    if "\n" in text:
        raise InputError(f"--set {setting!r}: holds a line break; give one key each")
    try:
        target[key] = written_value(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"--set {setting[:60]!r}…: is not valid TOML ({error}); write e.g. train.num_steps=100"
        ) from error

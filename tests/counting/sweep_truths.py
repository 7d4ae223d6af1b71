"""What `transformers` says of each class under each statement of the flag: the truths that the sweep measures against.

A model is built with random numbers, saved, and its `config.json` then edited to state the flag or not; the truth is
what the class makes of that file. Folders and truths lie in a cache, so a second sweep asks `tiedlm` only.
"""

from __future__ import annotations

import copy
import json
import shutil
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers

from tests.counting.shrunk_models import class_of, shrunk

TIE_KEY = "tie_word_embeddings"
ALONE = "alone"
"""Folder inside a case's, which holds its `config.json` without weights."""
BARE = "bare"
"""The same for its weights without a `config.json`."""
BY_NAME = "by-name"
"""One statement of the flag for each class, chosen by its name: all are met, in the time of one."""
MAX_PARAMETERS = 5_000_000
CANNOT, NO_HEAD, NOT_TIED = "cannot", "no head", "not tied"
NOT_LOADED = {"Qwen2_5OmniForConditionalGeneration": "asks for a file of voices beside the weights"}
RULES = 4
"""Raised where what is said of a model changes, so that no older truth is taken for a new one."""

Statement = Callable[[dict[str, Any], dict[str, Any]], None]


@dataclass(frozen=True)
class Truth:
    """A model as its class builds it."""

    total: int
    """Unique parameters."""
    tie: bool | str | None
    """By identity; "cannot" where the shapes differ, "no head" where there is none. Where the class does not name its
    output but one matrix has the shape for it, True or "not tied", for it need not give words; where several have, or
    none that multiplies, None: the tie is not judged."""
    has_words: bool
    """Whether it looks words up; one that does not may be refused."""


@dataclass(frozen=True)
class Case:
    """A saved model under one statement of the flag."""

    class_name: str
    variant: str
    folder: Path
    truths: dict[str, Truth]
    """By way: of the folder, of its `config.json` alone, and of its file without one, where no tie is judged."""

    def path(self, way: str) -> Path:
        """What `tiedlm` is asked about."""
        return self.folder / {"folder": "", "config": f"{ALONE}/config.json", "bare": f"{BARE}/model.safetensors"}[way]


class Unbuildable(Exception):
    """`transformers` cannot build the class, or not with the flag as it is stated."""


def everywhere(value: bool) -> Statement:
    """The flag at each level where the configuration class has one; at the top where none has."""

    def state(raw: dict[str, Any], defaults: dict[str, Any]) -> None:
        levels = [table for table, default in _levels(raw, defaults) if TIE_KEY in default]
        for table in levels or [raw]:
            table[TIE_KEY] = value

    return state


def silent(raw: dict[str, Any], defaults: dict[str, Any]) -> None:
    """The flag nowhere."""
    for table, _ in _levels(raw, defaults):
        table.pop(TIE_KEY, None)


def inside(value: bool) -> Statement:
    """The flag at the levels below the top."""

    def state(raw: dict[str, Any], defaults: dict[str, Any]) -> None:
        everywhere(value)(raw, defaults)
        raw.pop(TIE_KEY, None)

    return state


VARIANTS: dict[str, Statement] = {
    "tied": everywhere(True),
    "untied": everywhere(False),
    "silent": silent,
    "inner-tied": inside(True),
    "inner-untied": inside(False),
}


def _levels(raw: dict[str, Any], defaults: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    yield raw, defaults
    for key, inner in raw.items():
        if isinstance(inner, dict):
            default = defaults.get(key)
            yield from _levels(inner, default if isinstance(default, Mapping) else {})


def variants_of(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A configuration with the flag stated in each way that is another than those before."""
    found: dict[str, dict[str, Any]] = {}
    for variant, state in VARIANTS.items():
        stated = copy.deepcopy(raw)
        state(stated, raw)
        if stated not in found.values():
            found[variant] = stated
    return found


def cases_of(class_name: str, cache: Path, wanted: Collection[str] = tuple(VARIANTS)) -> Iterator[Case | Unbuildable]:
    """A class under each wanted statement of the flag, saved in the cache, where it is not there yet."""
    try:
        with _quiet():
            raw = shrunk(class_name)
    except Exception as error:
        yield _sentence(class_name, "*", error)
        return
    stated = variants_of(raw)
    chosen = list(stated)[zlib.crc32(class_name.encode()) % len(stated)]
    for variant in stated:
        if variant in wanted or (BY_NAME in wanted and variant == chosen):
            folder = cache / f"{transformers.__version__}-{RULES}" / class_name / variant
            yield _case(class_name, variant, stated[variant], raw, folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hundreds of classes, each with warnings of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _case(class_name: str, variant: str, stated: Any, raw: Any, folder: Path) -> Case | Unbuildable:
    kept = folder / "truth.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if known.get("stated") != json.loads(json.dumps(stated)):
        known = _kept(class_name, variant, stated, raw, folder)
    if "error" in known:
        return Unbuildable(known["error"])
    truths = {way: Truth(**truth) for way, truth in known["truths"].items()}
    return Case(class_name, variant, folder, truths | {"bare": replace(truths["folder"], tie=None)})


def _kept(class_name: str, variant: str, stated: Any, raw: Any, folder: Path) -> dict[str, Any]:
    """Made beside its place and then moved there whole, so that two sweeps may share a cache."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {"stated": stated}
    with TemporaryDirectory(dir=folder.parent) as making:
        made = Path(making) / folder.name
        made.mkdir()
        try:
            with _quiet():
                known["truths"] = {way: asdict(truth) for way, truth in _make(class_name, variant, stated, raw, made)}
        except Exception as error:
            known["error"] = str(_sentence(class_name, variant, error))
        (made / "truth.json").write_text(json.dumps(known), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the other sweep was faster, and made the same
            made.rename(folder)
    return known


def _sentence(class_name: str, variant: str, error: Exception) -> Unbuildable:
    return Unbuildable(f"{class_name} {variant}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _make(class_name: str, variant: str, stated: Any, raw: Any, folder: Path) -> Iterator[tuple[str, Truth]]:
    model_class = class_of(class_name)
    _refuse_large(model_class, stated)
    model = model_class(model_class.config_class.from_dict(copy.deepcopy(stated)))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    model.save_pretrained(folder)
    _edit(folder, variant, raw)
    (folder / BARE).mkdir()
    (folder / BARE / "model.safetensors").symlink_to(Path("..") / "model.safetensors")
    config = model_class.config_class.from_pretrained(folder)
    with torch.device("meta"):
        yield "config", truth_of(model_class(config))
    yield "folder", truth_of(model if class_name in NOT_LOADED else model_class.from_pretrained(folder))


def _refuse_large(model_class: Any, stated: Any) -> None:
    with torch.device("meta"):
        model = model_class(model_class.config_class.from_dict(copy.deepcopy(stated)))
    total = sum(parameter.numel() for parameter in model.parameters())
    if total > MAX_PARAMETERS:
        raise ValueError(f"{total:,} parameters are too many to save; make it smaller in shrunk_models.py")


def _edit(folder: Path, variant: str, defaults: dict[str, Any]) -> None:
    """Saving writes the flag at every level, whatever stood there."""
    path = folder / "config.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    VARIANTS[variant](saved, defaults)
    (folder / ALONE).mkdir()
    for config in (path, folder / ALONE / "config.json"):
        config.write_text(json.dumps(saved, indent=2), encoding="utf-8")


def truth_of(model: Any) -> Truth:
    """Its parameters, and its tie, by identity."""
    total = sum(parameter.numel() for parameter in model.parameters())
    tie = tie_of(model)
    return Truth(total, tie, tie is True or _weight(_called(model, "get_input_embeddings")) is not None)


def tie_of(model: Any) -> bool | str | None:
    """Whether the output's matrix is an embedding matrix too."""
    output = _named_output(model)
    if output is None:
        return _tie_of_unnamed(model)
    weight = output.weight
    others = [module for module in model.modules() if module is not output and _weight(module) is not None]
    if any(module.weight is weight for module in others):
        return True
    tables = [module for module in others if "Embedding" in type(module).__name__]
    return False if any(table.weight.shape == weight.shape for table in tables) else CANNOT


def _called(model: Any, method: str) -> Any:
    try:
        return getattr(model, method)()
    except (NotImplementedError, AttributeError):  # transformers' way to say that there is none
        return None


def _weight(module: Any) -> Any:
    weight = getattr(module, "weight", None)
    return weight if getattr(weight, "ndim", 0) == 2 else None


def _named_output(model: Any) -> Any:
    output = _called(model, "get_output_embeddings")
    # FSMT names a table that looks up
    return output if _weight(output) is not None and "Embedding" not in type(output).__name__ else None


def _tie_of_unnamed(model: Any) -> bool | str | None:
    tables = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    most = max((len(table) for table in tables), default=0)
    tables = [table for table in tables if len(table) == most]  # those of words, not of positions
    shapes = {table.shape for table in tables}
    alike = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear) and m.weight.shape in shapes]
    if len(alike) == 1:
        return any(alike[0] is table for table in tables) or NOT_TIED
    return None if _may_have_head(model) else NO_HEAD


def _may_have_head(model: Any) -> bool:
    """Whether something gives as many numbers as an embedding matrix has rows, or the class generates."""
    rows = {module.weight.shape[0] for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    heights = {module.weight.shape[0] for module in model.modules() if isinstance(module, torch.nn.Linear)}
    biases = {parameter.shape[0] for parameter in model.parameters() if parameter.ndim == 1}
    by_bias = bool(rows) and max(rows) in biases  # as of Perceiver, whose head multiplies by the embedding matrix
    return bool(rows & heights - {1, 2}) or by_bias or bool(model._tied_weights_keys) or model.can_generate()

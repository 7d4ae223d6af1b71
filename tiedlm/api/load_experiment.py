"""An experiment by its name or file, with the changes that a user wants."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tiedlm.api.begun_runs import begun_runs, begun_seeds, is_begun
from tiedlm.comparison.designs import contrasts_folder, sealed_contrasts
from tiedlm.comparison.recorded_experiment import OfExperiment, recorded_experiment
from tiedlm.config.corpus_config import TOKENIZER_PATTERN
from tiedlm.config.experiment import Experiment
from tiedlm.config.experiment_file import changed_document, find_experiment, read_experiment, shipped_experiments
from tiedlm.data.sources.corpus import default_tokenizer
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId

DEFAULT_EXPERIMENT = "pydoc"


def load_experiment(
    name_or_path: str | Path | None = None,
    settings: Sequence[str] = (),
    corpus: str | None = None,
    tokenizer: str | None = None,
) -> Experiment:
    """Load an experiment: the recipe, its arms and how many seeds.

    `name_or_path` is a TOML file, the name of a shipped experiment, or a folder of runs, whose experiment that is;
    without it, the one of that corpus, else `pydoc`.
    `settings` are `section.key=value`, as `--set` takes them. Another `corpus` than the file's, a name, folder or file
    of text, brings its own name and tokenizer. A `tokenizer` is what `corpus.tokenizer` may be, or a file's path.

    Raises:
        InputError: there is no such experiment, or a key is unknown, missing or of the wrong type.
    """
    by_corpus = corpus if corpus in shipped_experiments() else DEFAULT_EXPERIMENT
    make = _maker(str(name_or_path or by_corpus))
    for name, value in (("--corpus", corpus), ("--tokenizer", tokenizer)):
        if value is not None and not _is_utf8(value):
            raise InputError(f"{name} {value}: is not UTF-8, which a record needs; rename it, or give a link to it")
    given = {} if tokenizer is None else {"corpus.tokenizer": _spec(tokenizer)}
    experiment = make(settings, given)
    if corpus is None or corpus == experiment.corpus.name:
        return experiment
    slug = re.sub(r"[^a-z0-9]+", "-", Path(corpus).resolve().name.lower()).strip("-")[:40].strip("-") or "corpus"
    name = f"{experiment.name}-{slug}" if name_or_path else slug
    own = {"name": name, "corpus.name": corpus, "corpus.tokenizer": default_tokenizer(corpus)}
    return make(settings, own | given)


def going_on(
    given: object, out: str | Path | None, seeds: int | Sequence[int] | None
) -> tuple[str | Path | None, int | Sequence[int] | None]:
    """`out` and `seeds` of a command whose experiment is a folder of runs: that folder, and the seeds in it.

    Where they are given, or the experiment is no folder, they stay.
    """
    folder = folder_of_runs(given)
    if folder is None:
        return out, seeds
    there = sorted({record.seed for record in load_records(folder)}) if _has_records(folder) else begun_seeds(folder)
    return folder if out is None else out, there if seeds is None else seeds


def folder_of_runs(given: object) -> Path | None:
    """The folder of runs that an experiment is named by; None where it is named otherwise."""
    if not isinstance(given, str | Path) or str(given) in shipped_experiments() or not Path(given).is_dir():
        return None
    return Path(given) if _has_records(Path(given)) or is_begun(Path(given)) else None


def _has_records(folder: Path) -> bool:
    return any(RunId.of_record_file(path.name) for path in folder.iterdir())


def _maker(name_or_path: str) -> Callable[[Sequence[str], dict[str, str]], Experiment]:
    """Makes the experiment of a file, or of a folder of runs, with the changes that it is given.

    Raises:
        InputError: there is no such experiment.
    """
    folder = folder_of_runs(name_or_path)
    if folder is None:
        return functools.partial(read_experiment, find_experiment(name_or_path))
    contrasts = sealed_contrasts(contrasts_folder(folder))
    runs: Sequence[OfExperiment] = load_records(folder) if _has_records(folder) else begun_runs(folder)
    recorded = recorded_experiment(runs, str(folder), contrasts.design if contrasts else None)
    return lambda settings, values: changed_document(recorded.model_dump(), settings, values, str(folder))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spec(tokenizer: str) -> str:
    """What is neither to be trained nor on the Hub is a file.

    Raises:
        InputError: it is one to train with the colon left out, and no such file is there.
    """
    meant = re.fullmatch(r"(word|bpe)[ =_-]?(\d+)", tokenizer, re.IGNORECASE)
    if meant and not Path(tokenizer).exists():
        raise InputError(f"--tokenizer {tokenizer}: is no file; for one to train write {meant[1].lower()}:{meant[2]}")
    is_spec = re.fullmatch(TOKENIZER_PATTERN, tokenizer) or tokenizer.partition(":")[0] in ("word", "bpe", "hub")
    return tokenizer if is_spec else f"file:{tokenizer}"

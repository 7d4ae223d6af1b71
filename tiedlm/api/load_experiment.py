"""An experiment by its name or file, with the changes that a user wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tiedlm.config.corpus_config import TOKENIZER_PATTERN
from tiedlm.config.experiment import Experiment
from tiedlm.config.experiment_file import find_experiment, read_experiment, shipped_experiments
from tiedlm.data.sources.corpus import default_tokenizer
from tiedlm.errors import InputError

DEFAULT_EXPERIMENT = "pydoc"


def load_experiment(
    name_or_path: str | Path | None = None,
    settings: Sequence[str] = (),
    corpus: str | None = None,
    tokenizer: str | None = None,
) -> Experiment:
    """Load an experiment: the recipe, its arms and how many seeds.

    `name_or_path` is a TOML file or the name of a shipped experiment; without it, the one of that corpus, else `pydoc`.
    `settings` are `section.key=value`, as `--set` takes them. Another `corpus` than the file's, a name, folder or file
    of text, brings its own name and tokenizer. A `tokenizer` is what `corpus.tokenizer` may be, or a file's path.

    Raises:
        InputError: there is no such experiment, or a key is unknown, missing or of the wrong type.
    """
    by_corpus = corpus if corpus in shipped_experiments() else DEFAULT_EXPERIMENT
    path = find_experiment(str(name_or_path or by_corpus))
    for name, value in (("--corpus", corpus), ("--tokenizer", tokenizer)):
        if value is not None and not _is_utf8(value):
            raise InputError(f"{name} {value}: is not UTF-8, which a record needs; rename it, or give a link to it")
    given = {} if tokenizer is None else {"corpus.tokenizer": _spec(tokenizer)}
    experiment = read_experiment(path, settings, given)
    if corpus is None or corpus == experiment.corpus.name:
        return experiment
    slug = re.sub(r"[^a-z0-9]+", "-", Path(corpus).resolve().name.lower()).strip("-")[:40].strip("-") or "corpus"
    name = f"{experiment.name}-{slug}" if name_or_path else slug
    own = {"name": name, "corpus.name": corpus, "corpus.tokenizer": default_tokenizer(corpus)}
    return read_experiment(path, settings, own | given)


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

"""An experiment by its name or file, with the changes that a user wants."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tiedlm.config import Experiment
from tiedlm.data.corpus import default_tokenizer
from tiedlm.experiment_file import find_experiment, read_experiment, shipped_experiments

DEFAULT_EXPERIMENT = "pydoc"


def load_experiment(
    name_or_path: str | Path | None = None, settings: Sequence[str] = (), corpus: str | None = None
) -> Experiment:
    """Load an experiment: the recipe, its arms and how many seeds.

    `name_or_path` is a TOML file or the name of a shipped experiment; without it, the one of that corpus, else `pydoc`.
    `settings` are `section.key=value`, as `--set` takes them. Another `corpus` than the file's, a name or a folder of
    text, brings its own tokenizer and name.

    Raises:
        InputError: there is no such experiment, or a key is unknown, missing or of the wrong type.
    """
    by_corpus = corpus if corpus in shipped_experiments() else DEFAULT_EXPERIMENT
    path = find_experiment(str(name_or_path or by_corpus))
    experiment = read_experiment(path, settings)
    if corpus is None or corpus == experiment.corpus.name:
        return experiment
    slug = re.sub(r"[^a-z0-9]+", "-", Path(corpus).resolve().name.lower()).strip("-")[:40] or "corpus"
    name = f"{experiment.name}-{slug}" if name_or_path else slug
    own = {"name": name, "corpus.name": corpus, "corpus.tokenizer": default_tokenizer(corpus)}
    return read_experiment(path, [*(f"{place}={json.dumps(value)}" for place, value in own.items()), *settings])

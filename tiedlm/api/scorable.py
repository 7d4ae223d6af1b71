"""A model as a user names it → one that reads and scores a text: our own here, a stranger's in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tiedlm.api.foreign_work import IMPORTS, evaluate_foreign, read_foreign
from tiedlm.config.corpus_config import EVALUATED_SPLITS
from tiedlm.data.sources.corpus import Corpus, check_is_here, load_corpus_again
from tiedlm.errors import InputError
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.exported_origin import Origin
from tiedlm.exchange.foreign_folder import ForeignFolder, open_foreign
from tiedlm.processes.guarded_process import run_guarded
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.exchange.split_text import Reading
    from tiedlm.exchange.text_evaluation import ScoredText
    from tiedlm.exchange.trained_run import TrainedRun

Tell = Callable[[str, float], None]


class Scorable(Protocol):
    """A model that is there."""

    @property
    def origin(self) -> Origin | None:
        """On what it was trained, if it is ours."""

    def read(self, text: Corpus, asked: Asked, on_progress: Tell) -> dict[str, Reading]:
        """How it reads each split that is asked for."""

    def score(self, text: Corpus, asked: Asked, on_progress: Tell) -> ScoredText:
        """Each split that is asked for."""


@dataclass(frozen=True)
class OpenedRun:
    """A run of ours."""

    name: str
    run: TrainedRun

    @property
    def origin(self) -> Origin:
        """By its record."""
        from tiedlm.exchange.exported_folder import origin_of  # here and below, since they import torch

        return origin_of(self.run.record)

    def read(self, text: Corpus, asked: Asked, on_progress: Tell) -> dict[str, Reading]:
        """How it reads each split that is asked for."""
        from tiedlm.exchange.scored_model import score_run
        from tiedlm.exchange.split_text import read_splits

        return read_splits(score_run(self.run, self.name), text, asked.splits, on_progress)

    def score(self, text: Corpus, asked: Asked, on_progress: Tell) -> ScoredText:
        """Each split that is asked for, as in its training."""
        from tiedlm.data.tokens import text_trained_on
        from tiedlm.exchange.scored_model import score_run
        from tiedlm.exchange.text_evaluation import evaluate_text

        record = self.run.record
        if text.sha256 == record.data.text_sha256:  # so that train's counts are those of the record
            text = text_trained_on(text, record.config.corpus)
        return evaluate_text(score_run(self.run, self.name), text, asked, on_progress)


@dataclass(frozen=True)
class OpenedFolder:
    """A folder of `transformers`; nothing of it is loaded in this process."""

    folder: ForeignFolder

    @property
    def origin(self) -> Origin | None:
        """As `tiedlm export` wrote it."""
        return self.folder.origin

    def read(self, text: Corpus, asked: Asked, on_progress: Tell) -> dict[str, Reading]:
        """How it reads each split that is asked for."""
        on_progress("loading the model", 0.0)
        return run_guarded(self.folder.source, partial(read_foreign, self.folder, text, asked), on_progress, IMPORTS)

    def score(self, text: Corpus, asked: Asked, on_progress: Tell) -> ScoredText:
        """Each split that is asked for."""
        on_progress("loading the model", 0.0)
        work = partial(evaluate_foreign, self.folder, text, asked)
        return run_guarded(self.folder.source, work, on_progress, IMPORTS)


def open_model(model: str, seq_length: int | None) -> Scorable:
    """A run by its file, a folder, or `OWNER/NAME` on the Hub.

    Raises:
        InputError: it is none of these, or is one of ours, whose blocks have a length.
    """
    if RunId.of_file(Path(model)) is not None:
        from tiedlm.exchange.trained_run import open_run

        if seq_length is not None:
            raise InputError(f"--seq-length {seq_length}: a run is scored in blocks as it was trained; leave it out")
        return OpenedRun(model, open_run(Path(model)))
    folder = open_foreign(model)
    if seq_length is not None and folder.origin is not None:
        raise InputError(f"--seq-length {seq_length}: {model} is scored in the blocks of its run; leave it out")
    return OpenedFolder(folder)


def check_asked(asked: Asked) -> None:
    """Refuse what no evaluation can do.

    Raises:
        InputError: naming the option.
    """
    if asked.max_tokens is not None and asked.max_tokens < 1:
        raise InputError(f"--max-tokens {asked.max_tokens}: is no number of tokens; give 1 or more, or leave it out")
    if not asked.splits or set(asked.splits) - set(EVALUATED_SPLITS):
        raise InputError(f"--split {','.join(asked.splits)}: is not of valid and test; give one of them, or both")
    if asked.seq_length is not None and asked.seq_length < 8:
        raise InputError(f"--seq-length {asked.seq_length}: is below 8 tokens; give more")


def find_text(
    origins: Mapping[str, Origin | None], corpus: str | None, data_dir: str | Path | None, text_column: str | None
) -> Corpus:
    """What is named, or that on which models, by their names, were trained.

    Raises:
        InputError: none of them tells, or they tell different texts; or the text cannot be had.
    """
    known = {model: origin for model, origin in origins.items() if origin is not None}
    if corpus is None and not known:
        say = "does not say on what it was trained" if len(origins) == 1 else "do not say on what they were trained"
        raise InputError(f"{' and '.join(origins)}: {say}; give --corpus, e.g. --corpus wikitext-2")
    names = [corpus] if corpus is not None else list(dict.fromkeys(origin.corpus for origin in known.values()))
    if len(names) > 1:
        trained_on = " and ".join(f"{model} on {origin.corpus}" for model, origin in known.items())
        raise InputError(f"{trained_on}: were trained on different texts; give --corpus, the one to score both on")
    if corpus is None:
        check_is_here(names[0], "give the command there, or the text by --corpus")
    text_sha256 = next((origin.text_sha256 for origin in known.values() if origin.corpus == names[0]), None)
    text = load_corpus_again(names[0], text_sha256, None if data_dir is None else Path(data_dir), text_column)
    others = [model for model, origin in known.items() if origin.text_sha256 != text.sha256]
    if corpus is None and others:
        raise InputError(
            f"corpus {names[0]!r}: is not the text on which {others[0]} was trained, or has other splits; to score it "
            f"all the same, give --corpus {names[0]}"
        )
    return text

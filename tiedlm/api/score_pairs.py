"""Minimal pairs put to a masked LM, or to all models of a folder of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.foreign_work import IMPORTS, judge_foreign
from tiedlm.api.scorable import find_text
from tiedlm.config.corpus_config import EVALUATED_SPLITS
from tiedlm.data.sources.corpus import Corpus
from tiedlm.errors import InputError
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.probing.agreement import AGREEMENT, agreement_items, count_words
from tiedlm.probing.folder_pairs import FolderPairs, compare_outcomes
from tiedlm.probing.pair_file import read_pair_file
from tiedlm.probing.pair_items import PairSet
from tiedlm.probing.pair_scores import Outcomes, PairScores, TrainWords, summarise
from tiedlm.processes.guarded_process import run_guarded
from tiedlm.record.run_id import MODEL_SUFFIX, RunId

if TYPE_CHECKING:
    from tiedlm.exchange.trained_run import TrainedRun

TellProgress = Callable[[str, float], None]


def score_pairs(
    model: str | Path,
    pairs: str | Path = AGREEMENT,
    corpus: str | None = None,
    splits: Sequence[str] = EVALUATED_SPLITS,
    *,
    max_items: int | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    device: str = "auto",
    on_progress: TellProgress = lambda *_: None,
) -> PairScores:
    """How often a masked LM finds the right form, or sentence, likelier than the wrong one; a tie counts one half.

    `model` and `corpus` are as for `evaluate`. `pairs` is a JSONL file of items, each with `sentence` (with one
    `[MASK]`), `right` and `wrong`, or with `sentence_good` and `sentence_bad`; or `agreement`: the places in the splits
    of the corpus where a word stands that train has in two forms, `max_items` of them at most, evenly spaced. Words are
    counted in the corpus's train split; a model that does not say on what it was trained needs `corpus` for that, and
    without it a file's items are scored with nothing beside.

    Raises:
        InputError: the model, the items, the text or an option is unfit.
    """
    asked = _Asked(str(pairs), tuple(splits), max_items)
    given = asked.given()
    if RunId.of_file(Path(model)) is not None:
        from tiedlm.exchange.exported_folder import origin_of  # here, as below: they import torch
        from tiedlm.exchange.trained_run import open_run

        run = open_run(Path(model))
        text = find_text({str(model): origin_of(run.record)}, corpus, data_dir, text_column)
        train, items = _train_and_items(asked, given, _trained_on(text, run), on_progress)
        return summarise(_judge_run(run, str(model), items, device, on_progress), items, train)
    folder = open_foreign(str(model))
    words = None
    if given is None or corpus is not None or folder.origin is not None:
        text = find_text({str(model): folder.origin}, corpus, data_dir, text_column)
        words, given = _train_and_items(asked, given, text, on_progress)
    on_progress("loading the model", 0.0)
    work = partial(judge_foreign, folder, given.items, device)
    return summarise(run_guarded(folder.source, work, on_progress, IMPORTS), given, words)


def compare_pairs(
    folder: str | Path,
    pairs: str | Path = AGREEMENT,
    corpus: str | None = None,
    splits: Sequence[str] = EVALUATED_SPLITS,
    *,
    max_items: int | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    device: str = "auto",
    on_progress: TellProgress = lambda *_: None,
) -> FolderPairs:
    """The same of every run in a folder whose model is there, and each arm's difference from tied, or the first arm.

    The difference has an interval over seeds and items; three seeds give a verdict.

    Raises:
        InputError: the folder has no model of a run, its runs are of several texts, or as `score_pairs`.
    """
    from tiedlm.exchange.exported_folder import origin_of
    from tiedlm.exchange.trained_run import open_run

    asked, place = _Asked(str(pairs), tuple(splits), max_items), Path(folder)
    given = asked.given()
    runs = RunId.of_models_in(place)
    if not runs:
        raise InputError(f"{folder}: has no model of a run, ARM-seedN{MODEL_SUFFIX}; give a folder of tiedlm compare")
    first = open_run(place / runs[0].model_file)
    text = find_text({str(folder): origin_of(first.record)}, corpus, data_dir, text_column)
    train, items = _train_and_items(asked, given, _trained_on(text, first), on_progress)
    outcomes: dict[RunId, Outcomes] = {}
    for run in runs:
        opened = open_run(place / run.model_file)
        if opened.record.data.text_sha256 != first.record.data.text_sha256:
            raise InputError(f"{folder}: {run} and {runs[0]} are of two texts; give a folder of one experiment")
        tell = partial(_tell_run, on_progress, str(run))
        outcomes[run] = _judge_run(opened, str(place / run.model_file), items, device, tell)
    arms = sorted({run.arm for run in runs})
    return compare_outcomes(str(folder), outcomes, items, train, "tied" if "tied" in arms else arms[0])


@dataclass(frozen=True)
class _Asked:
    """Which items, as the user has it."""

    pairs: str
    splits: tuple[str, ...]
    max_items: int | None

    def __post_init__(self) -> None:
        if self.max_items is not None and self.max_items < 1:
            raise InputError(f"--max-items {self.max_items}: is no number of items; give 1 or more, or leave it out")
        if self.max_items is not None and self.pairs != AGREEMENT:
            raise InputError(f"--max-items {self.max_items}: is for --pairs {AGREEMENT}; give a shorter file instead")
        if not self.splits or set(self.splits) - set(EVALUATED_SPLITS):
            raise InputError(f"--split {','.join(self.splits)}: is not of valid and test; give one of them, or both")

    def given(self) -> PairSet | None:
        """Those of a file; None where they are made from the corpus."""
        return None if self.pairs == AGREEMENT else read_pair_file(Path(self.pairs))


def _train_and_items(
    asked: _Asked, given: PairSet | None, text: Corpus, on_progress: TellProgress
) -> tuple[TrainWords, PairSet]:
    on_progress("counting the words of train", 0.0)
    counts = count_words(text)
    train = TrainWords(text.name, text.sha256, counts)
    return train, given or agreement_items(text, counts, asked.splits, asked.max_items)


def _trained_on(text: Corpus, run: TrainedRun) -> Corpus:
    """With the part of train that is the run's vocabulary, if it is its own text."""
    from tiedlm.data.tokens import text_trained_on  # here, since it imports numpy

    is_own = text.sha256 == run.record.data.text_sha256
    return text_trained_on(text, run.record.config.corpus) if is_own else text


def _judge_run(run: TrainedRun, name: str, items: PairSet, device: str, on_progress: TellProgress) -> Outcomes:
    from tiedlm.probing.judging import judge  # here, as below: they import torch
    from tiedlm.probing.sentence_model import sentences_of_run
    from tiedlm.training.device import resolve_runtime

    return judge(sentences_of_run(run, name), items.items, resolve_runtime(device, "fp32").device, on_progress)


def _tell_run(on_progress: TellProgress, run: str, phase: str, share: float) -> None:
    on_progress(f"{run}: {phase}", share)

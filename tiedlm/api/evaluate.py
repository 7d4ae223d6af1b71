"""Any masked LM on any text, by the evaluation of our own runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.foreign_work import IMPORTS, evaluate_foreign
from tiedlm.api.text_of_model import text_of_model
from tiedlm.config.corpus_config import EVALUATED_SPLITS
from tiedlm.data.sources.corpus import Corpus
from tiedlm.errors import InputError
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.exported_origin import Origin
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.processes.guarded_process import run_guarded
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.exchange.text_evaluation import Evaluation


def evaluate(
    model: str | Path,
    corpus: str | None = None,
    splits: Sequence[str] = EVALUATED_SPLITS,
    *,
    max_tokens: int | None = None,
    seq_length: int | None = None,
    data_dir: str | Path | None = None,
    text_column: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    on_progress: Callable[[str, float], None] = lambda *_: None,
) -> Evaluation:
    """Score a masked LM on splits of a corpus: every token is predicted once, under the mask, in folds of about 15 %.

    `model` is a run, `DIR/ARM-seedN.safetensors`, or a folder or `OWNER/NAME` on the Hub that `transformers` reads (the
    `hf` extra). `corpus` is as for `compare`, by default the one on which the model was trained, if it is ours.
    `max_tokens` takes so many of each split, in blocks evenly spaced. `seq_length` is that of a block for models that
    are not ours, by default as long as they read, 512 at most. `on_progress` is told what is done and its share.

    Raises:
        InputError: the model, the text or an option is unfit.
    """
    if max_tokens is not None and max_tokens < 1:
        raise InputError(f"--max-tokens {max_tokens}: is no number of tokens; give 1 or more, or leave it out")
    if not splits or set(splits) - set(EVALUATED_SPLITS):
        raise InputError(f"--split {','.join(splits)}: is not of valid and test; give one of them, or both")
    if seq_length is not None and seq_length < 8:
        raise InputError(f"--seq-length {seq_length}: is below 8 tokens; give more")

    def find_text(origin: Origin | None) -> Corpus:
        return text_of_model(str(model), origin, corpus, data_dir, text_column)

    asked = Asked(tuple(splits), max_tokens, seq_length, device, precision)
    if RunId.of_file(Path(model)) is not None:
        return _evaluate_run(Path(model), find_text, asked, on_progress)
    folder = open_foreign(str(model))
    if seq_length is not None and folder.origin is not None:
        raise InputError(f"--seq-length {seq_length}: {model} is scored in the blocks of its run; leave it out")
    on_progress("loading the model", 0.0)
    work = partial(evaluate_foreign, folder, find_text(folder.origin), asked)
    return run_guarded(folder.source, work, on_progress, IMPORTS)


def _evaluate_run(
    model: Path, find_text: Callable[[Origin | None], Corpus], asked: Asked, on_progress: Callable[[str, float], None]
) -> Evaluation:
    from tiedlm.data.tokens import text_trained_on  # here, since they import torch or numpy
    from tiedlm.exchange.exported_folder import origin_of
    from tiedlm.exchange.scored_model import score_run
    from tiedlm.exchange.text_evaluation import evaluate_text
    from tiedlm.exchange.trained_run import open_run

    if asked.seq_length is not None:
        raise InputError(f"--seq-length {asked.seq_length}: a run is scored in blocks as it was trained; leave it out")
    run = open_run(model)
    text = find_text(origin_of(run.record))
    if text.sha256 == run.record.data.text_sha256:  # so that train's counts are those of the record
        text = text_trained_on(text, run.record.config.corpus)
    return evaluate_text(score_run(run, str(model)), text, asked, on_progress)

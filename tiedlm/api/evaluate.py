"""Any masked LM on any text, by the evaluation of our own runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.config.corpus_config import EVALUATED_SPLITS
from tiedlm.data.sources.corpus import Corpus, load_corpus
from tiedlm.errors import InputError

if TYPE_CHECKING:
    from tiedlm.exchange.scored_model import ScoredModel
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
    scored = _open(model, seq_length)
    name = corpus or scored.corpus
    if name is None:
        raise InputError(f"{model}: does not say on what it was trained; give --corpus, e.g. --corpus wikitext-2")
    text = load_corpus(name, None if data_dir is None else Path(data_dir), text_column)
    _check_text(scored, text, is_named=corpus is not None)

    from tiedlm.exchange.text_evaluation import evaluate_text  # here, since it imports torch
    from tiedlm.training.device import resolve_runtime

    runtime = resolve_runtime(device, precision)
    scored.model.to(runtime.device)
    return evaluate_text(scored, text, tuple(splits), max_tokens, runtime.precision, runtime.autocast(), on_progress)


def _open(model: str | Path, seq_length: int | None) -> ScoredModel:
    from tiedlm.exchange.foreign_model import score_foreign
    from tiedlm.exchange.scored_model import score_run
    from tiedlm.exchange.trained_run import is_run

    if seq_length is not None and seq_length < 8:
        raise InputError(f"--seq-length {seq_length}: is below 8 tokens; give more")
    if not is_run(Path(model)):
        return score_foreign(str(model), seq_length)
    if seq_length is not None:
        raise InputError(f"--seq-length {seq_length}: a run is scored in blocks as it was trained; leave it out")
    return score_run(Path(model))


def _check_text(scored: ScoredModel, text: Corpus, is_named: bool) -> None:
    if not is_named and scored.text_sha256 not in (None, text.sha256):
        raise InputError(
            f"corpus {text.name!r}: is not the text on which {scored.name} was trained; to score it all the same, give "
            f"--corpus {text.name}"
        )

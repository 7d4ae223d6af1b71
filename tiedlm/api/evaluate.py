"""Any masked LM on any text, by the evaluation of our own runs; or two of them on the same text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.scorable import Tell, check_asked, find_text, open_model
from tiedlm.config.corpus_config import EVALUATED_SPLITS
from tiedlm.exchange.asked import Asked

if TYPE_CHECKING:
    from tiedlm.exchange.model_pair import PairEvaluation
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
    asked = Asked(tuple(splits), max_tokens, seq_length, device, precision)
    check_asked(asked)
    opened = open_model(str(model), seq_length)
    text = find_text({str(model): opened.origin}, corpus, data_dir, text_column)
    return opened.score(text, asked, on_progress).evaluation


def evaluate_pair(
    a: str | Path,
    b: str | Path,
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
) -> PairEvaluation:
    """Score two masked LMs on the same text: B − A, with a 95 % interval over the choice of text, not over seeds.

    The arguments are those of `evaluate`. Where both read the same tokens in the same blocks and masks, the difference
    is in nats a token, and by frequency band; else in bits a byte, over stretches of whole lines that are the same for
    both. `max_tokens` then takes about so many of each split, in runs of stretches evenly spaced. One pair of models
    has no verdict.

    Raises:
        InputError: a model, the text or an option is unfit; or the models were trained on different texts and none is
            named.
    """
    from tiedlm.exchange.model_pair import common_stretches, compare_models, unlikeness  # here, since it imports torch

    asked = Asked(tuple(splits), max_tokens, seq_length, device, precision)
    check_asked(asked)
    models = [open_model(str(name), seq_length) for name in (a, b)]
    origins = {str(name): model.origin for name, model in zip((a, b), models, strict=True)}
    text = find_text(origins, corpus, data_dir, text_column)
    tells = [_telling_of(name, on_progress) for name in ("A", "B")]
    if max_tokens is not None:  # what is scored depends on how both read it
        first, second = (model.read(text, asked, tell) for model, tell in zip(models, tells, strict=True))
        if unlikeness(first, second):
            chosen = {split: common_stretches(first[split], second[split], max_tokens) for split in asked.splits}
            asked = replace(asked, stretches=chosen)
    scored = [model.score(text, asked, tell) for model, tell in zip(models, tells, strict=True)]
    return compare_models(scored[0], scored[1], asked.stretches)


def _telling_of(name: str, on_progress: Tell) -> Tell:
    return lambda phase, share: on_progress(f"{name}: {phase}", share)

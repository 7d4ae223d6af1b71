"""The models of a comparison → how some sentences pass through their heads, for the HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.valid_text import valid_texts
from tiedlm.comparison.comparison import Comparison
from tiedlm.config.experiment import BUILT_IN_ARMS
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.data.tokenizer import ROLES
from tiedlm.masked_batch import EOS
from tiedlm.record.run_id import RunId
from tiedlm.reporting.page.sections import CaptionedTable, Section
from tiedlm.reporting.tables import Table
from tiedlm.reporting.wording import corpus_title

if TYPE_CHECKING:
    from tiedlm.exchange.trained_run import TrainedRun
    from tiedlm.explanation.explanation import Explanation

NUM_SENTENCES = 3
FIXED_SENTENCES = (
    ("the company said its [MASK] rose", "profit"),
    ("he was born in the [MASK] of the city", "center"),
    ("they did not [MASK] what it was", "know"),
)
"""Those that are explained where a run's own text gives none, and what a person would fill in."""
NUM_GUESSES = 4


def heads_section(folder: Path, comparison: Comparison) -> Section | None:
    """Three sentences through the heads of the tied and the untied arm, first seed; None where the models are not here.

    The sentences are of the runs' own valid split, where that is on this machine; the section says where they are from.

    Raises:
        InputError: a model is damaged, or of another run than the record beside it.
    """
    runs = {arm: folder / RunId(arm, comparison.seeds[0]).model_file for arm in BUILT_IN_ARMS if arm in comparison.arms}
    needed = [*runs.values(), folder / TOKENIZER_FILE]
    if not runs or not all(path.is_file() for path in needed):
        return None

    from tiedlm.exchange.trained_run import open_run  # here, since these import torch
    from tiedlm.explanation.explanation import explain_head
    from tiedlm.explanation.head_view import view_opened

    opened = {arm: open_run(path) for arm, path in runs.items()}
    sentences, source = _sentences(next(iter(opened.values())))
    explained = [
        (arm, word, explain_head(view_opened(run, str(runs[arm]), text)))
        for text, word in sentences
        for arm, run in opened.items()
    ]
    return Section(
        name="heads",
        heading="Through the head",
        text=(
            "At a masked position the head makes a guess, a vector. The score of a token is the inner product of this "
            "guess and the token's row of the output matrix, |guess| × |row| × cosine of the angle between them, plus "
            "the token's bias.",
            "In the tied arm that row is the token's own embedding, by which it enters the model. In the untied arm a "
            "token has two rows, learned separately.",
            source,
            f"The figures are of seed {comparison.seeds[0]} and of the word that the arm finds likeliest. tiedlm "
            "explain shows any sentence step by step.",
        ),
        tables=(CaptionedTable("Three sentences", _table(explained), is_open=True),),
    )


def _sentences(run: TrainedRun) -> tuple[Sequence[tuple[str, str]], str]:
    """What is explained, each sentence with its masked word, and where it is from, in a sentence."""
    from tiedlm.explanation.masked_sentences import choose_sentences

    corpus, is_here = corpus_title(run.record.data.corpus), False
    for lines in valid_texts(run.record, run.vocabulary):
        is_here = True
        found = choose_sentences(lines, run.vocabulary, NUM_SENTENCES)
        if len(found) == NUM_SENTENCES:
            return found, (
                f"The sentences are from the valid split of {corpus}, on which no model was trained: short ones that "
                "the tokenizer leaves whole as far as possible, each with one of its rarer words masked, but not its "
                "rarest."
            )
    reason = (
        f"The valid split of {corpus} has too few short sentences of whole words"
        if is_here
        else f"The text of these runs, {corpus}, is not on this machine, or not as they read it"
    )
    return (
        FIXED_SENTENCES,
        f"{reason}, so the sentences are from elsewhere; the runs' tokenizer may cut their words to pieces.",
    )


def _table(explained: list[tuple[str, str, Explanation]]) -> Table:
    header = [
        "sentence",
        "masked word",
        "arm",
        "guesses",
        "likeliest word",
        "|guess|",
        "× |row|",
        "× cosine",
        "+ bias",
        "= score",
        "cosine of its two rows",
    ]
    rows = []
    for arm, word, one in explained:
        best = one.best
        guesses = ", ".join(f"{word.token} {word.probability:.1%}" for word in one.candidates[:NUM_GUESSES])
        figures = (one.guess.norm, best.row_norm, best.cosine, best.bias, best.score)
        two_rows = "one row" if one.is_tied else f"{one.cosine_of_rows:.2f}"
        sentence = " ".join(token for token in one.tokens if token not in ROLES[EOS])
        rows.append([sentence, word, arm, guesses, best.token, *(f"{figure:.2f}" for figure in figures), two_rows])
    return Table(header, rows)

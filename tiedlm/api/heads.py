"""The models of a comparison → how some sentences pass through their heads, for the HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.comparison.comparison import Comparison
from tiedlm.config.experiment import BUILT_IN_ARMS
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.record.run_id import RunId
from tiedlm.report.page.sections import CaptionedTable, Section
from tiedlm.report.tables import Table

if TYPE_CHECKING:
    from tiedlm.explanation.explanation import Explanation

SENTENCES = (
    "the company said its [MASK] rose",
    "he was born in the [MASK] of the city",
    "they did not [MASK] what it was",
)
NUM_GUESSES = 4


def heads_section(folder: Path, comparison: Comparison) -> Section | None:
    """Three sentences through the heads of the tied and the untied arm, first seed; None where the models are not here.

    Raises:
        InputError: a model is damaged, or of another run than the record beside it.
    """
    runs = {arm: folder / RunId(arm, comparison.seeds[0]).model_file for arm in BUILT_IN_ARMS if arm in comparison.arms}
    needed = [*runs.values(), folder / TOKENIZER_FILE]
    if not runs or not all(path.is_file() for path in needed):
        return None

    from tiedlm.explanation.explanation import explain_head  # here, since it imports torch
    from tiedlm.explanation.head_view import view_run

    explained = [(arm, explain_head(view_run(path, text))) for text in SENTENCES for arm, path in runs.items()]
    return Section(
        name="heads",
        heading="Through the head",
        text=(
            "What the multiplication does: the head makes a guess, a vector, and scores every token by the product "
            "with its row of the output matrix, |guess| × |row| × cosine of the angle between them, plus its bias.",
            "Tied, that row is the token's own vector, by which it enters the model. Untied, a token has two rows, "
            f"learned apart. Seed {comparison.seeds[0]} of each arm, the likeliest word's figures; tiedlm explain "
            "shows any sentence step by step.",
        ),
        tables=(CaptionedTable("Three sentences", _table(explained), is_open=True),),
    )


def _table(explained: list[tuple[str, Explanation]]) -> Table:
    header = [
        "sentence",
        "arm",
        "guesses",
        "|guess|",
        "× |row|",
        "× cosine",
        "+ bias",
        "= score",
        "cosine of its two rows",
    ]
    rows = []
    for arm, one in explained:
        best = one.best
        guesses = ", ".join(f"{word.token} {word.probability:.1%}" for word in one.candidates[:NUM_GUESSES])
        figures = (one.guess.norm, best.row_norm, best.cosine, best.bias, best.score)
        two_rows = "one row" if one.is_tied else f"{one.cosine_of_rows:.2f}"
        rows.append(
            [" ".join(one.tokens), arm, guesses, best.token, *(f"{figure:.2f}" for figure in figures), two_rows]
        )
    return Table(header, rows)

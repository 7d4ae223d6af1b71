"""What `tiedlm explain` shows: one sentence through the head, for who knows what a matrix is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiedlm.api.count import list_counts
from tiedlm.errors import printable

if TYPE_CHECKING:
    from tiedlm.explain.explanation import Explanation, Row, Vector

MODELS_NAMED = ("bert-base-uncased", "roberta-base", "modernbert-base", "gpt2", "t5-v1.1-small", "qwen3-8b")


def render_explanations(explanations: list[Explanation]) -> RenderableType:
    """The first in full; of a second, the same sentence through another model, what is different."""
    first, *others = explanations
    parts: list[RenderableType] = [*_steps(first), *_rows_of_the_word(first)]
    for other in others:
        parts += ["", Text(f"The same sentence, by {other.model}", style="bold"), "", _candidates(other)]
        parts += _rows_of_the_word(other)
    return Group(*parts, "", *map(Text, _name_of_the_trick()))


def _steps(one: Explanation) -> Iterator[RenderableType]:
    rows = f"{one.vocab_size:,} × {one.row_size}"
    matrix = "E" if one.is_tied else "W"
    best = next((word for word in one.candidates if word.token == one.word), one.candidates[0])
    yield Text(printable(" ".join(one.tokens)), style="bold")
    yield Text(f"as {printable(one.model)} reads it", style="dim")
    yield ""
    yield _step(
        1,
        f"The encoder reads the whole sentence. For the place of the masked word it gives one vector of "
        f"{one.hidden_size} numbers, h.",
        f"h = {_numbers(one.hidden)}",
    )
    yield _step(
        2,
        "The head turns h into a guess of the word, g. It is made of as many numbers as the vector of a word is"
        + (f", {one.row_size}." if one.row_size != one.hidden_size else "."),
        f"g = {_numbers(one.guess)}",
    )
    yield _step(
        3,
        f"{matrix} is a matrix with one row for each of the {one.vocab_size:,} words. The multiplication takes the "
        "guess times every row: number by number, summed up. That, plus a bias of the word, is the word's score.",
        f"scores = g · {matrix}ᵀ + b      ({one.row_size}) · ({rows})ᵀ + ({one.vocab_size:,})",
        f"{printable(one.word)}: {_sum_of_products(one.guess, one.output_row.vector, best.product)}",
    )
    yield _step(
        4,
        "The product is large where the row is long and points where the guess points: it is the length of the guess, "
        "times the length of the row, times the cosine of the angle between them (1: the same direction, 0: none in "
        "common). Softmax turns scores into probabilities that sum to 1.",
        f"{printable(best.token)}: {one.guess.length:.2f} × {best.row_length:.2f} × {_number(best.cosine)} "
        f"{_added(best.bias)} = {_number(best.score)}",
        f"exp({_number(best.score)} {_added(-one.log_sum_exp)}) = {best.probability:.1%}; {one.log_sum_exp:.2f} is "
        "log Σ exp(score) over all words",
    )
    yield _candidates(one)


def _step(number: int, sentence: str, *formulas: str) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text(f"{number}"), Text(sentence))
    for formula in formulas:
        table.add_row("", Text(formula, style="cyan"))
    return Padding(table, (0, 0, 1, 0))


def _candidates(one: Explanation) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("word", "|guess|", "× |row|", "× cosine", "+ bias", "= score", "probability"):
        table.add_column(title, justify="left" if title == "word" else "right")
    for word in one.candidates:
        table.add_row(
            Text(printable(word.token)),
            f"{one.guess.length:.2f}",
            f"{word.row_length:.2f}",
            _number(word.cosine),
            _number(word.bias),
            _number(word.score),
            f"{word.probability:.1%}",
        )
    return table


def _rows_of_the_word(one: Explanation) -> Iterator[RenderableType]:
    word, size = printable(one.word), one.vocab_size * one.row_size
    yield ""
    if one.is_tied:
        yield Text("Tied: E is the word-embedding table itself.", style="bold")
        yield Text(
            f"The row that scores “{word}” is the row by which “{word}” enters the model whenever a text holds it: the "
            f"same {one.row_size} numbers in memory. So a likely word is one whose own vector points where the guess "
            f"points. The {size:,} numbers of the table are stored once and used twice."
        )
        yield from _row("row of E, in and out", one.output_row)
    else:
        yield Text("Untied: W is a matrix of its own.", style="bold")
        yield Text(
            f"“{word}” has two rows, learned apart: by one it enters the model, by the other it is scored. Their "
            f"cosine is {_number(one.cosine_of_rows)}. The second matrix costs {one.vocab_size:,} × {one.row_size} "
            f"= {size:,} numbers."
        )
        yield from _row("row of E, in", one.input_row)
        yield from _row("row of W, out", one.output_row)


def _row(title: str, row: Row) -> Iterator[RenderableType]:
    near = ", ".join(f"{printable(other.token)} {other.cosine:.2f}" for other in row.neighbours)
    table = Table.grid(padding=(0, 2, 0, 2))
    table.add_row(Text(title), Text(_numbers(row.vector), style="cyan"))
    table.add_row(Text("nearest rows, by cosine"), Text(near))
    yield ""
    yield table


def _numbers(vector: Vector) -> str:
    shown = "  ".join(map(_number, vector.begins))
    return f"[{shown} …]  {vector.size} numbers, length {vector.length:.2f}"


def _sum_of_products(guess: Vector, row: Vector, product: float) -> str:
    """The beginning of the sum, and what all of it comes to."""
    terms = (f"{_number(one)}·{_number(other)}" for one, other in zip(guess.begins, row.begins, strict=True))
    return f"{' + '.join(terms)} + … = {_number(product)}"


def _number(number: float) -> str:
    """With two digits, and a minus that is one."""
    return f"{number:.2f}".replace("-", "−")


def _added(number: float) -> str:
    return f"+ {number:.2f}" if number >= 0 else f"− {-number:.2f}"


def _name_of_the_trick() -> list[str]:
    named = [count for count in list_counts() if count.name in MODELS_NAMED]
    tied, untied = (
        ", ".join(count.name for count in named if count.tie_word_embeddings is wanted) for wanted in (True, False)
    )
    return [
        "The trick is called weight tying. Press & Wolf (2017) and Inan et al. (2017) introduced it for causal "
        "language models. BERT's paper does not mention it; its code does it. Who ties: "
        f"{tied}. Who does not: {untied}. More: tiedlm count-params --list."
    ]

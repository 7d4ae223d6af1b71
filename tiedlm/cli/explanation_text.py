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
    from tiedlm.explanation.explanation import Candidate, Explanation, Row, Vector

MODELS_NAMED = ("bert-base-uncased", "roberta-base", "modernbert-base", "gpt2", "t5-v1.1-small", "qwen3-8b")


def render_explanations(explanations: list[Explanation]) -> RenderableType:
    """The first in full; of a second, the same sentence through another model, what is different."""
    first, *others = explanations
    parts: list[RenderableType] = [*_question(first), *_steps(first), *_rows_of_the_word(first)]
    for other in others:
        parts += ["", Text(f"The same sentence, by {other.model}", style="bold"), "", _candidates(other)]
        parts += _rows_of_the_word(other)
    return Group(*parts, "", *map(Text, _end()), *(Text(note) for one in explanations for note in one.notes))


def _question(one: Explanation) -> Iterator[RenderableType]:
    numbers = one.vocab_size * one.row_size
    untied_total = one.num_parameters + (numbers if one.is_tied else 0)
    yield Text(
        "A model has a table with a vector for every word, the word's row. A word enters the model as its row. To "
        "guess a masked word, the model multiplies by a matrix with a row for every word. Weight tying makes the two "
        f"one: it saves {one.vocab_size:,} × {one.row_size} = {numbers:,} of {untied_total:,} numbers here, "
        f"{numbers / untied_total:.0%}."
    )
    yield ""
    yield Text(printable(" ".join(one.tokens)), style="bold")
    yield Text(f"as {printable(one.model)} reads it", style="dim")
    for word in dict.fromkeys(one.unknown):
        yield Text(f"“{printable(word)}” is not in its vocabulary: it stands there as the unknown token")
    yield ""


def _steps(one: Explanation) -> Iterator[RenderableType]:
    matrix, size = "E" if one.is_tied else "W", one.row_size
    best, likeliest = one.best, one.candidates[0]
    word = printable(best.token)
    if likeliest != best:
        yield Text(
            f"The likeliest guess is {printable(likeliest.token)} ({likeliest.probability:.1%}), which is no word. Of "
            f"the words it is “{word}” ({best.probability:.1%}); the steps below follow that."
        )
        yield ""
    yield _step(
        1,
        "The encoder reads the whole sentence. For the place of the masked word it gives one vector, h. (Its norm is "
        "the length of the arrow: the root of the sum of squares.)",
        f"h = {_numbers(one.hidden)}",
    )
    yield _step(
        2,
        f"A small network, the head's transform, turns h into a guess of the word, g: a vector of {size} numbers, as "
        "many as a row has.",
        f"g = {_numbers(one.guess)}",
    )
    yield _step(
        3,
        f"The multiplication. {matrix} has a row for each of the {one.vocab_size:,} words. A word's product is "
        "the sum of guess × row, number by number; the word's score is its product plus its bias, one more number.",
        f"scores = g · {matrix}ᵀ + b      ({size}) · ({one.vocab_size:,} × {size})ᵀ + ({one.vocab_size:,})",
        f"“{word}”: {_sum_of_products(one.guess, one.output_row.vector, best.product)}",
        f"{_number(best.product)} {_added(best.bias)} = {_number(best.score)}",
    )
    yield _step(
        4,
        "What a product means: norm of the guess × norm of the row × cosine of the angle between them (1: the same "
        "direction, 0: none in common). It is large where the row points where the guess points.",
        f"“{word}”: {one.guess.norm:.3f} × {best.row_norm:.4f} × {best.cosine:.4f} = {_number(best.product)}",
    )
    yield _step(
        5,
        "Softmax turns scores into probabilities: exp(score), over the sum of exp(score) of all words.",
        f"“{word}”: exp({_number(best.score)}) / exp({_number(one.log_sum_exp)}) = {best.probability:.1%}",
    )
    yield Text("The words of the highest scores:")
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
        table.add_row(Text(printable(word.token)), f"{one.guess.norm:.2f}", *_figures(word))
    return table


def _figures(word: Candidate) -> Iterator[str]:
    yield f"{word.row_norm:.2f}"
    yield from map(_number, (word.cosine, word.bias, word.score))
    yield f"{word.probability:.1%}"


def _rows_of_the_word(one: Explanation) -> Iterator[RenderableType]:
    word, size = printable(one.word), one.vocab_size * one.row_size
    yield ""
    if one.is_tied:
        yield Text("Tied: E is the word-embedding table itself.", style="bold")
        yield Text(
            f"The row that scores “{word}” is the row by which “{word}” enters the model whenever a text holds it: the "
            f"same {one.row_size} numbers in memory. So a likely word is one whose own vector points where the guess "
            "points."
        )
        yield from _row("row of E, in and out", one.output_row)
        yield Text("Words that are used alike have rows that point alike, so they are guessed together.")
    else:
        yield Text("Untied: W is a matrix of its own.", style="bold")
        yield Text(
            f"“{word}” has two rows, learned apart: by one it enters the model, by the other it is scored. Their "
            f"cosine is {_number(one.cosine_of_rows)}. Storing W as well takes {size:,} numbers more."
        )
        yield from _row("row of E, in", one.input_row)
        yield from _row("row of W, out", one.output_row)
        yield Text("Each matrix has learned by itself which words are used alike.")


def _row(title: str, row: Row) -> Iterator[RenderableType]:
    near = ", ".join(f"{printable(other.token)} {_number(other.cosine)}" for other in row.neighbours)
    table = Table.grid(padding=(0, 2, 0, 2))
    table.add_row(Text(title), Text(_numbers(row.vector), style="cyan"))
    table.add_row(Text("nearest rows, by cosine"), Text(near))
    yield ""
    yield table


def _numbers(vector: Vector) -> str:
    shown = "  ".join(map(_number, vector.begins))
    return f"[{shown} …]  {vector.size} numbers, norm {vector.norm:.2f}"


def _sum_of_products(guess: Vector, row: Vector, product: float) -> str:
    """The beginning of the sum, and what all of it comes to."""
    terms = (f"{_number(one)}·{_number(other)}" for one, other in zip(guess.begins, row.begins, strict=True))
    return f"{' + '.join(terms)} + … = {_number(product)}"


def _number(number: float) -> str:
    """With two digits, and a minus that is one."""
    return f"{number:.2f}".replace("-", "−")


def _added(number: float) -> str:
    return f"+ {number:.2f}" if number >= 0 else f"− {-number:.2f}"


def _end() -> list[str]:
    named = [count for count in list_counts() if count.name in MODELS_NAMED]
    tied, untied = (
        ", ".join(count.name for count in named if count.tie_word_embeddings is wanted) for wanted in (True, False)
    )
    return [
        "One sentence does not tell which is better; tiedlm compare does. The trick is called weight tying. Press & "
        "Wolf (2017) and Inan et al. (2017) introduced it for models that predict the next word. BERT's paper does not "
        f"mention it; its code does it. Who ties: {tied}. Who does not: {untied}. More: tiedlm count-params --list."
    ]

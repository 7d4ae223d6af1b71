"""Parameter counts → the rows of the tables that a terminal and Markdown show alike. Formats, never computes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from tiedlm.counting.closed_forms.parameter_bytes import CHECKPOINT_BYTES, TRAINING_RECIPES
from tiedlm.counting.closed_forms.parameters import GROUPS, ParameterCount, saved_formula
from tiedlm.errors import printable
from tiedlm.markup.page_parts import Grid

OUTPUT_MATRIX = "decoder_weight"
SHARED = "shared"
TIES = {True: "tied", False: "untied", None: "one embedding matrix, and nothing tells whether a head shares it"}
CHECKPOINT_TITLES = {"float32": "checkpoint, fp32", "bfloat16": "checkpoint, bf16"}
LIST_LEGEND = "V × E: saved where tied, to be saved where not; E = H unless given. %: of the untied model."
MAX_COLUMNS = 3
"""Models that stand side by side in 80 columns."""


def group_rows(count: ParameterCount) -> Grid:
    """Where the parameters are, tied and untied; one column where the tie does not apply."""
    groups = {group: number for group, number in count.groups.items() if number or _is_shared(count, group)}
    sums = [("total", count.total_tied, count.total_untied)]
    if count.routing is not None and count.routing.idle is not None:
        idle = count.routing.idle
        sums.append(("active a token", count.total_tied - idle, count.total_untied - idle))
    if count.no_tie:
        one_column = [(group, f"{number:,}") for group, number in groups.items()]
        return Grid(("group", "parameters"), one_column, [(name, f"{number:,}") for name, number, _ in sums])
    rows = [
        (group, SHARED, f"{count.saved:,}") if _is_shared(count, group) else (group, f"{number:,}", f"{number:,}")
        for group, number in groups.items()
    ]
    return Grid(("group", "tied", "untied"), rows, [(name, f"{one:,}", f"{other:,}") for name, one, other in sums])


def active_sentence(count: ParameterCount) -> str | None:
    """Of a mixture of experts, what is counted as active; None for any other model."""
    if count.routing is None:
        return None
    if count.active is None or count.active_without_word_embeddings is None:
        return "Active parameters: unknown, since nothing that is read here tells which experts a token is sent to."
    experts = " and ".join(f"{few:,} of {many:,}" for few, many in count.routing.experts)
    without = f"; {count.active_without_word_embeddings:,} without the word embeddings"
    return (
        f"Active: {count.active:,} parameters, all but the experts that a token is not sent to (it goes to {experts})"
        f"{without if count.active_without_word_embeddings < count.active else ''}."
    )


def _is_shared(count: ParameterCount, group: str) -> bool:
    return group == OUTPUT_MATRIX and count.no_tie is None


def cost_rows(count: ParameterCount) -> Grid:
    """Bytes and FLOPs; recipes that cost the same share a row."""
    numbers = (count.total_tied, count.total_untied, count.saved)
    rows = [
        (CHECKPOINT_TITLES[precision], *(size(num_bytes * number) for number in numbers))
        for precision, num_bytes in CHECKPOINT_BYTES.items()
    ]
    for num_bytes, recipes in groupby(TRAINING_RECIPES.values(), key=lambda recipe: recipe.total):
        title = f"training, {' or '.join(recipe.title for recipe in recipes)} ({num_bytes})"
        rows.append((title, *(size(num_bytes * number) for number in numbers)))
    if count.head_flops is not None:
        flops = f"{count.head_flops / 1e6:,.1f} M"
        rows.append(("head, forward FLOPs a predicted token", flops, flops, "0"))
    if count.no_tie:
        return Grid(("what it costs", "bytes"), [row[:2] for row in rows])
    return Grid(("what it costs", "tied", "untied", "saved"), rows)


def list_rows(counts: Sequence[ParameterCount]) -> Grid:
    """A line a model."""
    header = ("model", "V", "H or E/H", "tie", "parameters", "V × E", "%")
    return Grid(header, [(printable(count.name), *_line(count)) for count in counts])


def _line(count: ParameterCount) -> tuple[str, ...]:
    return (f"{count.vocab_size:,}", width(count), yes_or_no(count), f"{count.total:,}", *_saved(count))


def what_if_rows(counts: Sequence[ParameterCount]) -> Grid:
    """The model and its variants, a line each."""
    rows = [
        (
            "" if place else "as it is",
            f"{count.vocab_size:,}",
            width(count),
            f"{count.total_tied:,}",
            f"{count.total_untied:,}",
            *_saved(count),
        )
        for place, count in enumerate(counts)
    ]
    return Grid(("what if", "V", "H or E/H", "tied", "untied", "V × E", "%"), rows)


def side_rows(counts: Sequence[ParameterCount]) -> Grid:
    """A column a model; of two, the difference as well."""
    texts = {
        "class": [printable(count.architecture or "a checkpoint") for count in counts],
        "tied": [yes_or_no(count) for count in counts],
    }
    numbers: dict[str, list[int | None]] = {
        "vocab_size": [count.vocab_size for count in counts],
        "hidden_size": [count.hidden_size for count in counts],
        "embedding_size": [count.embedding_size for count in counts],
    }
    present = {group for count in counts for group, number in count.groups.items() if number}
    numbers |= {group: [count.groups.get(group, 0) for count in counts] for group in GROUPS if group in present}
    numbers |= {
        "total": [count.total for count in counts],
        **({"active a token": [count.active for count in counts]} if any(count.routing for count in counts) else {}),
        "total, tied": [None if count.no_tie else count.total_tied for count in counts],
        "total, untied": [None if count.no_tie else count.total_untied for count in counts],
        "V × E": [None if count.no_tie else count.saved for count in counts],
    }
    texts_below = {"V × E, % of untied": [_saved(count)[1] for count in counts]}
    is_pair = len(counts) == 2
    rows = [(name, *cells, *([""] if is_pair else [])) for name, cells in texts.items()]
    for name, row in numbers.items():
        cells = ["–" if number is None else f"{number:,}" for number in row]
        rows.append((name, *cells, *([_difference(*row)] if is_pair else [])))
    rows += [(name, *cells, *([""] if is_pair else [])) for name, cells in texts_below.items()]
    header = ("", *(printable(count.name) for count in counts), *(["difference"] if is_pair else []))
    return Grid(header, rows)


def _difference(one: int | None, other: int | None) -> str:
    return "–" if one is None or other is None else f"{other - one:+,}" if one != other else "0"


def tie_words(count: ParameterCount) -> tuple[str, str | None]:
    """Whether it is tied, and who says so."""
    if count.no_tie:
        return count.no_tie, None
    return TIES[count.tie_word_embeddings], f"according to {count.source}" if count.source else None


def yes_or_no(count: ParameterCount) -> str:
    """Whether it is tied, in a word."""
    return {True: "yes", False: "no", None: "–"}[None if count.no_tie else count.tie_word_embeddings]


def width(count: ParameterCount) -> str:
    """H, or E/H where the embeddings are factorised."""
    if count.embedding_size == count.hidden_size:
        return f"{count.hidden_size:,}"
    return f"{count.embedding_size}/{count.hidden_size}"


def _saved(count: ParameterCount) -> tuple[str, str]:
    if count.no_tie:
        return "–", "–"
    return f"{count.saved:,}", f"{100 * count.saved_fraction:.1f}"


def percent(fraction: float) -> str:
    """`38.1 %`."""
    return f"{100 * fraction:.1f} %"


def size(num_bytes: float) -> str:
    """`438.1 MB`; a kB is 1,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.95:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:,.{2 if unit == 'GB' else 1}f} {unit}"
        num_bytes /= 1_000
    return f"{num_bytes:,.2f} TB"


def what_if_lines(counts: Sequence[ParameterCount]) -> list[str]:
    """What else changed with the sizes that were asked for."""
    lines = []
    if len({count.hidden_size for count in counts}) > 1:
        lines.append("With hidden_size, intermediate_size and head_dim change in proportion, and E where E = H.")
    architectures = {count.architecture for count in counts[1:]} - {counts[0].architecture}
    return lines + [f"Factorised as {name} is." for name in sorted(filter(None, architectures))]


def product(count: ParameterCount) -> str:
    """`V × H`, or `V × E` of a factorised table."""
    return "V × H" if count.embedding_size == count.hidden_size else "V × E"


def saved_sentence(count: ParameterCount) -> tuple[str, str]:
    """`30,522 × 768 = 23,440,896`, and `saved, 17.6 % of the untied model`."""
    verb = {True: "saved", False: "to be saved by tying", None: "in a matrix"}[count.tie_word_embeddings]
    formula = saved_formula(count.vocab_size, count.embedding_size)
    return formula, f"{verb}, {percent(count.saved_fraction)} of the untied model"

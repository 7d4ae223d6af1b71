"""What `tiedlm evaluate` shows of minimal pairs and of the likeness of words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiedlm.errors import printable
from tiedlm.reporting.wording import count_seeds

if TYPE_CHECKING:
    from tiedlm.probing.folder_pairs import FolderPairs, PairDifference
    from tiedlm.probing.pair_scores import PairScores, PartScore
    from tiedlm.probing.word_similarity import Correlation, SimilarityScores

FLOOR = (
    "Word frequencies alone: by always taking the form that train has more often, or the sentence whose words it has "
    "more often; a tie is 1/2."
)
OF_AGREEMENT = (
    "Two forms are told by their spelling alone, as company and companies, so that some pairs are none: new and news."
)
FEW_ITEMS = "No interval is told: the items ask for too few different pairs of forms or sentences."
OF_ITEMS = "The interval is over items, those that ask for the same two forms drawn as one; it says nothing of seeds."


def render_pairs(scores: PairScores) -> RenderableType:
    """Of one model."""
    lines = [*_of_model(scores.model, scores.kind, scores.num_parameters, scores.is_tied), _items(scores)]
    whole = _table("", "right", "95 % interval", "word frequencies", "items", "ties")
    floor = _percent(scores.frequency_accuracy)
    whole.add_row(
        scores.pairs,
        _percent(scores.accuracy),
        _interval(scores.ci95),
        floor,
        f"{scores.num_scored:,}",
        f"{scores.num_ties:,}",
    )
    notes = [
        OF_ITEMS if scores.ci95 else FEW_ITEMS,
        *([] if scores.corpus is None else [FLOOR]),
        *_missing(scores),
        *scores.notes,
    ]
    return Group(
        *_texts(lines),
        "",
        whole,
        *_bands(scores),
        *_paradigms(scores.paradigms),
        "",
        *_texts(notes + _of_pairs(scores.pairs)),
    )


def render_folder_pairs(folder: FolderPairs) -> RenderableType:
    """Of all runs of a folder."""
    first = folder.runs[0]
    runs = _table("", "right", "95 % over items", "word frequencies", "ties")
    for run in folder.runs:
        runs.add_row(
            printable(Path(run.model).stem),
            _percent(run.accuracy),
            _interval(run.ci95),
            _percent(run.frequency_accuracy),
            f"{run.num_ties:,}",
        )
    differences = [part for one in folder.differences for part in ("", _difference(one))]
    sentences = [_sentence(one) for one in folder.differences]
    notes = [FLOOR, *_missing(first), *first.notes, *_of_pairs(first.pairs), *folder.notes]
    lines = [folder.folder, _items(first)]
    return Group(*_texts(lines), "", runs, *differences, "", *_texts(notes), "", *_texts(sentences))


def render_similarity(scores: SimilarityScores) -> RenderableType:
    """Of one model."""
    table = _table("cosines of", "Spearman", "95 % interval")
    for name, rows in (("input rows", scores.input_rows), ("output rows", scores.output_rows)):
        if rows is not None:
            table.add_row(name, *_correlation(rows))
    lines = [
        *_of_model(scores.model, scores.kind, scores.num_parameters, scores.is_tied),
        f"{scores.file}: of {scores.num_pairs:,} pairs {scores.num_with_both_words:,} have both words, each one token.",
    ]
    notes = ["The interval is that of Bonett & Wright 2000, over pairs; it says nothing of seeds."]
    notes += ["It is tied: the output rows are the input rows."] if scores.is_tied else []
    notes += ["It keeps no output rows apart."] if scores.output_rows is None else []
    return Group(*_texts(lines), "", table, "", *_texts(notes + scores.notes))


def _of_model(name: str, kind: str, num_parameters: int, is_tied: bool) -> list[str]:
    tie = "tied" if is_tied else "untied"
    return [name, f"{kind}, {num_parameters:,} parameters, {tie} as measured on its tensors"]


def _items(scores: PairScores) -> str:
    text = "" if scores.corpus is None else f" Words are counted in the train split of {scores.corpus}."
    return f"{scores.pairs}: {scores.num_scored:,} of {scores.num_items:,} items scored.{text}"


def _missing(scores: PairScores) -> list[str]:
    told = [f"Not scored, since they {reason}: {number:,}." for reason, number in scores.not_scored.items()]
    if scores.corpus is None:
        told.append("What word frequencies alone reach is not known; --corpus names the text to count them in.")
    return told


def _of_pairs(pairs: str) -> list[str]:
    return [OF_AGREEMENT] if pairs == "agreement" else []


def _bands(scores: PairScores) -> list[RenderableType]:
    """By the right form on the left, by the rarer one on the right; nothing where there are no forms."""
    if not any(part.num_items for part in scores.by_right_form):
        return []
    table = _table("in train", "right form", "frequency", "items", "rarer form", "frequency", "items")
    for right, rarer in zip(scores.by_right_form, scores.by_rarer_form, strict=True):
        table.add_row(right.name, *_part(right), *_part(rarer))
    title = "Right, and by word frequencies alone, by how often the right form, or the rarer one, occurs in train"
    return ["", Text(title), table]


def _paradigms(paradigms: Sequence[PartScore]) -> list[RenderableType]:
    if not paradigms:
        return []
    table = _table("paradigm", "right", "word frequencies", "items")
    for part in paradigms:
        table.add_row(printable(part.name), *_part(part))
    return ["", table]


def _part(part: PartScore) -> tuple[str, str, str]:
    return _percent(part.accuracy), _percent(part.frequency_accuracy), f"{part.num_items:,}"


def _difference(one: PairDifference) -> RenderableType:
    first, second = one.arms
    table = _table(f"{second} − {first}, points", "right more often", "95 % interval", "p (Holm)", "items")
    adjusted = "–" if one.p_holm is None else f"{one.p_holm:.3g}"
    table.add_row(
        count_seeds(len(one.seeds)), _points(one.mean), _points_interval(one.ci95), adjusted, f"{one.num_items:,}"
    )
    for band in one.by_right_form:
        if band.num_items:
            name = f"right form {band.name}"
            table.add_row(name, _points(band.mean), _points_interval(band.ci95), "", f"{band.num_items:,}")
    return table


def _sentence(one: PairDifference) -> str:
    first, second = one.arms
    where = "seeds and items" if len(one.seeds) > 1 else "items alone"
    return (
        f"{second} − {first}: {_points(one.mean)} points {_points_interval(one.ci95)} over {where}, "
        f"{one.num_groups:,} pairs of forms or sentences: {one.verdict}."
    )


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(Text(title), justify="right" if number else "left", overflow="fold")
    return table


def _texts(lines: Sequence[str]) -> list[Text]:
    return [Text(printable(line)) for line in lines]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"[{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.2f}"


def _points_interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"[{100 * ends[0]:+.2f}, {100 * ends[1]:+.2f}]"


def _correlation(rows: Correlation) -> tuple[str, str]:
    rho = "–" if rows.spearman is None else f"{rows.spearman:+.3f}"
    return rho, "–" if rows.ci95 is None else f"[{rows.ci95[0]:+.3f}, {rows.ci95[1]:+.3f}]"

"""Hold `count-params` to every language-model class of the installed `transformers`, and print where it differs.

    python -m tests.counting.sweep --cache FOLDER [--kinds …] [--classes …] [--variants … or by-name]
                                   [--ways folder config bare] [--processes 2] [--json FILE]

The first sweep builds and saves each model (minutes); later ones over the same cache ask `tiedlm` only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.counting.shrunk_models import KINDS, classes
from tests.counting.sweep_truths import BY_NAME, CANNOT, NO_HEAD, NOT_TIED, VARIANTS, Case, Truth, Unbuildable, cases_of

WAYS = ("folder", "config")
BARE_TOO = (*WAYS, "bare")
TELLING = r"cannot be counted|counted as|counted by its configuration|parameters against|whatever it says"
"""Words of a note by which a wrong number is not given in silence."""


@dataclass(frozen=True)
class Result:
    """An answer held to its truth."""

    class_name: str
    variant: str
    way: str
    verdict: str
    """equal; told (the right total stands in the answer), noted (a note tells of a difference), mismatch, refused,
    crash; or silent, which is wrong without a word."""
    difference: int | None = None
    """Of the total."""
    right_total: int | None = None
    said_tie: bool | str | None = None
    right_tie: bool | str | None = None
    basis: str | None = None
    """What the answer was made from."""
    words: str = ""
    """Of a refusal, or the notes of an answer that is not equal."""


def ask(case: Case, way: str) -> Result:
    """The answer of `tiedlm` to one way of a case."""
    from tiedlm.api.count import count_params
    from tiedlm.errors import InputError

    truth = case.truths[way]
    name = (case.class_name, case.variant, way)
    try:
        answer = count_params(case.path(way))
    except InputError as error:
        verdict = "refused" if truth.has_words else "equal"
        return Result(*name, verdict, None, truth.total, None, truth.tie, None, str(error).rpartition("/")[2])
    except Exception as error:  # a crash is a finding, and the others are still to be asked
        return Result(*name, "crash", None, truth.total, None, truth.tie, None, f"{type(error).__name__}: {error}")
    said, difference = _said_tie(answer), answer.count.total - truth.total
    mismatch = answer.checkpoint.mismatch if answer.checkpoint is not None else None
    verdict = _verdict(answer, truth, mismatch)
    words = "" if verdict == "equal" else " | ".join(filter(None, [mismatch, *answer.notes]))
    basis = getattr(answer, "basis", None)
    return Result(*name, verdict, difference, truth.total, said, truth.tie, basis, words)


def _said_tie(answer: Any) -> bool | str | None:
    if not answer.count.has_head:
        return NO_HEAD
    tie: bool | None = answer.count.tie_word_embeddings
    return CANNOT if answer.count.output_shape is not None else tie


def _verdict(answer: Any, truth: Truth, mismatch: str | None) -> str:
    is_tie_right = _is_right(_said_tie(answer), truth.tie)
    if mismatch is not None:
        return "mismatch"
    if answer.count.total == truth.total and is_tie_right:
        return "equal"
    total = f"{truth.total:,}"
    if truth.total in answer.count.other_totals.values() or any(total in note for note in answer.notes):
        return "told"
    return "noted" if any(re.search(TELLING, note) for note in answer.notes) else "silent"


def _is_right(said: bool | str | None, right: bool | str | None) -> bool:
    if right == NOT_TIED:
        return said is not True
    return right is None or said == right or (right == CANNOT and said is False)


def sweep_class(class_name: str, cache: Path, variants: Sequence[str], ways: Sequence[str]) -> list[Result | str]:
    """The results of one class, with a sentence for each statement of the flag under which it cannot be built."""
    return list(_results(class_name, cache, variants, ways))


def _results(class_name: str, cache: Path, variants: Sequence[str], ways: Sequence[str]) -> Iterator[Result | str]:
    for case in cases_of(class_name, cache, variants):
        if isinstance(case, Unbuildable):
            yield str(case)
        else:
            yield from (ask(case, way) for way in ways)


def quieten() -> None:
    """One thread a process, and no words of transformers."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def sweep(
    names: Sequence[str], cache: Path, variants: Sequence[str], ways: Sequence[str], processes: int
) -> Iterator[list[Result | str]]:
    """All results, a class at a time."""
    jobs = [(name, cache, variants, ways) for name in names]
    if processes < 2:
        quieten()
        yield from (sweep_class(*job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, quieten) as pool:  # one that breaks says so, and ends
        for future in as_completed([pool.submit(sweep_class, *job) for job in jobs]):
            yield future.result()


def line_of(result: Result) -> str:
    """A failure in a line."""
    difference = "-" if result.difference is None else f"{result.difference:+,}"
    return (
        f"{result.verdict:8} {result.class_name} {result.variant} {result.way}: {difference} of "
        f"{result.right_total:,}, tie {result.said_tie} (right: {result.right_tie}), basis {result.basis}; "
        f"{result.words[:200]}"
    )


def table_of(results: Sequence[Result]) -> Iterator[str]:
    """Verdicts by way and variant."""
    verdicts = ("equal", "told", "noted", "mismatch", "refused", "crash", "silent")
    yield " ".join(["way    variant     ", *(f"{verdict:>8}" for verdict in verdicts), "     all"])
    for way in (*BARE_TOO, "all"):
        for variant in (*VARIANTS, "all"):
            chosen = [r for r in results if way in (r.way, "all") and variant in (r.variant, "all")]
            if chosen and (way != "all" or variant == "all"):
                counts = Counter(result.verdict for result in chosen)
                cells = [f"{counts[verdict]:8}" for verdict in verdicts]
                yield " ".join([f"{way:6} {variant:13}", *cells, f"{len(chosen):8}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; status 1 where a number is wrong in silence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, metavar="KIND")
    parser.add_argument("--classes", nargs="+")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=[*VARIANTS, BY_NAME])
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=BARE_TOO)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    import tiedlm

    print(f"measured: {Path(tiedlm.__path__[0]).resolve()}", flush=True)
    results: list[Result] = []
    unbuilt: list[str] = []
    names = options.classes or classes(options.kinds)
    for found in sweep(names, options.cache.resolve(), options.variants, options.ways, options.processes):
        results += [result for result in found if isinstance(result, Result)]
        unbuilt += [sentence for sentence in found if isinstance(sentence, str)]
    results.sort(key=lambda result: (result.verdict, result.class_name, result.variant, result.way))
    for result in results:
        if result.verdict != "equal":
            print(line_of(result))
    print(*(f"unbuilt  {sentence}" for sentence in sorted(unbuilt)), sep="\n")
    print(*table_of(results), sep="\n")
    built = {result.class_name for result in results}
    print(f"{len(built)} of {len(names)} classes built; bases {dict(Counter(result.basis for result in results))}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    return int(any(result.verdict == "silent" for result in results))


if __name__ == "__main__":
    sys.exit(main())

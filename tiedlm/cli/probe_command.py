"""`tiedlm evaluate` with `--pairs` or `--similarity`: what goes together, and which function answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tiedlm.cli.console import show, stderr
from tiedlm.display.progress_display import PhaseDisplay
from tiedlm.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Probe:
    """What is asked instead of a perplexity."""

    pairs: str | None
    similarity: Path | None
    max_items: int | None
    corpus: str | None
    splits: list[str]
    data_dir: Path | None
    text_column: str | None
    device: str

    def is_asked(self, **others: object) -> bool:
        """Whether it is; `others` are options of a perplexity by their names, None where they are not given.

        Raises:
            InputError: two of the options do not go together.
        """
        asked = {"--pairs": self.pairs, "--similarity": self.similarity}
        given = [name for name, value in asked.items() if value is not None]
        if len(given) > 1:
            raise InputError("--pairs and --similarity do not go together: each has a table; leave one of them out")
        if self.max_items is not None and self.pairs is None:
            raise InputError(f"--max-items {self.max_items} is for --pairs, which is not given; give both or neither")
        if self.similarity is not None:  # which reads no text
            others |= {"corpus": self.corpus, "data_dir": self.data_dir, "text_column": self.text_column}
        for name, value in others.items():
            if given and value is not None:
                raise InputError(f"{given[0]} and --{name.replace('_', '-')} do not go together; leave one of them out")
        return bool(given)


def show_probe(model: str, probe: Probe, quiet: bool, as_json: bool) -> None:
    """Ask, and show the answer: of a folder of runs, all of them and how its arms differ."""
    from tiedlm import compare_pairs, score_pairs, score_similarity
    from tiedlm.cli.probe_tables import render_folder_pairs, render_pairs, render_similarity
    from tiedlm.record.run_id import RunId

    if probe.similarity is not None:
        similarity = score_similarity(model, probe.similarity)
        show(similarity, render_similarity(similarity), as_json)
    elif Path(model).is_dir() and RunId.of_models_in(Path(model)):
        folder = _ask(compare_pairs, model, probe, quiet)
        show(folder, render_folder_pairs(folder), as_json)
    else:
        scores = _ask(score_pairs, model, probe, quiet)
        show(scores, render_pairs(scores), as_json)


def _ask(question: Callable[..., T], model: str, probe: Probe, quiet: bool) -> T:
    assert probe.pairs is not None
    with PhaseDisplay(stderr, quiet) as display:
        return question(
            model,
            probe.pairs,
            probe.corpus,
            probe.splits,
            max_items=probe.max_items,
            data_dir=probe.data_dir,
            text_column=probe.text_column,
            device=probe.device,
            on_progress=display.update,
        )

"""`count-params`: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from tiedlm.cli.app import app
from tiedlm.cli.console import complain, show, tell_place
from tiedlm.cli.options import JsonOption
from tiedlm.errors import InputError

if TYPE_CHECKING:
    from tiedlm.counting.cross_check import Answer


@app.command()
def count_params(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="A known model (--list), a config.json, a .safetensors file or its index, a .gguf file, a "
            "pytorch_model.bin, a folder, owner/name on the Hugging Face Hub, an experiment, or a folder of records. "
            "Several stand side by side.",
            show_default=False,
        ),
    ] = None,
    list_models: Annotated[
        bool,
        typer.Option(
            "--list",
            metavar="[WORD…]",
            help="List the known models, or those with a word in their name.",
        ),
    ] = False,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE=N,N,…",
            help="Count it with other sizes too: vocab_size, hidden_size or embedding_size; repeatable.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the share that tying saves over V and H: .png, .svg or .pdf."),
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", metavar=" ", help="Print the table as Markdown, for papers and READMEs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count a model's parameters by group, tied and untied, without building it.

    Example: tiedlm count-params gpt2 --what-if vocab_size=8000,256000

    Exit status 1: the configuration and the stored matrices contradict each other.
    """
    given = models or []
    _check_together(given, list_models, bool(what_if or plot), as_markdown and as_json)
    if list_models:
        _list(given, as_markdown, as_json)
    elif len(given) > 1:
        _stand_side_by_side(given, as_markdown, as_json)
    else:
        _count_one(given[0], what_if or [], plot, as_markdown, as_json)


def _check_together(given: list[str], list_models: bool, is_changed: bool, is_both: bool) -> None:
    if not given and not list_models:
        raise InputError("count-params takes a model or --list; e.g. tiedlm count-params bert-base-uncased")
    if is_changed and list_models:
        raise InputError("--list goes with neither --what-if nor --plot; name one model instead")
    if is_changed and len(given) > 1:
        raise InputError(f"--what-if and --plot take one model, given: {len(given)}; name one of them")
    if is_both:
        raise InputError("--markdown and --json do not go together; leave one of them out")


def _list(words: list[str], as_markdown: bool, as_json: bool) -> None:
    from tiedlm.api.count import list_counts
    from tiedlm.counting.shown.count_markdown import counts_markdown
    from tiedlm.counting.shown.count_terminal import render_counts

    counts = list_counts(words)
    shown = counts_markdown(counts) if as_markdown else render_counts(counts)
    show([count.document() for count in counts], shown, as_json)


def _stand_side_by_side(models: list[str], as_markdown: bool, as_json: bool) -> None:
    from tiedlm.api.count import count_params
    from tiedlm.counting.shown.count_markdown import sides_markdown
    from tiedlm.counting.shown.count_terminal import render_notes, render_sides

    answers = [count_params(model) for model in models]
    counts = [answer.count for answer in answers]
    shown = sides_markdown(counts) if as_markdown else Group(render_sides(counts), *map(render_notes, answers))
    show([answer.document() for answer in answers], shown, as_json)
    _end_on_mismatch(dict(zip(models, answers, strict=True)))


def _count_one(model: str, what_if: list[str], plot: Path | None, as_markdown: bool, as_json: bool) -> None:
    from tiedlm.api.count import count_params
    from tiedlm.counting.shown.count_markdown import answer_markdown, what_if_markdown
    from tiedlm.counting.shown.count_terminal import render_answer, render_what_if

    if plot:
        from tiedlm.counting.shown.savings_plot import check_plot_file, draw_savings

        check_plot_file(plot)
    answer = count_params(model)
    document, pages, tables = answer.document(), [answer_markdown(answer)], [render_answer(answer)]
    if what_if or plot:
        from tiedlm.counting.what_if import count_what_if, parse_what_if

        counts = count_what_if(answer.count, answer.config, parse_what_if(what_if))
        document["what_if"] = [count.document() for count in counts]
        if what_if:
            pages.append(what_if_markdown(counts))
            tables.append(render_what_if(counts))
    if plot:
        draw_savings(counts, answer.config, plot)
    show(document, "\n\n".join(pages) if as_markdown else Group(*tables), as_json)
    if plot and not as_json and not as_markdown:
        tell_place("plot", plot)
    _end_on_mismatch({model: answer})


def _end_on_mismatch(answers: dict[str, Answer]) -> None:
    mismatches = {
        model: answer.checkpoint.mismatch
        for model, answer in answers.items()
        if answer.checkpoint is not None and answer.checkpoint.mismatch
    }
    for model, mismatch in mismatches.items():
        complain(f"{model}: {mismatch}")
    if mismatches:
        raise typer.Exit(1)

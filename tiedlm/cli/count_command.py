"""`count-params`: its options, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType

from tiedlm.cli.app import app
from tiedlm.cli.arguments import Form, chosen_form
from tiedlm.cli.console import Document, complain, show, tell_place
from tiedlm.cli.options import JsonOption
from tiedlm.errors import InputError

if TYPE_CHECKING:
    from tiedlm.counting.cross_check import Answer
    from tiedlm.markup.page_parts import Part


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
    as_latex: Annotated[
        bool, typer.Option("--latex", metavar=" ", help="Print the table as LaTeX with booktabs, for papers.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count a model's parameters by group, tied and untied, without loading the model.

    Example: tiedlm count-params gpt2 --what-if vocab_size=8000,256000

    Exit status 1: the configuration and the stored matrices contradict each other.
    """
    given = models or []
    _check_together(given, list_models, bool(what_if or plot))
    form = chosen_form({"json": as_json, "markdown": as_markdown, "latex": as_latex})
    if list_models:
        _list(given, form)
    elif len(given) > 1:
        _stand_side_by_side(given, form)
    else:
        _count_one(given[0], what_if or [], plot, form)


def _check_together(given: list[str], list_models: bool, is_changed: bool) -> None:
    if not given and not list_models:
        raise InputError("count-params takes a model or --list; e.g. tiedlm count-params bert-base-uncased")
    if is_changed and list_models:
        raise InputError("--list goes with neither --what-if nor --plot; name one model instead")
    if is_changed and len(given) > 1:
        raise InputError(f"--what-if and --plot take one model, given: {len(given)}; name one of them")


def _list(words: list[str], form: Form) -> None:
    from tiedlm.api.count import list_counts
    from tiedlm.counting.counted_model import CountedModels, counted_model
    from tiedlm.counting.cross_check import Answer
    from tiedlm.counting.shown.count_parts import counts_parts
    from tiedlm.counting.shown.count_terminal import render_counts

    counts = list_counts(words)
    document = CountedModels([counted_model(Answer(count, "known model")) for count in counts])
    _show(document, counts_parts(counts), render_counts(counts), form)


def _stand_side_by_side(models: list[str], form: Form) -> None:
    from tiedlm.api.count import count_params
    from tiedlm.counting.counted_model import CountedModels, counted_model
    from tiedlm.counting.shown.count_parts import sides_parts
    from tiedlm.counting.shown.count_terminal import render_notes, render_sides

    answers = [count_params(model) for model in models]
    counts = [answer.count for answer in answers]
    tables = Group(render_sides(counts), *map(render_notes, answers))
    document = CountedModels([counted_model(answer) for answer in answers])
    _show(document, sides_parts(counts), tables, form)
    _end_on_mismatch(dict(zip(models, answers, strict=True)))


def _count_one(model: str, what_if: list[str], plot: Path | None, form: Form) -> None:
    from tiedlm.api.count import count_params
    from tiedlm.counting.counted_model import counted_model
    from tiedlm.counting.shown.count_parts import answer_parts, what_if_parts
    from tiedlm.counting.shown.count_terminal import render_answer, render_what_if

    if plot:
        from tiedlm.counting.shown.plot_file import check_plot_file
        from tiedlm.counting.shown.savings_plot import draw_savings

        check_plot_file(plot)
    answer = count_params(model)
    counts, parts, tables = None, answer_parts(answer), [render_answer(answer)]
    if what_if or plot:
        from tiedlm.counting.what_if import count_what_if, parse_what_if

        counts = count_what_if(answer.count, answer.config, parse_what_if(what_if))
        if what_if:
            parts += what_if_parts(counts)
            tables.append(render_what_if(counts))
    if plot and counts:
        draw_savings(counts, answer.config, plot)
    _show(counted_model(answer, counts), parts, Group(*tables), form)
    if plot and form == "text":
        tell_place("plot", plot)
    _end_on_mismatch({model: answer})


def _show(document: Document, parts: Sequence[Part], tables: RenderableType, form: Form) -> None:
    """An answer in the form that is asked for."""
    from tiedlm.markup.latex_text import latex_page
    from tiedlm.markup.markdown_text import markdown_page

    pages = {"markdown": markdown_page, "latex": latex_page}
    show(document, pages[form](parts) if form in pages else tables, form == "json")


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

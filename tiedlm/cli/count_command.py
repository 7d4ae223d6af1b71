"""`count-params`: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from tiedlm.cli.app import app
from tiedlm.cli.console import complain, show, tell_place
from tiedlm.cli.options import JsonOption
from tiedlm.errors import InputError


@app.command()
def count_params(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A known model (--list), a config.json, a .safetensors file or its index, a folder of either, "
            "owner/name on the Hugging Face Hub, an experiment, or a folder of records.",
            show_default=False,
        ),
    ] = None,
    list_models: Annotated[
        bool,
        typer.Option(
            "--list",
            metavar=" ",
            help="List the known models.",
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
    as_json: JsonOption = False,
) -> None:
    """Count a model's parameters by group, tied and untied, without building it.

    Example: tiedlm count-params gpt2 --what-if vocab_size=8000,256000

    Exit status 1: the configuration and the stored matrices contradict each other.
    """
    from tiedlm.api.count import count_params, list_counts
    from tiedlm.counting.terminal import render_answer, render_counts, render_what_if

    if list_models == (model is not None):
        raise InputError("count-params takes either a model or --list; e.g. tiedlm count-params bert-base-uncased")
    if model is None:
        if what_if or plot:
            raise InputError("--list goes with neither --what-if nor --plot; name one model instead")
        counts = list_counts()
        show([count.document() for count in counts], render_counts(counts), as_json)
        return
    if plot:
        from tiedlm.counting.savings_plot import check_plot_file, draw_savings

        check_plot_file(plot)
    answer = count_params(model)
    document, tables = answer.document(), [render_answer(answer)]
    if what_if or plot:
        from tiedlm.counting.what_if import count_what_if, parse_what_if

        counts = count_what_if(answer.count, answer.config, parse_what_if(what_if or []))
        document["what_if"] = [count.document() for count in counts]
        tables += [render_what_if(counts)] if what_if else []
    if plot:
        draw_savings(counts, answer.config, plot)
    show(document, Group(*tables), as_json)
    if plot and not as_json:
        tell_place("plot", plot)
    if answer.checkpoint is not None and answer.checkpoint.mismatch:
        complain(f"{model}: {answer.checkpoint.mismatch}")
        raise typer.Exit(1)

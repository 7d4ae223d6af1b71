"""The `tiedlm` program itself, to which the other modules add their commands."""

from __future__ import annotations

from typing import Annotated

import typer

from tiedlm.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    epilog="Guides for single tasks are in docs/ of the source; begin with tiedlm compare",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(is_asked: bool) -> None:
    """What `--version` does; it is eager, so that it needs no command."""
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar=" ", help="Print the version and exit.", is_eager=True, callback=print_version
        ),
    ] = False,
) -> None:
    """Does tying the output matrix to the word embeddings help a small masked LM?"""

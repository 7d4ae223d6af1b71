"""`report`, `ls`, `status`, `config` and `doctor`, which train nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tiedlm.cli.app import app
from tiedlm.cli.arguments import Form, as_folder, as_place, chosen_form
from tiedlm.cli.console import show, show_comparison, show_scan, stdout
from tiedlm.cli.options import (
    SHOWN,
    CsvOption,
    DataDirOption,
    ExperimentArgument,
    JsonOption,
    LatexOption,
    MarkdownOption,
    SetOption,
)
from tiedlm.errors import InputError, printable


@app.command()
def report(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A folder of records, as tiedlm compare writes it.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar=" ",
            help="Draw again even if no record has changed.",
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page too: one file that needs no network. That of a comparison quotes three sentences of "
            "valid, if the models and the text are on this machine.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the learning curves, or the map of a scan, in the sizes of a paper: .pdf, .svg or .png.",
        ),
    ] = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    as_curves: Annotated[
        bool,
        typer.Option(
            "--curves-csv",
            metavar=" ",
            help="The learning curves as CSV on stdout, and nothing else there.",
            rich_help_panel=SHOWN,
        ),
    ] = False,
    as_markdown: MarkdownOption = False,
    as_latex: LatexOption = False,
) -> None:
    """Render the tables, REPORT.md and the plots again from the records of a folder.

    Example: tiedlm report runs/pydoc
    """
    from tiedlm.api.folders import is_scan

    form = chosen_form(
        {"json": as_json, "csv": as_csv, "curves-csv": as_curves, "markdown": as_markdown, "latex": as_latex}
    )
    folder = as_place(directory, "DIR")
    if html is not None:
        from tiedlm.reporting.page.render import check_page_path

        check_page_path(html)
    if plot is not None:
        from tiedlm.counting.shown.plot_file import check_plot_file

        check_plot_file(plot)
    report_of = _report_scan if is_scan(folder) else _report_comparison
    report_of(folder, force, {"page": html, "plot": plot}, form)


def _report_comparison(folder: Path, force: bool, files: Mapping[str, Path | None], form: Form) -> None:
    from tiedlm.reporting.write import update_report

    comparison = update_report(folder, force)
    written = {what: path for what, path in files.items() if path is not None}
    if "page" in written:
        from tiedlm.api.heads import heads_section
        from tiedlm.reporting.page.render import write_page

        write_page(folder, comparison, written["page"], heads_section(folder, comparison))
    if "plot" in written:
        from tiedlm.reporting.paper_plot import plot_comparison

        plot_comparison(comparison, written["plot"])
    show_comparison(comparison, folder, form, written=written)


def _report_scan(folder: Path, force: bool, files: Mapping[str, Path | None], form: Form) -> None:
    from tiedlm.reporting.write_scan import update_scan

    if form == "curves-csv":
        raise InputError(f"--curves-csv: {folder} holds a scan, each of whose cells has curves; give a folder in it")
    scan = update_scan(folder, force)
    written = {what: path for what, path in files.items() if path is not None}
    if "page" in written:
        from tiedlm.reporting.page.scan_page import write_scan_page

        write_scan_page(scan, written["page"])
    if "plot" in written:
        from tiedlm.reporting.paper_plot import plot_scan

        plot_scan(scan, written["plot"])
    show_scan(scan, folder, form, written=written)


@app.command("ls")
def list_runs(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DIR", help="A folder to search, with all folders in it.", show_default="runs and results"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List folders of runs: how far each is, its arms and seeds, and its answer.

    Example: tiedlm ls runs
    """
    from tiedlm.api.list_folders import Listing, list_folders
    from tiedlm.api.places import RESULTS_FOLDER, RUNS_FOLDER
    from tiedlm.cli.folder_table import render_folders

    defaults = [path for path in (Path(RUNS_FOLDER), Path(RESULTS_FOLDER)) if path.is_dir()]
    asked = [as_folder(place, "DIR") for place in places] if places else defaults
    found = list_folders(asked)
    document = Listing([str(place) for place in asked], found)
    where = " or ".join(map(str, asked)) if places else f"{RUNS_FOLDER} or {RESULTS_FOLDER}"
    none = f"no runs in {printable(where)}; tiedlm compare trains the first, in a few minutes"
    show(document, render_folders(found, stdout.width) if found else Text(none), as_json)


@app.command()
def status(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="A folder of runs, of a scan's cells, or of a tuning.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Say of each run of a folder whether it is done, running (where, since when), failed, unfinished or missing.

    An unfinished run has a checkpoint, from which the same command goes on.

    Example: tiedlm status runs/pydoc

    Exit status 0: all runs are done; 1: some are not.
    """
    from tiedlm.api.run_states import run_states
    from tiedlm.cli.state_table import render_states

    found = run_states(as_folder(directory, "DIR"))
    show(found, render_states(found), as_json)
    if not found.is_complete:
        raise typer.Exit(1)


@app.command()
def config(
    experiment: ExperimentArgument = None,
    settings: SetOption = None,
    list_experiments: Annotated[
        bool, typer.Option("--list", metavar=" ", help="List the shipped experiments with their questions.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every key of an experiment with its value and its meaning, or list the shipped experiments.

    Example: tiedlm config ptb --set train.learning_rate=1e-2
    """
    from tiedlm import load_experiment
    from tiedlm.cli.config_tables import keys_of, questions, render_keys, render_questions, shown_experiment

    if list_experiments:
        if experiment or settings:
            raise InputError("--list goes with no experiment and no --set; leave them out")
        show(questions(), render_questions(questions().experiments), as_json)
        return
    loaded = load_experiment(experiment, settings or [])
    show(shown_experiment(loaded), render_keys(keys_of(loaded)), as_json)


@app.command()
def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Look at this machine: versions, device, cache, data, and a test of the tie and of determinism.

    Example: tiedlm doctor --data-dir DATA

    Exit status 1: something that the experiments rely on does not hold here.
    """
    from tiedlm.cli.doctor import examine, render_findings

    examination = examine(data_dir)
    show(examination, render_findings(examination.findings), as_json)
    if any(finding.status == "failed" for finding in examination.findings):
        raise typer.Exit(1)

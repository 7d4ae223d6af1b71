"""The commands: their options, and what they print. What they do is imported only once they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType

from tiedlm.cli.options import (
    RUN,
    TRAINED,
    CheckpointOption,
    CorpusOption,
    DataDirOption,
    DeviceOption,
    DryRunOption,
    ExperimentArgument,
    JsonOption,
    OutOption,
    PrecisionOption,
    QuietOption,
    ResumeOption,
    SetOption,
    StepsOption,
)
from tiedlm.errors import InputError, RunsFailed, printable
from tiedlm.version import __version__

if TYPE_CHECKING:
    from tiedlm.comparison.compare import Comparison
    from tiedlm.execution.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stdout, stderr = Console(), Console(stderr=True)


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


@app.command()
def compare(
    experiment: ExperimentArgument = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|N,N,…",
            help="Seeds of each arm: how many, or which.",
            show_default="the experiment's",
            rich_help_panel=TRAINED,
        ),
    ] = None,
    to_within: Annotated[
        float | None,
        typer.Option(
            metavar="NATS",
            help="Train as many more seeds as the 95 % interval takes to be within ± this, in nats a token.",
            show_default=False,
            rich_help_panel=TRAINED,
        ),
    ] = None,
    max_seeds: Annotated[
        int, typer.Option(metavar="N", help="The most seeds that --to-within may train.", rich_help_panel=TRAINED)
    ] = 20,
    arms: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,…", help="Which arms to compare.", show_default="all", rich_help_panel=TRAINED),
    ] = None,
    jobs: Annotated[
        str, typer.Option(metavar="N|auto", help="Runs side by side; auto is one a processor.", rich_help_panel=RUN)
    ] = "auto",
    corpus: CorpusOption = None,
    data_dir: DataDirOption = None,
    out: OutOption = None,
    settings: SetOption = None,
    steps: StepsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    resume: ResumeOption = True,
    checkpoint_seconds: CheckpointOption = 60.0,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the runs that have no record yet, then compare the arms.

    Example: tiedlm compare ptb --data-dir DATA --seeds 3 --out mine
    """
    from tiedlm import RunOptions, compare, load_experiment
    from tiedlm.api.runs import out_folder, plan_comparison
    from tiedlm.api.seeds import chosen_runs
    from tiedlm.cli.progress import ProgressDisplay

    num_side_by_side = _num_side_by_side(jobs)
    loaded = load_experiment(experiment, _settings(settings, steps), corpus)
    names = None if arms is None else [name.strip() for name in arms.split(",")]
    numbers = None if seeds is None else _seeds(seeds)
    folder, display = out_folder(loaded, out), ProgressDisplay(stderr, quiet)
    options = RunOptions(device, precision, num_side_by_side, resume, checkpoint_seconds, display)
    chosen_runs(loaded, names, numbers)
    display.announce(loaded.name, loaded.corpus.name)
    if dry_run:
        plan = plan_comparison(loaded, names, numbers, out=folder, data_dir=data_dir, options=options)
        _show_plan(plan, as_json)
        return
    try:
        comparison = compare(
            loaded,
            names,
            numbers,
            to_within=to_within,
            max_seeds=max_seeds,
            out=folder,
            data_dir=data_dir,
            options=options,
        )
    except RunsFailed as failed:
        if failed.comparison is not None:
            _show(failed.comparison, folder, as_json)
        raise
    if not (display.plan or quiet):
        sentence = (
            f"nothing was trained: {folder} holds every record that is asked for; with another --out all are made"
        )
        stderr.print(sentence, highlight=False, markup=False, soft_wrap=True)
    _show(comparison, folder, as_json)


@app.command()
def train(
    experiment: ExperimentArgument = None,
    tied: Annotated[
        bool,
        typer.Option(
            "--tied", metavar=" ", help="The arm whose output matrix is the embedding table.", rich_help_panel=TRAINED
        ),
    ] = False,
    untied: Annotated[
        bool,
        typer.Option(
            "--untied", metavar=" ", help="The arm with an output matrix of its own.", rich_help_panel=TRAINED
        ),
    ] = False,
    arm: Annotated[
        str | None, typer.Option(metavar="NAME", help="An arm by its name.", rich_help_panel=TRAINED)
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Of start values, batches, masks and dropout.", rich_help_panel=TRAINED),
    ] = 0,
    corpus: CorpusOption = None,
    data_dir: DataDirOption = None,
    out: OutOption = None,
    settings: SetOption = None,
    steps: StepsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    resume: ResumeOption = True,
    checkpoint_seconds: CheckpointOption = 60.0,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one arm with one seed and write its record and its model.

    Example: tiedlm train ptb --untied --seed 6 --data-dir DATA --out mine
    """
    from tiedlm import RunOptions, load_experiment, train
    from tiedlm.api.runs import out_folder, plan_runs
    from tiedlm.cli.progress import ProgressDisplay
    from tiedlm.report.terminal import render_record

    name = _one_arm([*(["tied"] if tied else []), *(["untied"] if untied else []), *([] if arm is None else [arm])])
    loaded = load_experiment(experiment, _settings(settings, steps), corpus)
    loaded.run_config(name)
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed {seed} is not a number from 0 to 2⁶³ − 1; choose another")
    folder, display = out_folder(loaded, out), ProgressDisplay(stderr, quiet)
    options = RunOptions(device, precision, None, resume, checkpoint_seconds, display)
    display.announce(loaded.name, loaded.corpus.name)
    if dry_run:
        _show_plan(plan_runs(loaded, [(name, seed)], folder, data_dir, options), as_json)
        return
    record = train(loaded, name, seed, out=folder, data_dir=data_dir, options=options)
    if not (display.plan or quiet):
        stderr.print(f"{name} seed {seed} has its record already; nothing was trained", highlight=False)
    if as_json:
        typer.echo(record.model_dump_json(indent=1))
    else:
        stdout.print(render_record(record))
        _tell_place("record", folder / record.file_name)
        _tell_place("model", (folder / record.file_name).with_suffix(".safetensors"))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of records, as tiedlm compare writes it.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar=" ",
            help="Draw again even if no record has changed.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Render the tables, REPORT.md and the plots again from the records of a folder.

    Example: tiedlm report results/ptb
    """
    from tiedlm.report.write import update_report

    _show(update_report(folder, force), folder, as_json)


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
    from tiedlm.cli.config_tables import keys_of, questions, render_keys, render_questions

    if list_experiments:
        if experiment or settings:
            raise InputError("--list goes with no experiment and no --set; leave them out")
        _print(questions(), render_questions(questions()), as_json)
        return
    loaded = load_experiment(experiment, settings or [])
    document = loaded.model_dump(mode="json")
    _print(document, render_keys(keys_of(loaded)), as_json)


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
        _print([count.document() for count in counts], render_counts(counts), as_json)
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
    _print(document, Group(*tables), as_json)
    if plot and not as_json:
        _tell_place("plot", plot)
    if answer.checkpoint is not None and answer.checkpoint.mismatch:
        complain(f"{model}: {answer.checkpoint.mismatch}")
        raise typer.Exit(1)


@app.command()
def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Look at this machine: versions, device, cache, data, and a test of the tie and of determinism.

    Example: tiedlm doctor --data-dir DATA

    Exit status 1: something that the experiments rely on does not hold here.
    """
    from dataclasses import asdict

    from tiedlm.cli.doctor import examine, render_findings

    findings = examine(data_dir)
    _print([asdict(finding) for finding in findings], render_findings(findings), as_json)
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)


def _one_arm(given: list[str]) -> str:
    if len(given) != 1:
        names = " and ".join(f"{name!r}" for name in given) or "none"
        raise InputError(f"one arm is trained at a time, given: {names}; pass one of --tied, --untied and --arm NAME")
    return given[0]


def _seeds(given: str) -> int | list[int]:
    """`3` seeds, or seeds `0,1,2`.

    Raises:
        InputError: it is neither.
    """
    words = [word.strip() for word in given.split(",")]
    if not all(word.isdecimal() and len(word) < 19 for word in words):
        raise InputError(f"--seeds {given!r} is neither a number of seeds nor seeds with commas; give e.g. 3 or 0,1,2")
    return int(words[0]) if len(words) == 1 else [int(word) for word in words]


def _show_plan(plan: Plan, as_json: bool) -> None:
    from tiedlm.cli.plan import plan_lines

    if as_json:
        typer.echo(json.dumps(plan.document(), indent=1))
    else:
        for line in plan_lines(plan):
            stdout.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _settings(settings: list[str] | None, steps: int | None) -> list[str]:
    return [*(settings or []), *([] if steps is None else [f"train.num_steps={steps}"])]


def _num_side_by_side(jobs: str) -> int | None:
    if jobs == "auto":
        return None
    if not (jobs.isdecimal() and len(jobs) < 10 and int(jobs) > 0):
        raise InputError(f"--jobs {jobs!r} is neither auto nor a number above 0; give one of these")
    return int(jobs)


def _print(document: object, table: RenderableType, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, indent=1))
    else:
        stdout.print(table, highlight=False)


def _tell_place(what: str, path: Path) -> None:
    stdout.print(printable(f"{what}: {path}"), highlight=False, markup=False, soft_wrap=True)


def _show(comparison: Comparison, folder: Path, as_json: bool) -> None:
    from tiedlm.report.terminal import render_comparison
    from tiedlm.report.write import REPORT_FILE

    if as_json:
        typer.echo(comparison.model_dump_json(indent=1))
    else:
        stdout.print(render_comparison(comparison))
        stdout.print()
        _tell_place("report", folder / REPORT_FILE)


def complain(sentence: str) -> None:
    """One line on stderr, in red: what is wrong."""
    whole = not stderr.is_terminal  # in a log a sentence is a line; a terminal shall not break its words
    stderr.print(f"tiedlm: {printable(sentence)}", style="red", highlight=False, markup=False, soft_wrap=whole)

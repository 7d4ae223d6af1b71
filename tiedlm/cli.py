"""The commands. They parse, call and print; torch is imported only where a model is trained."""

from __future__ import annotations

import json
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tiedlm import __version__
from tiedlm.config import Experiment, InputError, find_experiment, load_experiment, shipped_experiments
from tiedlm.corpus import default_tokenizer, folder_sha256, load_corpus
from tiedlm.eligible import check_reusable, check_text, missing_runs
from tiedlm.models import count_named, list_counts
from tiedlm.record import RunRecord, load_record, load_records, record_file_name
from tiedlm.report import REPORT_FILE, update_report
from tiedlm.tables import render_comparison, render_count, render_counts, render_record

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Does tying the output matrix to the word embeddings help a small masked LM?",
)
stdout, stderr = Console(), Console(stderr=True)


class Device(StrEnum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Of matrix products."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


ExperimentArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A TOML file, or a shipped experiment: pydoc (the default), ptb, ptb-bert, wikitext-2.",
        show_default=False,
    ),
]
CorpusOption = Annotated[
    str | None,
    typer.Option(
        help="pydoc, ptb, wikitext-2, or a folder with train, valid and test as .txt, .txt.gz, .jsonl or .parquet."
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(envvar="TIEDLM_DATA", help="The folder that holds ptb/ and wikitext-2/, or the corpus's own files."),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder of the records and the report.", show_default="results/EXPERIMENT")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a key of the experiment; repeatable."),
]
StepsOption = Annotated[int | None, typer.Option(help="Training steps of a run; short for --set train.num_steps=N.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to train.")]
PrecisionOption = Annotated[
    Precision, typer.Option(help="Of matrix products; auto is bf16 where the processor has it.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else there.")]


@app.callback()
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Does tying the output matrix to the word embeddings help a small masked LM?"""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def train(
    experiment: ExperimentArgument = None,
    tied: Annotated[
        bool, typer.Option("--tied", help="Train the arm whose output matrix is the embedding table.")
    ] = False,
    untied: Annotated[bool, typer.Option("--untied", help="Train the arm with an output matrix of its own.")] = False,
    arm: Annotated[str | None, typer.Option(help="Train an arm by its name.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything drawn: start values, batches, masks, dropout.")] = 0,
    corpus: CorpusOption = None,
    data_dir: DataDirOption = None,
    out: OutOption = None,
    settings: SetOption = None,
    steps: StepsOption = None,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one arm with one seed and write its record and its model."""
    chosen = [name for name, is_given in (("tied", tied), ("untied", untied), (arm, arm)) if is_given]
    if len(chosen) != 1:
        given = " and ".join(f"{name!r}" for name in chosen) or "none"
        raise InputError(f"one arm is trained at a time, given: {given}; pass one of --tied, --untied and --arm NAME")
    loaded = _load(experiment, corpus, settings, steps)
    arm_name = str(chosen[0])
    loaded.run_config(arm_name)
    folder = out or Path("results") / loaded.name
    records = _records(folder)
    _check_records(records, loaded)
    if (arm_name, seed) not in {(record.arm, record.seed) for record in records}:
        _train(loaded, [(arm_name, seed)], records, folder, data_dir, device, precision, 1, quiet)
    elif not quiet:
        stderr.print(f"{arm_name} seed {seed} has its record already; nothing was trained", highlight=False)
    record = load_record(folder / record_file_name(arm_name, seed))
    if as_json:
        typer.echo(record.model_dump_json(indent=1))
    else:
        stdout.print(render_record(record))


@app.command()
def compare(
    experiment: ExperimentArgument = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Seeds of each arm.", show_default="the experiment's")
    ] = None,
    arms: Annotated[str | None, typer.Option(help="Arms, separated by commas.", show_default="all")] = None,
    jobs: Annotated[str, typer.Option(help="Runs side by side: a number, or auto.")] = "auto",
    corpus: CorpusOption = None,
    data_dir: DataDirOption = None,
    out: OutOption = None,
    settings: SetOption = None,
    steps: StepsOption = None,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the runs that have no record yet, then compare the arms over all records of the folder."""
    if jobs != "auto" and not (jobs.isdecimal() and int(jobs) > 0):
        raise InputError(f"--jobs {jobs!r} is neither auto nor a number above 0; give one of these")
    loaded = _load(experiment, corpus, settings, steps)
    names = loaded.arm_names if arms is None else arms.split(",")
    for name in names:
        loaded.run_config(name)
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(
            f"--arms {arms}: a comparison needs two or more different arms; choose from {', '.join(loaded.arm_names)}"
        )
    folder = out or Path("results") / loaded.name
    records = _records(folder)
    _check_records(records, loaded)
    missing = missing_runs(records, names, seeds or loaded.seeds)
    if missing:
        num_side_by_side = None if jobs == "auto" else int(jobs)
        _train(loaded, missing, records, folder, data_dir, device, precision, num_side_by_side, quiet)
    _show(folder, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of records, as tiedlm compare writes it.")],
    force: Annotated[bool, typer.Option("--force", help="Draw again even if no record has changed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Render the tables, REPORT.md and the plots again from the records of a folder."""
    _show(folder, as_json, force)


@app.command()
def count_params(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="A known model (--list), an experiment, or a folder of records.", show_default=False
        ),
    ] = None,
    list_models: Annotated[bool, typer.Option("--list", help="List the known models.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Count a model's parameters by group, tied and untied, without building it."""
    if list_models == (model is not None):
        raise InputError("count-params takes either a model or --list; e.g. tiedlm count-params bert-base-uncased")
    counts = list_counts() if model is None else [count_named(model)]
    if as_json:
        documents = [count.document() for count in counts]
        typer.echo(json.dumps(documents if list_models else documents[0], indent=1))
    else:
        stdout.print(render_counts(counts) if list_models else render_count(counts[0]))


def _load(experiment: str | None, corpus: str | None, settings: list[str] | None, steps: int | None) -> Experiment:
    """The experiment with the command's changes; another corpus brings its own tokenizer and name."""
    path = find_experiment(experiment or (corpus if corpus in shipped_experiments() else "pydoc"))
    changes = list(settings or [])
    if steps is not None:
        changes.append(f"train.num_steps={steps}")
    loaded = load_experiment(path, changes)
    if corpus is None or corpus == loaded.corpus.name:
        return loaded
    slug = re.sub(r"[^a-z0-9]+", "-", Path(corpus).resolve().name.lower()).strip("-")[:40] or "corpus"
    name = f"{loaded.name}-{slug}" if experiment else slug
    own = {"name": name, "corpus.name": corpus, "corpus.tokenizer": default_tokenizer(corpus)}
    return load_experiment(path, [f"{place}={json.dumps(value)}" for place, value in own.items()] + changes)


def _records(folder: Path) -> list[RunRecord]:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is not a folder; choose another")
    return load_records(folder, may_be_empty=True) if folder.exists() else []


def _check_records(records: list[RunRecord], experiment: Experiment) -> None:
    check_reusable(records, experiment)
    if records and Path(experiment.corpus.name).is_dir():
        check_text(records, experiment.corpus.name, folder_sha256(experiment.corpus.name))


def _train(
    experiment: Experiment,
    runs: list[tuple[str, int]],
    records: list[RunRecord],
    folder: Path,
    data_dir: Path | None,
    device: Device,
    precision: Precision,
    num_side_by_side: int | None,
    quiet: bool,
) -> None:
    from tiedlm.tokens import tokenize  # here, as below, so that the other commands stay light

    corpus = tokenize(load_corpus(experiment.corpus.name, data_dir), experiment.corpus)

    from tiedlm.jobs import prepare_jobs, run_jobs  # torch takes long to import: the text is checked first
    from tiedlm.progress import ProgressDisplay

    jobs, side_by_side = prepare_jobs(experiment, corpus, runs, records, folder, device, precision, num_side_by_side)
    with ProgressDisplay(stderr, len(jobs), quiet) as display:
        failures = run_jobs(jobs, side_by_side, display.update)
    for failure in failures:
        stderr.print(f"tiedlm: {failure}", style="red", highlight=False, markup=False, soft_wrap=True)
    if failures:
        stderr.print(
            f"tiedlm: {len(failures)} of {len(jobs)} runs failed; the same command trains only what is missing"
        )
        raise typer.Exit(1)


def _show(folder: Path, as_json: bool, force: bool = False) -> None:
    comparison = update_report(folder, force)
    if as_json:
        typer.echo(comparison.model_dump_json(indent=1))
    else:
        stdout.print(render_comparison(comparison))
        stdout.print(f"\nreport: {folder / REPORT_FILE}", highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """The `tiedlm` command: 0 done, 1 a run failed, 2 wrong usage or input, 130 interrupted."""
    try:
        app()
    except InputError as error:
        stderr.print(f"tiedlm: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        stderr.print("tiedlm: interrupted; finished runs are kept, the same command goes on from there")
        sys.exit(130)

"""The options that several commands share, and what `--help` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TEXT, TRAINED, RUN, SHOWN = "Which text", "The experiment", "How it runs", "What is shown"


ExperimentArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="EXPERIMENT",
        help="A TOML file; a shipped experiment: pydoc (the default), ptb, ptb-quick, ptb-arms, ptb-own-best, ptb-map, "
        "ptb-bert, wikitext-2 and others (tiedlm config --list); or a folder of runs, to go on there.",
        show_default=False,
    ),
]
CorpusOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="pydoc, ptb, wikitext-2, wikitext-103, the latter two with -raw; hub:OWNER/NAME[:CONFIG]; a folder with "
        "train, valid and test, or with train alone, or a file: .txt, .jsonl, .json, .csv, .tsv, .parquet.",
        rich_help_panel=TEXT,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="A folder that holds the named corpus, in any layout, so that nothing is fetched; by default that of the "
        "variable TIEDLM_DATA.",
        rich_help_panel=TEXT,
    ),
]
TextColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column that holds the text, where a file of --corpus has several.",
        show_default=False,
        rich_help_panel=TEXT,
    ),
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|hub:…|word|bpe:N",
        help="Another model's tokenizer.json, a file or hub:OWNER/NAME; or one to train. Short for --set "
        "corpus.tokenizer=….",
        show_default="the experiment's",
        rich_help_panel=TEXT,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Change a key of the experiment; repeatable. tiedlm config shows all keys.",
        rich_help_panel=TRAINED,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Training steps of a run; short for --set train.num_steps=N.", rich_help_panel=TRAINED
    ),
]
OutOption = Annotated[
    str | None,  # a path, of which "" is none
    typer.Option(
        metavar="FOLDER",
        help="Folder of the records and the report.",
        show_default="runs/EXPERIMENT",
        rich_help_panel=RUN,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda", help="Where it computes; auto is a CUDA device if there is one.", rich_help_panel=RUN
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        metavar="auto|fp32|bf16",
        help="Precision of matrix products; auto is that of the records there, else bf16 where the processor has it.",
        rich_help_panel=RUN,
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        metavar=" ",
        help="Go on from the checkpoint of an unfinished run.",
        rich_help_panel=RUN,
    ),
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        "--save-every",
        metavar="SECONDS",
        help="Seconds of training between two checkpoints of a run.",
        rich_help_panel=RUN,
    ),
]
MicroBatchOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Blocks of a batch that go through the model at a time: less memory, the same result but for rounding.",
        show_default="the whole batch",
        rich_help_panel=RUN,
    ),
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        metavar="local|ray",
        help="Processes of this machine, or tasks of a Ray cluster, each with what \\[resources] says.",
        rich_help_panel=RUN,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT",
        help="The Ray cluster of --executor ray, which shares the output folder.",
        show_default="one on this machine",
        rich_help_panel=RUN,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar=" ",
        help="Say what would be trained and how long that takes, and stop.",
        rich_help_panel=SHOWN,
    ),
]
PlanOption = Annotated[
    str | None,
    typer.Option(
        metavar="text|slurm",
        help="Train nothing, and print the commands that train it: one a line, or a script for sbatch.",
        show_default=False,
        rich_help_panel=SHOWN,
    ),
]
TaskMinutesOption = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="For --plan slurm: pack short runs into tasks of at least N minutes, 60 unless given.",
        show_default=False,
        rich_help_panel=SHOWN,
    ),
]
LogOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.jsonl",
        help="Append every step and every point of the learning curve, a JSON object a line.",
        show_default=False,
        rich_help_panel=SHOWN,
    ),
]
TensorboardOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write what --log writes for TensorBoard; needs the extra tiedlm\\[tensorboard].",
        show_default=False,
        rich_help_panel=SHOWN,
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        metavar=" ",
        help="No progress on stderr.",
        rich_help_panel=SHOWN,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", metavar=" ", help="One JSON document on stdout and nothing else there.", rich_help_panel=SHOWN
    ),
]
CsvOption = Annotated[
    bool,
    typer.Option(
        "--csv", metavar=" ", help="The figures as CSV on stdout, and nothing else there.", rich_help_panel=SHOWN
    ),
]
MarkdownOption = Annotated[
    bool,
    typer.Option(
        "--markdown",
        metavar=" ",
        help="The tables as Markdown on stdout, and nothing else there.",
        rich_help_panel=SHOWN,
    ),
]
LatexOption = Annotated[
    bool,
    typer.Option(
        "--latex",
        metavar=" ",
        help="The tables as LaTeX with booktabs on stdout, and nothing else there.",
        rich_help_panel=SHOWN,
    ),
]
ScanOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scan",
        metavar="SECTION.KEY=V,V,…",
        help="Compare the arms for each of these values, and with several --scan for every combination: a map.",
        rich_help_panel=TRAINED,
    ),
]
TuneOption = Annotated[
    bool,
    typer.Option(
        "--tune",
        metavar=" ",
        help="First train each arm with the values of the file's \\[tune]; then compare the arms, each at the values "
        "of its lowest loss on valid.",
        rich_help_panel=TRAINED,
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="For --tune: draw N trials at random from tune.ranges, the same for each arm, instead of all tune.values.",
        show_default=False,
        rich_help_panel=TRAINED,
    ),
]

"""The options that several commands share, and what `--help` says of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
        help="A TOML file, or a shipped experiment: pydoc (the default), ptb, ptb-quick, ptb-bert, wikitext-2.",
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
ResumeOption = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on from the checkpoint of an unfinished run.")
]
CheckpointOption = Annotated[
    float,
    typer.Option("--save-every", metavar="SECONDS", min=0.0, help="Of training, between two checkpoints of a run."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be trained and how long that takes, and stop.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else there.")]

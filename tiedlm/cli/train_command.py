"""`train`: its options, and what it prints. What it does is imported only once it is called."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from tiedlm.cli.app import app
from tiedlm.cli.arguments import (
    all_settings,
    one_arm,
    options_of,
)
from tiedlm.cli.console import (
    echo_json,
    show_plan,
    stderr,
    stdout,
    tell_next,
    tell_nothing_trained,
    tell_place,
)
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
    LogOption,
    MicroBatchOption,
    OutOption,
    PrecisionOption,
    QuietOption,
    ResumeOption,
    SetOption,
    StepsOption,
    TensorboardOption,
    TextColumnOption,
    TokenizerOption,
)
from tiedlm.errors import DivergedTrial


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
        typer.Option(
            metavar="N", help="Seed of the start values, batches, masks and dropout.", rich_help_panel=TRAINED
        ),
    ] = 0,
    corpus: CorpusOption = None,
    data_dir: DataDirOption = None,
    text_column: TextColumnOption = None,
    tokenizer: TokenizerOption = None,
    out: OutOption = None,
    settings: SetOption = None,
    steps: StepsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    resume: ResumeOption = True,
    checkpoint_seconds: CheckpointOption = 60.0,
    micro_batch: MicroBatchOption = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads of the run.", show_default="all processors", rich_help_panel=RUN),
    ] = None,
    dry_run: DryRunOption = False,
    log: LogOption = None,
    tensorboard: TensorboardOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train one arm with one seed and write its record and its model.

    Example: tiedlm train ptb --untied --seed 6
    """
    from tiedlm import RunOptions, load_experiment, train
    from tiedlm.api.load_experiment import going_on
    from tiedlm.api.runs import out_folder, run_folder
    from tiedlm.api.seeds import check_seed
    from tiedlm.comparison.stages import seeds_option
    from tiedlm.config.experiment import BUILT_IN_ARMS
    from tiedlm.display.progress_display import ProgressDisplay
    from tiedlm.execution.trackers import with_trackers
    from tiedlm.processes.ranks import ranks_of_environment
    from tiedlm.record.run_id import RunId
    from tiedlm.reporting.closing import NextCommand
    from tiedlm.reporting.terminal import render_record

    name = one_arm([*(["tied"] if tied else []), *(["untied"] if untied else []), *([] if arm is None else [arm])])
    loaded = load_experiment(experiment, all_settings(settings, steps), corpus, tokenizer)
    loaded.check_arm(name)
    check_seed(seed)
    run = RunId(name, seed)
    place, _ = going_on(experiment, out, seed)
    ranks = ranks_of_environment()  # the first one alone tells
    folder, display = out_folder(loaded, place), ProgressDisplay(stderr, quiet or not ranks.is_first)
    listener = with_trackers(display, *((log, tensorboard) if ranks.is_first else (None, None)), folder)
    options = RunOptions(device, precision, None, resume, checkpoint_seconds, listener, micro_batch, threads)
    display.announce(loaded.name, loaded.corpus.name)
    if dry_run:
        show_plan(run_folder(loaded, folder, data_dir, text_column, options).plan([run]), as_json)
        return
    try:
        record = train(loaded, name, seed, out=folder, data_dir=data_dir, text_column=text_column, options=options)
    except DivergedTrial as diverged:
        display.notice(str(diverged))
        return
    if not ranks.is_first:
        return
    if not (display.plan or quiet):
        tell_nothing_trained(f"{run} has its record already", folder, resume)
    if as_json:
        echo_json(record)
    else:
        stdout.print(render_record(record))
        tell_place("record", folder / record.file_name)
        tell_place("model", folder / record.run.model_file)
        pair = BUILT_IN_ARMS if name in BUILT_IN_ARMS else ("tied", name)
        words = options_of(
            corpus=corpus,
            tokenizer=tokenizer,
            set=settings,
            steps=steps,
            data_dir=data_dir,
            text_column=text_column,
            device=device,
            precision=precision,
            arms=",".join(pair) if len(loaded.arm_names) > len(pair) else None,
            seeds=seeds_option([seed]),
            out=out,
        )
        again = shlex.join(["tiedlm", "compare", *([] if experiment is None else [experiment]), *words])
        sentence = "One run has no other to be compared with; the next command trains its pair."
        tell_next(sentence, NextCommand(again))

"""`compare`: its options, and what it prints. What it does is imported only once it is called."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import typer

from tiedlm.cli.app import app
from tiedlm.cli.arguments import (
    all_settings,
    check_plan,
    check_together,
    chosen_form,
    options_of,
    parse_jobs,
    parse_seeds,
)
from tiedlm.cli.console import (
    show_comparison,
    show_plan,
    show_scan,
    stderr,
    tell_nothing_trained,
)
from tiedlm.cli.options import (
    RUN,
    TRAINED,
    AddressOption,
    CheckpointOption,
    CorpusOption,
    CsvOption,
    DataDirOption,
    DeviceOption,
    DryRunOption,
    ExecutorOption,
    ExperimentArgument,
    JsonOption,
    LatexOption,
    LogOption,
    MarkdownOption,
    MicroBatchOption,
    OutOption,
    PlanOption,
    PrecisionOption,
    QuietOption,
    ResumeOption,
    ScanOption,
    SetOption,
    StepsOption,
    TaskMinutesOption,
    TensorboardOption,
    TextColumnOption,
    TokenizerOption,
    TrialsOption,
    TuneOption,
)
from tiedlm.cli.planned_lines import show_commands
from tiedlm.errors import InputError, RunsFailed

MAX_SEEDS_OF_A_WIDTH = 20


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
            help="Add as many seeds as the 95 % interval needs to be within ± this, in nats a token.",
            show_default=False,
            rich_help_panel=TRAINED,
        ),
    ] = None,
    max_seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"The most seeds that --to-within may train, {MAX_SEEDS_OF_A_WIDTH} unless given.",
            show_default=False,
            rich_help_panel=TRAINED,
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME,…", help="Which arms to compare.", show_default="all", rich_help_panel=TRAINED),
    ] = None,
    tune: TuneOption = False,
    trials: TrialsOption = None,
    scanned: ScanOption = None,
    jobs: Annotated[
        str, typer.Option(metavar="N|auto", help="Runs side by side; auto is one a processor.", rich_help_panel=RUN)
    ] = "auto",
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
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    dry_run: DryRunOption = False,
    plan: PlanOption = None,
    task_minutes: TaskMinutesOption = None,
    log: LogOption = None,
    tensorboard: TensorboardOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    as_markdown: MarkdownOption = False,
    as_latex: LatexOption = False,
) -> None:
    """Train the runs that have no record yet, then compare the arms.

    Example: tiedlm compare wikitext-2 --seeds 3
    """
    from tiedlm import RunOptions, compare, load_experiment
    from tiedlm.api.cell_experiments import parse_scan
    from tiedlm.api.load_experiment import going_on
    from tiedlm.api.plan_of_compare import Wanted, plan_of_compare
    from tiedlm.api.runs import out_folder, plan_comparison
    from tiedlm.api.scan import plan_scan, scan, scan_folder
    from tiedlm.api.seeds import chosen_runs
    from tiedlm.api.tuning import tuned, tuned_folder
    from tiedlm.comparison.tuning_table import check_not_tuned
    from tiedlm.display.progress_display import ProgressDisplay
    from tiedlm.execution.trackers import with_trackers

    form = chosen_form({"json": as_json, "csv": as_csv, "markdown": as_markdown, "latex": as_latex})
    tables = {"--csv": as_csv, "--markdown": as_markdown, "--latex": as_latex}
    check_plan(plan, task_minutes, {"--dry-run": dry_run, "--json": as_json, **tables})
    given = {"--executor": executor != "local", "--plan": plan is not None, **tables}
    given |= {"--dry-run": dry_run, "--to-within": to_within is not None, "--tune": tune, "--scan": bool(scanned)}
    check_together(given)
    if max_seeds is not None and to_within is None:
        raise InputError(f"--max-seeds {max_seeds} is for --to-within, which is not given; give both or neither")
    if trials is not None and not tune:
        raise InputError(f"--trials {trials} is for --tune, which is not given; give both or neither")
    num_side_by_side = parse_jobs(jobs)
    loaded = load_experiment(experiment, all_settings(settings, steps), corpus, tokenizer)
    names = None if arms is None else [name.strip() for name in arms.split(",")]
    in_folder = None if scanned or tune else experiment  # these have a folder of their own
    place, numbers = going_on(in_folder, out, None if seeds is None else parse_seeds(seeds))
    folder = (tuned_folder if tune else out_folder)(loaded, place)
    display = ProgressDisplay(stderr, quiet)
    folder = scan_folder(loaded, out) if scanned else folder
    listener = with_trackers(display, log, tensorboard, folder)
    options = RunOptions(
        device,
        precision,
        num_side_by_side,
        resume,
        checkpoint_seconds,
        listener,
        micro_batch,
        executor=executor,
        address=address,
    )
    runs = chosen_runs(loaded, names, numbers)
    if tune:
        check_not_tuned(runs)
    display.announce(loaded.name, loaded.corpus.name)
    most = MAX_SEEDS_OF_A_WIDTH if max_seeds is None else max_seeds
    which = (loaded, names, numbers)
    how: dict[str, Any] = {"out": folder, "data_dir": data_dir, "text_column": text_column, "options": options}
    if plan is not None:
        shared = options_of(corpus=corpus, data_dir=data_dir, text_column=text_column, tokenizer=tokenizer)
        shared += options_of(set=all_settings(settings, steps), device=device, precision=precision)
        shared += options_of(micro_batch=micro_batch)
        shared += ["--save-every", f"{checkpoint_seconds:g}", *([] if resume else ["--no-resume"]), "--quiet"]
        wanted = Wanted(loaded, names, numbers, runs, to_within, most, folder, data_dir, text_column, options)
        found_commands = plan_of_compare(wanted, parse_scan(scanned) if scanned else None, tune, trials)
        words = [*([] if experiment is None else [experiment]), *shared]
        show_commands(found_commands, loaded.name, words, plan, task_minutes)
    elif scanned and dry_run:
        show_plan(plan_scan(loaded, parse_scan(scanned), names, numbers, **how), as_json)
    elif scanned:
        found = scan(loaded, parse_scan(scanned), names, numbers, **how)
        show_scan(found, folder, form, options_of(data_dir=data_dir, text_column=text_column))
    elif dry_run:
        show_plan(plan_comparison(*which, to_within=to_within, max_seeds=most, **how), as_json)
    else:
        if tune:
            which = (tuned(loaded, names, trials=trials, **how), names, numbers)
        needed_again = options_of(
            data_dir=data_dir, text_column=text_column, arms=arms, device=device, precision=precision, jobs=jobs
        )
        tell = functools.partial(
            show_comparison, folder=folder, form=form, options=needed_again, side_by_side=num_side_by_side
        )
        try:
            comparison = compare(*which, to_within=to_within, max_seeds=most, **how)
        except RunsFailed as failed:
            if failed.comparison is not None:
                tell(failed.comparison)
            raise
        if not (display.plan or quiet):
            tell_nothing_trained(f"{folder} holds every record that is asked for", folder, resume)
        tell(comparison)

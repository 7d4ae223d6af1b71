"""A folder of runs of one experiment: which runs it holds, and how the missing ones are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.begun_runs import begun_precision
from tiedlm.api.engine import find_runtime, make_executor, share_out, start_engine
from tiedlm.api.planned_contrasts import planned_contrasts
from tiedlm.api.run_queue import Prepared, make_runs
from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.comparability import check_reusable, check_runtime, check_text, missing_runs
from tiedlm.comparison.designs import (
    CONTRASTS_FILE,
    DESIGN_FILE,
    check_designs,
    designs_beside,
    is_cell,
    load_design,
    put_back,
    sealed_tune,
)
from tiedlm.comparison.sealed_design import Sealed, save_decision
from tiedlm.comparison.stages import check_seeds
from tiedlm.comparison.tuning_table import check_not_tuned
from tiedlm.config.contrasts import Contrasts
from tiedlm.config.experiment import Experiment
from tiedlm.data.sources.corpus import Corpus, is_own_text
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.errors import InputError, RunsFailed
from tiedlm.execution.folder_lock import PATIENCE_SECONDS, locked
from tiedlm.execution.listener import Listener
from tiedlm.execution.planned_runs import add_planned
from tiedlm.execution.run_options import RunOptions
from tiedlm.processes.ranks import ranks_of_environment
from tiedlm.processes.start_method import clear_temporary_folders
from tiedlm.record.divergence import Divergence, load_divergences
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tiedlm.data.tokens import TokenizedCorpus
    from tiedlm.execution.executor import Executor
    from tiedlm.execution.job import Job
    from tiedlm.execution.plan import Plan


class RunFolder:
    """The runs of an experiment in one place."""

    def __init__(
        self,
        experiment: Experiment,
        place: Path,
        find_text: Callable[[], Corpus],
        options: RunOptions,
        divergence_counts: bool = False,
    ) -> None:
        """`find_text` reads the experiment's text; it is called when the text is needed.

        With `divergence_counts`, a run that diverges is not missing and has not failed: it has a file that says so.
        """
        self.experiment, self.place, self.find_text, self.options = experiment, place, find_text, options
        self.divergence_counts = divergence_counts

    def tokenized(self) -> TokenizedCorpus:
        """The text as tokens."""
        from tiedlm.data.tokens import tokenize  # here so that the other commands stay light

        return tokenize(self.find_text(), self.experiment.corpus, self.options.listener)

    def token_counts(self) -> npt.NDArray[np.int64]:
        """How often each token occurs in train, (V,)."""
        return self.tokenized().token_counts("train")

    def plan(self, runs: Sequence[RunId]) -> Plan:
        """What `train_missing` would train, and how long that takes by a few timed steps; nothing is written.

        Raises:
            InputError: as `train_missing`.
        """
        self._contrasts()
        prepared = self.checked(runs)
        return self.timed(prepared) if prepared.jobs else prepared.plan

    def checked(self, runs: Sequence[RunId]) -> Prepared:
        """The runs that have no record, with what is known of them all; nothing is written.

        Raises:
            InputError: as `train_missing`.
        """
        jobs, plan = self._prepare(runs, self._reusable_records())
        return Prepared(self.place, jobs, plan)

    def timed(self, prepared: Prepared) -> Plan:
        """A plan with its time, by a few steps of as many runs as go side by side."""
        from tiedlm.execution.dry_run import time_plan

        return time_plan(prepared.plan, prepared.jobs, self._executor(prepared.plan))

    def train_missing(self, runs: Sequence[RunId], decide: Callable[[], None] | None = None) -> None:
        """Train those runs that have no record, by the designs that lie beside the folder.

        Other commands may train in the folder at the same time: a run is made by one of them. `decide` writes a design
        down, once everything else is checked and before the first run, while no other command decides there.

        Raises:
            InputError: the text or the folder is unfit.
            RunsFailed: some runs failed.
        """
        _check_ranks(len(runs))
        if not ranks_of_environment().is_first:
            self._compute_along(runs)
            return
        prepared = self.prepare(runs, decide)
        if prepared is not None:
            self.make([prepared], prepared.plan)

    def make(self, prepared: Sequence[Prepared], plan: Plan) -> None:
        """Make the prepared runs of this folder, or of many with the same options.

        Raises:
            InputError: as `train_missing`.
            RunsFailed: some runs failed.
        """
        _check_ranks(len(plan.to_train))
        make_runs(prepared, plan, self._executor, self.options.listener)

    def prepare(
        self, runs: Sequence[RunId], decide: Callable[[], None] | None = None, cell: str = ""
    ) -> Prepared | None:
        """Check everything that `train_missing` needs; None where no run is missing.

        `cell` names the folder, where its runs are made in one queue with those of others.

        Raises:
            InputError: as `train_missing`.
        """
        if sealed_tune(self.place) is not None:
            check_not_tuned(runs)
        clear_temporary_folders()
        contrasts = self._contrasts()
        if contrasts is not None:
            put_back("contrasts", contrasts, self.place)
        records = self._reusable_records()
        design = load_design(self.place)
        missing = self._missing(records, runs)
        if design is not None:
            seeds = {run.seed for run in missing}
            check_seeds(records, design, self.place / DESIGN_FILE, seeds, self.experiment.contrasts)
        if not missing:
            if any(self.place.glob("*.safetensors")) and not (self.place / TOKENIZER_FILE).exists():
                self._keep_tokenizer(self.tokenized())
            if decide is not None or (contrasts is not None and not (self.place / CONTRASTS_FILE).exists()):
                with locked(self.place, PATIENCE_SECONDS):
                    self._decide(self._contrasts(), decide)
            return None
        jobs, plan = self._prepare(runs, records)
        jobs = [dataclasses.replace(job, cell=cell, divergence_counts=self.divergence_counts) for job in jobs]
        return Prepared(self.place, jobs, plan, lambda jobs: self._begin(jobs, runs, decide))

    def _begin(self, jobs: list[Job], runs: Sequence[RunId], decide: Callable[[], None] | None) -> list[Job]:
        """Decide, while the folder is locked: what other commands have done there since it was read is checked again.

        Raises:
            InputError: another command trains, or has trained, what does not fit.
        """
        from tiedlm.execution.output_folder import clear_leftovers  # here, as below: they import torch
        from tiedlm.execution.preflight import check_holders, check_records

        check_holders(self.place, self.experiment, jobs[0].runtime)
        check_records(self._reusable_records(), jobs[0].corpus, jobs[0].runtime)
        clear_leftovers(self.place)
        self._keep_tokenizer(jobs[0].corpus)
        self._decide(self._contrasts(), decide)
        add_planned(self.place, runs)
        led_by = designs_beside(self.place)
        return [dataclasses.replace(job, design_sha256=led_by) for job in jobs]

    def _compute_along(self, runs: Sequence[RunId]) -> None:
        """What the first rank trains, as one of the others, which write nothing and tell nothing."""
        records = self._reusable_records()
        if missing := self._missing(records, runs):
            jobs, plan = self._prepare(missing, records)
            if failures := self._executor(plan).run(jobs, Listener()):
                raise RunsFailed(failures, len(jobs))

    def _contrasts(self) -> Sealed[Contrasts] | None:
        """The contrasts that the runs are trained for; a cell of a scan or a tuning has none of its own."""
        return None if is_cell(self.place) else planned_contrasts(self.experiment, self.place)

    def _decide(self, contrasts: Sealed[Contrasts] | None, decide: Callable[[], None] | None) -> None:
        """Write down what is decided on before the first run."""
        if contrasts is not None:
            save_decision(contrasts, self.place / CONTRASTS_FILE)
        if decide is not None:
            decide()

    def _reusable_records(self) -> list[RunRecord]:
        """What the folder holds, all of it of this experiment, machine and text."""
        results = self._results()
        check_designs(results, self.place)
        check_reusable(results, self.experiment)
        check_runtime(results, self.options.device, self.options.precision)
        name = self.experiment.corpus.name
        if results and is_own_text(name) and Path(name).exists():
            check_text(results, name, self.find_text().sha256)
        return [result for result in results if isinstance(result, RunRecord)]

    def _results(self) -> list[RunRecord | Divergence]:
        records = load_records(self.place, may_be_empty=True) if self.place.exists() else []
        return [*records, *self._divergences()]

    def _divergences(self) -> list[Divergence]:
        return load_divergences(self.place) if self.divergence_counts else []

    def _missing(self, records: list[RunRecord], runs: Sequence[RunId]) -> list[RunId]:
        """The runs that have no result."""
        diverged = {divergence.run for divergence in self._divergences()}
        return [run for run in missing_runs(records, runs) if run not in diverged]

    def _prepare(self, runs: Sequence[RunId], records: list[RunRecord]) -> tuple[list[Job], Plan]:
        """The jobs of the runs without a record, and the plan of all; everything is checked, and nothing written."""
        corpus = self.tokenized()
        start_engine(self.options)

        from tiedlm.execution.plan import make_plan  # torch takes long to import: the text is checked first
        from tiedlm.execution.preflight import prepare_jobs

        runtime = find_runtime(self.options.device, self._precision(), self.options, self.experiment.resources)
        missing = self._missing(records, runs)
        jobs: list[Job] = []
        side_by_side = 0
        if missing:
            jobs = prepare_jobs(self.experiment, corpus, missing, records, self.place, runtime, self.options)
            jobs, side_by_side = share_out(jobs, self.options)
        there = [run for run in runs if run not in missing]
        has_bf16 = find_runtime(runtime.device, "auto", self.options, self.experiment.resources).precision == "bf16"
        return jobs, make_plan(self.experiment, corpus, missing, there, self.place, runtime, side_by_side, has_bf16)

    def _precision(self) -> str:
        """The one that was asked for; `auto` is that of the folder's results, beside which no other may stand.

        Where it has none yet, it is that of the checkpoints from which its runs go on.
        """
        if self.options.precision != "auto":
            return self.options.precision
        if results := self._results():
            return results[0].provenance.precision
        return (begun_precision(self.place) if self.options.resume else None) or "auto"

    def _executor(self, plan: Plan) -> Executor:
        return make_executor(plan.side_by_side, self.options)

    def _keep_tokenizer(self, corpus: TokenizedCorpus) -> None:
        """Write the tokenizer beside the models, which are of no use without it."""
        write_atomically(self.place / TOKENIZER_FILE, corpus.tokenizer_text())


def _check_ranks(num_runs: int) -> None:
    """Refuse several runs where torchrun has started the processes of one.

    Raises:
        InputError: it has, and there are several.
    """
    if ranks_of_environment().number > 1 and num_runs > 1:
        raise InputError(
            "torchrun starts several processes for one run, and this command has several runs; give tiedlm train"
        )

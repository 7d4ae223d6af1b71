"""Records → Comparison: each arm summarised, and every other arm tested against the first.

Seeds are paired: for one seed both arms saw the same batches and masks and began with the same
values, so the statistics are those of the paired differences in nats a token.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from typing import Any

from tiedlm.comparison.arm_summary import METRICS, ArmSummary, Saved, SplitSummary, Summary
from tiedlm.comparison.comparability import check_comparable, flatten
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.contrast_results import Cell, contrast_results
from tiedlm.comparison.curves import difference_curve
from tiedlm.comparison.differences import differences_on
from tiedlm.comparison.paired_statistics import MIN_BLOCKS
from tiedlm.comparison.sealed_design import Sealed, seal
from tiedlm.comparison.similarity import Similarity, summarise
from tiedlm.comparison.tested_differences import ContrastResult, Difference
from tiedlm.comparison.text_notes import text_notes
from tiedlm.comparison.tuning_table import Tuning
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.config.contrasts import Contrasts
from tiedlm.config.corpus_config import BY_LINES_FOR_WANT_OF_PARAGRAPHS
from tiedlm.counting.closed_forms.parameters import saved_formula
from tiedlm.errors import InputError
from tiedlm.record.metrics import SplitMetrics
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord
from tiedlm.record.trained_on import trained_on
from tiedlm.version import __version__

MAY_DIFFER = ("tiedlm_version", "git_commit", "git_dirty", "python", "torch", "processor", "num_threads")


def compare(
    records: list[RunRecord],
    design: TwoStage | None = None,
    tuning: Tuning | None = None,
    similarity: Similarity | None = None,
    remedy: str = "train the missing runs first",
    planned: Sealed[Contrasts] | None = None,
    is_cell: bool = False,
) -> Comparison:
    """Summarise each arm and test every other arm against the first.

    With a two-stage design, the intervals are Stein's, whose variance is that of its first stage. A `tuning`
    is the one that chose each arm's values; of a `similarity` counts what was measured on models of these records. The
    `remedy` is told where runs are missing. `planned` are the contrasts that the runs were trained for; of a
    cell, they are tested over all cells and not in it.

    Raises:
        InputError: there is nothing to compare, or the records differ in more than arm and seed.
    """
    arms = _arms_in_order(records)
    if len(arms) < 2:
        there = f"only arm {arms[0]!r} has records" if arms else "none of these runs has a record"
        raise InputError(f"{there}, a comparison needs two arms; {remedy}")
    check_comparable(records)
    baseline, *others = arms
    by_run = {record.run: record for record in records}
    seeds_of = {arm: {record.seed for record in records if record.arm == arm} for arm in arms}
    # An arm's seeds are those that the first arm has too; the first arm's are those that any other has.
    shared = {arm: sorted(seeds_of[arm] & seeds_of[baseline]) for arm in others}
    shared[baseline] = sorted(set().union(*(shared[arm] for arm in others)))
    if not all(shared.values()):
        lonely = ", ".join(arm for arm in others if not shared[arm])
        raise InputError(f"no seed of {lonely} has a record of {baseline} too, so nothing can be paired; {remedy}")
    runs = {arm: [by_run[RunId(arm, seed)] for seed in shared[arm]] for arm in arms}
    pairs = {arm: ([by_run[RunId(baseline, seed)] for seed in shared[arm]], runs[arm]) for arm in others}
    splits = list(records[0].metrics)
    by_split = {split: differences_on(split, pairs, design, planned is not None) for split in splits}
    differences = [by_split[split][place] for place in range(len(others)) for split in by_split]
    summaries = {arm: _summarise(runs[arm]) for arm in arms}
    tested = None if planned is None or is_cell else planned.design
    contrasts = [result for split in splits for result in contrast_results(tested, [Cell(summaries)], split, design)]
    similar = summarise(similarity, [record.sha256 for record in records]) if similarity else []
    unpaired = {arm: sorted(seeds_of[arm] - {record.seed for record in runs[arm]}) for arm in arms}
    text = trained_on(records[0].config, records[0].data.num_tokens)
    notes = [
        *_notes(runs, unpaired),
        *text_notes(text, any(BY_LINES_FOR_WANT_OF_PARAGRAPHS in record.text_source for record in records)),
        *_plan_notes(records, design),
        *_contrast_notes(records, planned, None if design else len(shared[baseline])),
        *_width_notes(contrasts or differences, design),
        *_tuning_notes(runs, tuning),
    ]
    return Comparison(
        experiment=records[0].experiment,
        corpus=records[0].data.corpus,
        seeds=shared[baseline],
        trained_on=text,
        arms=summaries,
        saved=_saved(runs[baseline][0]),
        contrasts=contrasts,
        differences=differences,
        difference_curves=[difference_curve(*pair) for pair in pairs.values()],
        shared_config=_shared_config(records),
        provenance=_distinct_provenance(records),
        notes=notes,
        unpaired={arm: seeds for arm, seeds in unpaired.items() if seeds},
        design=design,
        tuning=tuning,
        similarity=similar or None,
        records_sha256=fingerprint(records, design, tuning, similarity, planned.design if planned else None),
    )


def _saved(record: RunRecord) -> Saved:
    """By closed form from one record's model, tied or not."""
    vocab_size, hidden_size = record.data.vocab_size, record.config.model.hidden_size
    saved = vocab_size * hidden_size
    total_tied = sum(record.parameters.values()) - record.parameters["decoder_weight"]
    return Saved(
        parameters=saved, fraction=saved / (total_tied + saved), formula=saved_formula(vocab_size, hidden_size)
    )


def _notes(runs: dict[str, list[RunRecord]], unpaired: dict[str, list[int]]) -> list[str]:
    """What a reader must know before trusting the numbers."""
    notes = []
    first = next(iter(runs))
    for arm, records in runs.items():
        partner = "partner" if arm == first else f"run of {first} beside it"
        notes += [f"seed {seed} of {arm} has no {partner} and is left out" for seed in unpaired[arm]]
        notes += _worse_than_unigram_notes(arm, records)
    if len({tuple(record.seed for record in records) for records in runs.values()}) > 1:
        notes.append("the arms have not the same seeds; each difference is over the seeds that both its arms have")
    for split, metrics in next(iter(runs.values()))[0].metrics.items():
        if metrics.num_unk:
            notes.append(_unk_note(split, metrics, runs))
    everything = [record for records in runs.values() for record in records]
    for field in MAY_DIFFER:
        found = sorted({str(getattr(record.provenance, field)) for record in everything})
        if len(found) > 1:
            notes.append(f"the runs differ in {field}: {', '.join(found)}")
    if any(record.pairing is None for record in everything):
        notes.append("pairing is not proved: some records are older than the hashes of what pairs share")
    fewest = min(len(metrics.block_num_tokens) for records in runs.values() for metrics in records[0].metrics.values())
    if fewest < MIN_BLOCKS:
        notes.append(f"a split has {fewest} blocks, too few to bootstrap; give more text or more seeds")
    return notes


def _worse_than_unigram_notes(arm: str, records: list[RunRecord]) -> list[str]:
    """Which seeds of an arm are worse than token frequencies alone, on which splits, and why."""
    splits_of: dict[tuple[str, ...], list[str]] = {}
    for split in records[0].metrics:
        whys = {record.seed: record.why_worse_than_unigram(split) for record in records}
        for why in dict.fromkeys(filter(None, whys.values())):
            seeds = ", ".join(str(seed) for seed in whys if whys[seed] == why)
            splits_of.setdefault((seeds, why), []).append(split)
    return [
        f"{arm} is worse than token frequencies alone on {' and '.join(splits)} (seed {seeds}): it {why}"
        for (seeds, why), splits in splits_of.items()
    ]


def _unk_note(split: str, metrics: SplitMetrics, runs: dict[str, list[RunRecord]]) -> str:
    """How much of a perplexity is the ease of guessing that a word is none of the vocabulary."""
    without = {arm: _without_unk([record.metrics[split] for record in records]) for arm, records in runs.items()}
    shown = ", ".join(f"{arm} {summary.mean:,.1f}" for arm, summary in without.items() if summary is not None)
    return (
        f"{100 * metrics.unk_fraction:.1f} % of the tokens of {split} are [UNK], words that the vocabulary has not; "
        f"perplexity over the others: {shown or 'there are none'}"
    )


def _plan_notes(records: list[RunRecord], design: TwoStage | None) -> list[str]:
    """That the number of seeds was decided on by who could know the first stage's result."""
    if design is None:
        return []
    digest, first_stage = seal(design).digests[0], set(design.first_stage_seeds)
    if all((record.design_sha256 or {}).get("to-within") == digest for record in records if record.seed in first_stage):
        return []
    return [
        f"the width of ± {design.half_width_nats:g} nats was decided on after its first stage was trained; who would "
        "have stopped there, had it been decided, errs in up to 10 % of cases and not in 5 %"
    ]


def _contrast_notes(records: list[RunRecord], planned: Sealed[Contrasts] | None, num_seeds: int | None) -> list[str]:
    """That the contrasts, or their number of seeds, were decided on by who could know results.

    `num_seeds` is how many there are; None where a two-stage design decided on it.
    """
    if planned is None:
        return []
    notes = []
    number = sum((record.design_sha256 or {}).get("contrasts") not in planned.digests for record in records)
    if number:
        notes.append(f"the contrasts were decided on after {number} of {len(records)} runs were trained")
    planned_number = planned.design.num_seeds
    if planned_number is not None and num_seeds is not None and num_seeds > planned_number:
        notes.append(
            f"the contrasts were planned over {planned_number} seeds, and {num_seeds} are there; who adds seeds once a "
            "result is known errs in more than 5 % of cases"
        )
    return notes


def _width_notes(tested: Sequence[Difference | ContrastResult], design: TwoStage | None) -> list[str]:
    """Which intervals are wider than was asked for."""
    if design is None:
        return []
    intervals = [(item, item.interval) for item in tested]
    wide = [
        f"{item.label} on {item.split}"
        for item, ends in intervals
        if ends is not None and ends[1] - ends[0] > 2 * design.half_width_nats * (1 + 1e-9)
    ]
    number = max(item.num_seeds for item in tested)
    since = (
        f"--max-seeds {design.max_seeds} allowed no more seeds"
        if number >= design.max_seeds
        else f"{number} seeds alone are trained; give the command with --to-within again"
    )
    asked = f"± {design.half_width_nats:g} nats a token, since {since}"
    return [f"wider than {asked}: {', '.join(wide)}"] if wide else []


def _tuning_notes(runs: dict[str, list[RunRecord]], tuning: Tuning | None) -> list[str]:
    """Which arms have not the values that their tuning found."""
    notes: list[str] = []
    if tuning is None:
        return notes
    for arm, records in runs.items():
        config, lowest = records[0].config.every_key(), tuning.lowest.get(arm)
        if lowest is None:
            notes.append(f"{arm} was not tuned")
        elif any(config[key] != value for key, value in lowest.values.items()):
            notes.append(f"{arm} has not the values of its lowest loss in the tuning; give the command with --tune")
    return notes


def fingerprint(
    records: list[RunRecord],
    design: TwoStage | None = None,
    tuning: Tuning | None = None,
    similarity: Similarity | None = None,
    contrasts: Contrasts | None = None,
) -> str:
    """A hash of what a comparison rests on, and of this version; while it stays, so does what is drawn from it."""
    digest = hashlib.sha256(__version__.encode())
    searched = tuning.design if tuning is not None and tuning.design.trials is not None else None
    cells = [] if tuning is None else tuning.cells
    for fact in (fact for fact in (design, searched, *cells, similarity, contrasts) if fact is not None):
        digest.update(fact.model_dump_json().encode())
    for record in sorted(records, key=lambda record: record.file_name):
        digest.update(f"{record.file_name} {record.sha256}\n".encode())
    return digest.hexdigest()


def _shared_config(records: list[RunRecord]) -> dict[str, Any]:
    declared = {field for record in records for field in flatten(record.overrides)}
    return {field: value for field, value in flatten(records[0].config.model_dump()).items() if field not in declared}


def _arms_in_order(records: list[RunRecord]) -> list[str]:
    """`tied` first, since it is what the others are measured against, then `untied`, then by name."""
    present = {record.arm for record in records}
    return [arm for arm in ("tied", "untied") if arm in present] + sorted(present - {"tied", "untied"})


def _summarise(records: list[RunRecord]) -> ArmSummary:
    first = records[0]
    return ArmSummary(
        overrides=flatten(first.overrides),
        parameters={**first.parameters, "total": sum(first.parameters.values())},
        metrics={
            split: SplitSummary(
                **{name: _summary([getattr(record.metrics[split], name) for record in records]) for name in METRICS},
                num_tokens=metrics.num_tokens,
                unigram_perplexity=metrics.unigram_perplexity,
                unk_fraction=metrics.unk_fraction,
                masked_lm_perplexity_without_unk=_without_unk([record.metrics[split] for record in records]),
            )
            for split, metrics in first.metrics.items()
        },
        train_seconds=statistics.fmean(record.cost.train_seconds for record in records),
        total_seconds=statistics.fmean(record.cost.total_seconds for record in records),
        tokens_per_second=statistics.fmean(record.cost.tokens_per_second for record in records),
        peak_memory_bytes=max(record.cost.peak_memory_bytes for record in records),
        checkpoint_bytes=max(record.cost.checkpoint_bytes for record in records),
        curves={str(record.seed): record.curve for record in records},
    )


def _without_unk(metrics: list[SplitMetrics]) -> Summary | None:
    values = [of_run.masked_lm_perplexity_without_unk for of_run in metrics if of_run.num_unk]
    return _summary([value for value in values if value is not None]) if values and None not in values else None


def _summary(values: list[float]) -> Summary:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Summary(mean=statistics.fmean(values), std=std, values=values)


def _distinct_provenance(records: list[RunRecord]) -> dict[str, list[str]]:
    dumps = [record.provenance.model_dump(exclude={"finished_at"}) for record in records]
    of_runs = {field: sorted({str(dump[field]) for dump in dumps}) for field in dumps[0]}
    return {"text": sorted({record.text_source for record in records}), **of_runs}

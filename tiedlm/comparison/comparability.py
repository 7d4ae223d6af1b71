"""Which records may be compared with each other, and which may stand for a run that is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tiedlm.config.experiment import Experiment
from tiedlm.errors import InputError
from tiedlm.record.divergence import Divergence
from tiedlm.record.metrics import SUM_TOLERANCE
from tiedlm.record.run_id import RunId
from tiedlm.record.run_parameters import run_parameters
from tiedlm.record.run_record import RunRecord

HEAD_DENSE = "head.transform.dense.weight"


def check_comparable(records: list[RunRecord]) -> None:
    """Refuse records that differ in anything but what their arms declare and the seed.

    Raises:
        InputError: naming two records, the field, and both values.
    """
    first = records[0]
    pairs: dict[int, RunRecord] = {}
    definitions: dict[str, RunRecord] = {}
    for record in records:
        other = definitions.setdefault(record.arm, record)
        if record.overrides != other.overrides:
            raise InputError(
                f"{other.file_name} and {record.file_name} define arm {record.arm!r} differently; train again"
            )
        for field, mine, theirs in _differing(first, record):
            raise InputError(
                f"{first.file_name} and {record.file_name} differ in {field} ({mine!r}, {theirs!r}); only arm and seed "
                "may differ, so keep them in folders of their own"
            )
        _check_counts(record)
        _check_same_text(first, record)
        _check_paired(pairs.setdefault(record.seed, record), record)


def _check_counts(record: RunRecord) -> None:
    rows, rest = divmod(record.parameters["decoder_weight"], record.config.model.hidden_size)
    num_untied_rows = min(rows, record.data.vocab_size) if rest == 0 else 0  # which rows these are, the text decides
    expected = run_parameters(record.config, record.data.vocab_size, num_untied_rows)
    if record.parameters != expected:
        group = next(
            group for group in expected | record.parameters if expected.get(group) != record.parameters.get(group)
        )
        raise InputError(
            f"{record.file_name}: says {record.parameters.get(group)} parameters of {group!r}, its configuration has "
            f"{expected.get(group)}; train again"
        )


def _check_same_text(first: RunRecord, record: RunRecord) -> None:
    """What follows from text and tokenizer alone; that the blocks are the same then follows from a record itself."""
    for split, metrics in record.metrics.items():
        other = first.metrics[split]
        for field in ("num_tokens", "num_unk", "num_words", "num_bytes", "unigram_perplexity"):
            mine, theirs = getattr(other, field), getattr(metrics, field)
            if not math.isclose(mine, theirs, rel_tol=SUM_TOLERANCE):
                raise InputError(
                    f"{first.file_name} and {record.file_name} differ in {split} {field} ({mine!r}, {theirs!r}), which "
                    "the text decides; train again"
                )
        mine, theirs = ([(band.least_count, band.num_tokens) for band in of.bands or []] for of in (other, metrics))
        if mine and theirs and mine != theirs:
            raise InputError(
                f"{first.file_name} and {record.file_name} differ in the frequency bands of {split}, which the text "
                "decides; train again"
            )


def _check_paired(first: RunRecord, second: RunRecord) -> None:
    """Two arms of one seed must have used the same batches and masks, and begun with the same values they share."""
    mine, theirs = first.pairing, second.pairing
    if mine is None or theirs is None:
        return
    shared = (mine.start_values.keys() & theirs.start_values.keys()) - _begun_otherwise(first, second)
    facts = [
        ("the order of batches", mine.order_sha256, theirs.order_sha256),
        ("the masks", mine.masks_sha256, theirs.masks_sha256),
        ("the masks of evaluation", mine.eval_masks_sha256, theirs.eval_masks_sha256),
        *(
            (f"the start values of {name}", mine.start_values[name], theirs.start_values[name])
            for name in sorted(shared)
            if mine.start_values[name].partition(" ")[0] == theirs.start_values[name].partition(" ")[0]
        ),
    ]
    for what, one, other in facts:
        if one != other:
            raise InputError(
                f"{first.file_name} and {second.file_name} are no pair: they differ in {what}; train both again on one "
                "machine"
            )


def _begun_otherwise(first: RunRecord, second: RunRecord) -> frozenset[str]:
    """The parameters that two arms begin with other values by what their configurations say."""
    mine, theirs = first.config, second.config
    if mine.model.initializer_range != theirs.model.initializer_range and first.pairing is not None:
        return frozenset(first.pairing.start_values)  # the same draws, times another size
    own = mine.intervention.own_start_values ^ theirs.intervention.own_start_values
    return own if mine.model.head_dense_identity == theirs.model.head_dense_identity else own | {HEAD_DENSE}


def _differing(first: RunRecord, second: RunRecord) -> Iterator[tuple[str, Any, Any]]:
    mine, other = _comparable_fields(first), _comparable_fields(second)
    declared = {*flatten(first.overrides), *flatten(second.overrides)}
    for field in mine:
        if field not in declared and mine[field] != other.get(field):
            yield field, mine[field], other.get(field)


def _comparable_fields(record: RunRecord) -> dict[str, Any]:
    """What must agree, but for what an arm overrides."""
    data = record.data.model_dump()
    return {
        "experiment": record.experiment,
        **record.config.every_key(),
        **flatten({"data": {key: value for key, value in data.items() if not isinstance(value, dict)}}),
        **flatten({f"data.{key}": value for key, value in data.items() if isinstance(value, dict)}),
        "device": record.provenance.device,
        "precision": record.provenance.precision,
    }


def flatten(sections: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """Sections of keys → `section.key`."""
    return {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}


def check_reusable(records: Sequence[RunRecord | Divergence], experiment: Experiment) -> None:
    """Refuse records that this experiment would not have made.

    Raises:
        InputError: a record is of another experiment, arm or configuration.
    """
    for record in records:
        where = f"{record.file_name} in the output folder"
        if record.experiment != experiment.name:
            raise InputError(
                f"{where} is of experiment {record.experiment!r}, not of {experiment.name!r}; choose another --out"
            )
        if record.arm not in experiment.arm_names:
            raise InputError(
                f"{where} is of arm {record.arm!r}, which experiment {experiment.name!r} has no longer; add the arm or "
                "choose another --out"
            )
        expected, found = (config.every_key() for config in (experiment.run_config(record.arm), record.config))
        for field in expected:
            if expected[field] != found[field]:
                raise InputError(
                    f"{where} was made with {field}={found[field]!r}, now it is {expected[field]!r}; "
                    "choose another --out or set it back"
                )


def check_runtime(records: Sequence[RunRecord | Divergence], device: str, precision: str) -> None:
    """Refuse records of runs on another device or in another precision; `auto` fits any.

    Raises:
        InputError: a record is of such a run.
    """
    for record in records:
        found = record.provenance
        if device not in ("auto", found.device) or precision not in ("auto", found.precision):
            asked = f"{found.precision if precision == 'auto' else precision} on "
            asked += found.device if device == "auto" else device
            raise InputError(
                f"{record.file_name} in the output folder was run in {found.precision} on {found.device}, this run "
                f"would be in {asked}; set --precision and --device as there, or choose another --out"
            )


def check_text(records: Sequence[RunRecord | Divergence], corpus: str, text_sha256: dict[str, str]) -> None:
    """Refuse records of a text that has changed since.

    Raises:
        InputError: a record is of other text.
    """
    for record in records:
        if record.data.text_sha256 != text_sha256:
            raise InputError(
                f"{record.file_name} in the output folder was made with other text than corpus {corpus!r} has now, or "
                "with other splits of it; choose another --out"
            )


def missing_runs(records: list[RunRecord], runs: Sequence[RunId]) -> list[RunId]:
    """Those that have no record, in their order."""
    present = {record.run for record in records}
    return [run for run in runs if run not in present]

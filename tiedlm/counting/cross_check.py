"""A model's configuration, its stored tensors, or both → one answer, with notes where the two disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiedlm.counting.blueprint import NoClosedForm
from tiedlm.counting.parameters import HEADS, ParameterCount, count_config
from tiedlm.counting.safetensors_header import StoredTensor
from tiedlm.counting.stored_weights import CheckpointCount, PackedWeights, TieClaim, count_checkpoint
from tiedlm.errors import InputError, printable


@dataclass(frozen=True)
class Answer:
    """A count, and what it was made from."""

    count: ParameterCount
    config: Mapping[str, Any] | None = None
    """The model's `config.json`, where there is one: what `--what-if` changes."""
    checkpoint: CheckpointCount | None = None
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """The JSON of `count-params --json`."""
        checkpoint = None if self.checkpoint is None else self.checkpoint.document()
        return self.count.document() | {"checkpoint": checkpoint, "notes": list(self.notes)}


def answer_config(name: str, config: Mapping[str, Any], *notes: str) -> Answer:
    """Count by closed form where there is one, else by building the model.

    Raises:
        InputError: neither is possible.
    """
    try:
        count = count_config(name, config)
    except NoClosedForm as reason:
        from tiedlm.counting.meta_device import count_built  # here: the closed forms need none of it

        count = count_built(name, config, str(reason))
    named = config.get("architectures")
    if isinstance(named, list) and named and count.architecture not in named:
        notes = (f"counted as {count.architecture}; the configuration names {printable(str(named[0])[:80])}", *notes)
    return Answer(count, config, None, notes)


def answer_tensors(name: str, tensors: list[StoredTensor], config: Mapping[str, Any] | None) -> Answer:
    """Count what is stored, and hold it to the configuration, if there is one that can be counted.

    Raises:
        InputError: there is no word-embedding matrix, or the weights are quantised and there is no configuration.
    """
    planned: Answer | None = None
    notes: tuple[str, ...] = ()
    if config is not None:
        try:
            planned = answer_config(name, config)
            notes = planned.notes
        except InputError as error:  # what is stored is an answer too
            notes = (f"its configuration cannot be counted: {error}",)
    try:
        checkpoint = count_checkpoint(tensors, name, None if planned is None else _claim(planned))
    except PackedWeights as error:
        if planned is None:
            raise
        return Answer(planned.count, config, None, (*notes, f"counted by its configuration alone: {error}"))
    count = _stored_count(name, checkpoint, planned)
    if planned is not None:
        notes += (_difference(count, planned.count), *_same_but_untied(checkpoint))
    return Answer(count, config, checkpoint, notes)


def _claim(planned: Answer) -> TieClaim:
    count = planned.count
    named = (planned.config or {}).get("architectures") or [count.architecture]
    has_head = isinstance(named, list) and str(named[0]).endswith(HEADS)
    layers = [group for group in ("encoder_layers", "decoder_layers") if count.groups.get(group)]
    return TieClaim(bool(count.tie_word_embeddings), has_head, layers[0] if layers else None)


def _stored_count(name: str, checkpoint: CheckpointCount, planned: Answer | None) -> ParameterCount:
    vocab_size, width = checkpoint.input_embedding.shape
    form = None if planned is None else planned.count
    has_head = checkpoint.claim is not None and checkpoint.claim.has_head
    return ParameterCount(
        name,
        vocab_size,
        width if form is None else form.hidden_size,
        width,
        checkpoint.is_tied,
        checkpoint.groups,
        None if form is None else form.architecture,
        None,
        form.multiply_adds if form is not None and has_head else None,
    )


def _difference(stored: ParameterCount, planned: ParameterCount) -> str:
    """What the file has more or less than the model of its configuration with as many matrices."""
    expected = planned.groups | {"decoder_weight": planned.saved if stored.groups["decoder_weight"] else 0}
    form = f"the closed form of {planned.architecture}"
    if planned.multiply_adds is None:  # built, and not told apart by group
        form, expected = f"the {planned.architecture} that transformers builds", {}
    total = sum(expected.values()) or (planned.total_untied if stored.groups["decoder_weight"] else planned.total_tied)
    if stored.total == total:
        return f"as many parameters as {form}"
    groups = {group: stored.groups.get(group, 0) - expected.get(group, 0) for group in stored.groups | expected}
    parts = ", ".join(f"{group} {number:+,}" for group, number in groups.items() if number)
    return f"{stored.total - total:+,} parameters against {form}" + (f" ({parts})" if expected else "")


def _same_but_untied(checkpoint: CheckpointCount) -> tuple[str, ...]:
    if checkpoint.copies != "identical" or checkpoint.is_tied:
        return ()
    return ("the configuration says untied, and the two matrices are still bit for bit the same",)

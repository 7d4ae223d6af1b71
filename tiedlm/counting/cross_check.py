"""A model's configuration, its stored tensors, or both → one answer, with notes where the two disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiedlm.counting.closed_forms.blueprint import NoClosedForm
from tiedlm.counting.closed_forms.configuration import has_output_matrix, named_class, own_code, stated_tie
from tiedlm.counting.closed_forms.parameters import ParameterCount, Routing, count_config
from tiedlm.counting.stored.gguf_header import GgufModel
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.stored_weights import PackedWeights, count_checkpoint
from tiedlm.counting.stored.tensor_kinds import UNKNOWN, Layout, kind_of_buffer
from tiedlm.counting.stored.tie_verdict import CheckpointCount, TieClaim
from tiedlm.errors import InputError, printable


@dataclass(frozen=True)
class Answer:
    """A count, and what it was made from."""

    count: ParameterCount
    config: Mapping[str, Any] | None = None
    """The model's `config.json`, where there is one: what `--what-if` changes."""
    checkpoint: CheckpointCount | None = None
    notes: tuple[str, ...] = ()
    layout: Layout = UNKNOWN
    """The names of the tensors, where the model had to be built."""


def answer_config(name: str, config: Mapping[str, Any], *notes: str) -> Answer:
    """Count by closed form where there is one, else by building the model.

    Raises:
        InputError: neither is possible.
    """
    layout = UNKNOWN
    try:
        count = count_config(name, config)
        code = own_code(config)
        if code is not None:
            notes = (f"auto_map names {printable(code[:80])}, which was not run; this is its closed form", *notes)
    except NoClosedForm as reason:
        from tiedlm.counting.built.meta_device import count_built  # here: the closed forms need none of it

        built = count_built(name, config, str(reason))
        count, layout = built.count, built.layout
    named = named_class(config)
    if named is not None and count.architecture not in config["architectures"]:
        headless = "" if has_output_matrix(named) else ", which has no output matrix over the vocabulary"
        told = f"counted as {count.architecture}; the configuration names {printable(named[:80])}{headless}"
        notes = (told, *notes)
    return Answer(count, config, None, notes, layout)


def answer_tensors(
    name: str,
    tensors: list[StoredTensor],
    config: Mapping[str, Any] | None,
    aliases: Mapping[str, str] | None = None,
) -> Answer:
    """Count what is stored, and hold it to the configuration, if there is one that can be counted.

    Raises:
        InputError: there is no word-embedding matrix, or the weights are quantised and there is no configuration.
    """
    planned: Answer | None = None
    notes: tuple[str, ...] = ()
    claim: TieClaim | None = None
    if config is not None:
        try:
            planned = answer_config(name, config)
            notes, claim = planned.notes, _claim(planned)
        except InputError as error:  # what is stored is an answer too
            notes, claim = (f"its configuration cannot be counted: {error}",), _bare_claim(config)
    try:
        checkpoint = count_checkpoint(tensors, name, claim, aliases)
    except PackedWeights as error:
        if planned is None:
            raise
        return Answer(planned.count, config, None, (*notes, f"counted by its configuration alone: {error}"))
    count = _stored_count(name, checkpoint, planned)
    if planned is not None:
        notes += (_difference(checkpoint, count, planned.count), *_same_but_untied(checkpoint))
    notes += checkpoint.odd_biases + _prediction_layers(tensors, config, checkpoint.duplicates)
    return Answer(count, config, checkpoint, notes)


def answer_gguf(name: str, model: GgufModel) -> Answer:
    """Count a GGUF file, which llama.cpp ties where it holds one of the two matrices.

    Raises:
        InputError: there is no word-embedding matrix.
    """
    checkpoint = count_checkpoint(model.tensors, name, TieClaim(*model.tie, model.has_head, layout=model.layout))
    count = _stored_count(name, checkpoint, None)
    architecture = None if model.architecture is None else f"{printable(model.architecture[:80])}, by GGUF"
    return Answer(replace(count, architecture=architecture, routing=model.routing), None, checkpoint)


def _claim(planned: Answer) -> TieClaim:
    count = planned.count
    named = named_class(planned.config or {}) or count.architecture or ""
    layers = [group for group in ("encoder_layers", "decoder_layers") if count.groups.get(group)]
    return TieClaim(
        bool(count.tie_word_embeddings),
        count.source,
        has_output_matrix(named),
        count.output_shape is None,
        layers[0] if layers else None,
        planned.layout,
        count.groups,
    )


def _bare_claim(config: Mapping[str, Any]) -> TieClaim:
    """What a configuration says that nobody here can count: its flag, and the name of its class."""
    stated = stated_tie(config)
    named = named_class(config)
    has_head = named is None or has_output_matrix(named)
    return TieClaim(None, None, has_head) if stated is None else TieClaim(*stated, has_head)


def _stored_count(name: str, checkpoint: CheckpointCount, planned: Answer | None) -> ParameterCount:
    vocab_size, width = checkpoint.input_embedding.shape
    form = None if planned is None else planned.count
    architecture = None if form is None else form.architecture
    if planned is not None and not checkpoint.has_head:
        architecture = named_class(planned.config or {})
    return ParameterCount(
        name,
        vocab_size,
        width if form is None else form.hidden_size,
        width,
        checkpoint.is_tied,
        checkpoint.groups,
        architecture,
        _who_says(checkpoint),
        form.multiply_adds if form is not None and checkpoint.claim is not None and checkpoint.has_head else None,
        has_head=checkpoint.has_head,
        output_shape=checkpoint.output_shape,
        routing=_stored_routing(checkpoint, form),
    )


def _stored_routing(checkpoint: CheckpointCount, form: ParameterCount | None) -> Routing | None:
    """That of the configuration, if it is the same model: further layers, say, would have experts of their own."""
    if form is None or form.routing is None:
        return None
    is_same = sum(checkpoint.groups.values()) - checkpoint.groups["decoder_weight"] == form.total_tied
    return form.routing if is_same else replace(form.routing, idle=None)


def _who_says(checkpoint: CheckpointCount) -> str | None:
    """Who decides whether a stored model is tied."""
    if checkpoint.is_tied is None:
        return None
    if checkpoint.copies == "different" or (checkpoint.copies == "identical" and checkpoint.is_tied):
        return "its stored matrices"
    if checkpoint.pair.is_aliased:
        return "the metadata of its file, which give the one matrix both names"
    return None if checkpoint.claim is None else checkpoint.claim.who


def _difference(checkpoint: CheckpointCount, stored: ParameterCount, planned: ParameterCount) -> str:
    """What the file has more or less than the model of its configuration with as many matrices."""
    if checkpoint.packed:
        return f"counted by its configuration: {checkpoint.packed}"
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
    if checkpoint.copies != "identical" or checkpoint.is_tied or not checkpoint.has_head:
        return ()
    return ("the configuration says untied, and the two matrices are still bit for bit the same",)


def _prediction_layers(
    tensors: Sequence[StoredTensor], config: Mapping[str, Any] | None, duplicates: Mapping[str, int]
) -> tuple[str, ...]:
    """Layers after the last, which predict further tokens (DeepSeek-V3 report, arXiv 2412.19437, §2.2)."""
    num_layers, num_more = ((config or {}).get(key) for key in ("num_hidden_layers", "num_nextn_predict_layers"))
    if type(num_layers) is not int or type(num_more) is not int or not 0 < num_more <= 100:
        return ()
    prefixes = tuple(f"model.layers.{number}." for number in range(num_layers, num_layers + num_more))
    own = [tensor for tensor in tensors if tensor.name.startswith(prefixes) and kind_of_buffer(tensor) is None]
    if not own:
        return ()
    copies = [tensor.name for tensor in own if tensor.name in duplicates]
    number = sum(tensor.num_elements for tensor in own if tensor.name not in copies)
    told = f"multi-token prediction: {number:,} parameters in layers after the last"
    return (told + (f", and copies of the two matrices, counted once ({', '.join(copies[:4])})" if copies else ""),)

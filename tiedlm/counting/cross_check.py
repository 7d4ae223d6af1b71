"""A model's configuration, its class, its stored tensors → one answer, with notes where they disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tiedlm.counting.closed_forms.blueprint import NoClosedForm
from tiedlm.counting.closed_forms.configuration import NoWords, named_class, own_code, stated_places, stated_tie
from tiedlm.counting.closed_forms.parameters import ParameterCount, Routing, count_config
from tiedlm.counting.stored.gguf_header import GgufModel
from tiedlm.counting.stored.placed_names import PlacedNames
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.stored_weights import PackedWeights, count_checkpoint
from tiedlm.counting.stored.tensor_kinds import kind_of_buffer
from tiedlm.counting.stored.tie_verdict import CheckpointCount, TieClaim
from tiedlm.errors import InputError, listed, printable

if TYPE_CHECKING:
    from tiedlm.counting.built.asked_class import AskedClass

Basis = Literal["known model", "closed form", "class", "names"]
MAX_STRANGE_SHARE = 0.5
"""Of the tensors of a file; where its class knows fewer than the rest, it is the class of another model."""


@dataclass(frozen=True, repr=False)
class Answer:
    """A count, and what it was made from."""

    count: ParameterCount
    basis: Basis
    """What tells it: a row of our table, a closed form, its class in `transformers`, or the names of tensors alone."""
    config: Mapping[str, Any] | None = None
    """The model's `config.json`, where there is one: what `--what-if` changes."""
    checkpoint: CheckpointCount | None = None
    notes: tuple[str, ...] = ()
    asked: AskedClass | None = None
    """The class, where there is one and `transformers` is installed."""
    names_since: str = "no configuration lies beside them"
    """Why nothing but names tells, where that is the basis."""

    def __repr__(self) -> str:
        count = self.count
        tie = {True: "tied", False: "untied", None: "tie unknown"}[count.tie_word_embeddings]
        told = f"{count.architecture or 'a checkpoint'}, {count.no_tie or tie}"
        return f"<Answer {count.name}: {told}, {count.total:,} parameters, by {self.basis}>"

    @property
    def by_names(self) -> str | None:
        """In a sentence, that nothing but names tells what the tensors are."""
        return f"told by the names of the tensors alone, since {self.names_since}" if self.basis == "names" else None


def answer_config(name: str, config: Mapping[str, Any], *notes: str, is_own: bool = False) -> Answer:
    """Ask the class where `transformers` knows it, else count by closed form.

    `is_own`: a model of ours, which no class of `transformers` builds.

    Raises:
        InputError: neither is possible.
    """
    form = _closed_form(name, config)
    code = own_code(config)
    if is_own or code is not None:
        if form is None:
            raise InputError(f"{name}: there is no closed form for it; give its .safetensors file")
        told = () if code is None else (f"auto_map names {printable(code[:80])}, which was not run",)
        return Answer(form, "closed form", config, None, (*told, *_named_otherwise(config, form), *notes))
    from tiedlm.counting.built.asked_class import ask_class  # here: the closed forms need none of it
    from tiedlm.counting.built.configured_class import NotInstalled

    try:
        asked = ask_class(name, config)
    except InputError as error:
        if form is None:
            raise
        told = () if isinstance(error, NotInstalled) else (f"its class was not asked: {error}",)
        return Answer(form, "closed form", config, None, (*told, *_named_otherwise(config, form), *notes))
    count = asked.count if form is None else _with_groups(asked.count, form)
    return Answer(count, "class", config, None, (*_named_otherwise(config, count), *notes), asked)


def _closed_form(name: str, config: Mapping[str, Any]) -> ParameterCount | None:
    try:
        return count_config(name, config)
    except NoClosedForm:
        return None


def _with_groups(asked: ParameterCount, form: ParameterCount) -> ParameterCount:
    """The class's count, its groups and multiply-adds by the closed form, if that is the same model."""
    is_same = (asked.architecture, asked.tie_word_embeddings) == (form.architecture, form.tie_word_embeddings)
    second_bias = asked.total - form.total
    if not is_same or second_bias not in (0, form.vocab_size) or (second_bias and form.tie_word_embeddings):
        return asked
    groups, other_totals = form.groups, form.other_totals
    if second_bias:
        groups = groups | {"decoder_bias": groups["decoder_bias"] + second_bias}
        other_totals = {"without the second bias of its class, which is never read": form.total}
    return replace(form, groups=groups, other_totals=other_totals, source=asked.source, routing=asked.routing)


def _named_otherwise(config: Mapping[str, Any], count: ParameterCount) -> tuple[str, ...]:
    named = named_class(config)
    if named is None or count.architecture in config["architectures"]:
        return ()
    return (f"counted as {count.architecture}; the configuration names {printable(named[:80])}",)


def answer_tensors(
    name: str,
    tensors: list[StoredTensor],
    config: Mapping[str, Any] | None,
    aliases: Mapping[str, str] | None = None,
    is_own: bool = False,
) -> Answer:
    """Count what is stored, and hold it to its class and configuration, if there is one that can be counted.

    Raises:
        NoWords: its class has no word embeddings.
        InputError: no tensor looks like word embeddings, or the weights are quantised and there is no configuration.
    """
    planned: Answer | None = None
    notes: tuple[str, ...] = ()
    claim, placed = None, None
    if config is not None:
        try:
            planned = _native(name, config, tensors) or answer_config(name, config, is_own=is_own)
            notes, placed = planned.notes, _placed(planned, tensors)
            claim = _claim(planned, placed)
        except NoWords:
            raise
        except InputError as error:  # what is stored is an answer too
            notes, claim = (f"its configuration cannot be counted: {error}",), _bare_claim(config)
    try:
        checkpoint = count_checkpoint(tensors, name, claim, aliases)
    except PackedWeights as error:
        if planned is None:
            raise
        return replace(planned, notes=(*notes, f"counted by its configuration alone: {error}"))
    count = _stored_count(name, checkpoint, planned)
    basis: Basis = "names" if planned is None else planned.basis
    if planned is not None and planned.asked is not None and placed is None:
        basis, known = "names", planned.count
        what = f"of {known.architecture}, the class of its configuration, whose names its tensors have not"
        count = replace(count, other_totals={what: known.total})
    if planned is not None:
        notes += (*_difference(checkpoint, count, planned, placed), *_same_but_untied(checkpoint))
    notes += checkpoint.odd_biases + _prediction_layers(tensors, config, checkpoint.duplicates)
    asked = None if planned is None else planned.asked
    since = "they are not those of its class" if asked else "nobody here knows the class of its configuration"
    answer = Answer(count, basis, config, checkpoint, notes, asked)
    return answer if config is None else replace(answer, names_since=since)


def _native(name: str, config: Mapping[str, Any], tensors: Sequence[StoredTensor]) -> Answer | None:
    """By the class of its family, where a model with code of its own has that class's tensors and no others."""
    code = own_code(config)
    if code is None:
        return None
    from tiedlm.counting.built.asked_class import ask_class  # here, as above

    try:
        asked = ask_class(name, config)
    except InputError:  # then its names tell, and why its configuration is not counted
        return None
    placed = asked.place([tensor.name for tensor in tensors])
    sizes = {tensor.name: tensor.num_elements for tensor in tensors}
    is_other = any(
        place.parameter is not None and not place.is_part and sizes[stored] != placed.sizes[place.parameter]
        for stored, place in placed.places.items()
    )
    if is_other or placed.missing or placed.places.keys() != sizes.keys():
        return None
    told = (
        f"auto_map names {printable(code[:80])}, which was not run; its tensors are those of {asked.count.architecture}"
    )
    return Answer(asked.count, "class", config, None, (told,), asked)


def _placed(planned: Answer, tensors: Sequence[StoredTensor]) -> PlacedNames | None:
    """Where its class puts the tensors; None where it is the class of another model."""
    if planned.asked is None:
        return None
    placed = planned.asked.place([tensor.name for tensor in tensors])
    strange = [
        tensor
        for tensor in tensors
        if not {tensor.name} & (placed.places.keys() | placed.asides.keys()) and kind_of_buffer(tensor) is None
    ]
    is_of_class = len(strange) <= MAX_STRANGE_SHARE * len(tensors)
    return placed if is_of_class and (planned.asked.is_named or not (strange or placed.missing)) else None


def answer_gguf(name: str, model: GgufModel) -> Answer:
    """Count a GGUF file, which llama.cpp ties where it holds one of the two matrices.

    Raises:
        InputError: there is no word-embedding matrix.
    """
    checkpoint = count_checkpoint(model.tensors, name, TieClaim(*model.tie, model.has_head, placed=model.placed))
    count = _stored_count(name, checkpoint, None)
    architecture = None if model.architecture is None else f"{printable(model.architecture[:80])}, by GGUF"
    count = replace(count, architecture=architecture, routing=model.routing)
    return Answer(count, "names", None, checkpoint, names_since="a GGUF file names no class of transformers")


def _claim(planned: Answer, placed: PlacedNames | None) -> TieClaim:
    count, asked = planned.count, planned.asked
    layers = [group for group in ("encoder_layers", "decoder_layers") if count.groups.get(group)]
    ties, who, has_head = count.tie_word_embeddings, count.source, count.has_head
    if asked is not None and placed is None and not asked.is_named:  # the class of a like model has no say in the tie
        stated = stated_tie(planned.config or {})
        ties, who = (None, None) if stated is None else stated
        has_head = not _is_bare(planned.config or {})
    return TieClaim(
        ties,
        who,
        has_head,
        count.output_shape is None and count.num_tables <= 1,
        layers[0] if layers else None,
        None if asked is None or placed is None else asked.tie.ties,
        PlacedNames() if placed is None else placed,
        count.groups,
        "quantization_config" in (planned.config or {}),
        is_known=asked is None or placed is not None or asked.is_named,
    )


def _bare_claim(config: Mapping[str, Any]) -> TieClaim:
    """What a configuration says that nobody here can count: its flag."""
    stated = stated_tie(config)
    ties, who = (None, None) if stated is None else stated
    return TieClaim(ties, who, has_head=not _is_bare(config), is_known=False)


def _is_bare(config: Mapping[str, Any]) -> bool:
    """Whether an unknown class is a model without a head, as `transformers` names them.

    An output matrix says otherwise, and so does the flag of a language model inside it (InternVL).
    """
    class_name = named_class(config) or ""
    is_whole = any(place for place, _ in stated_places(config))
    return class_name.endswith("Model") and not class_name.endswith("LMHeadModel") and not is_whole


def _stored_count(name: str, checkpoint: CheckpointCount, planned: Answer | None) -> ParameterCount:
    vocab_size, width = checkpoint.input_embedding.shape
    form = None if planned is None else planned.count
    architecture = None if form is None else form.architecture
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
        num_tables=form.num_tables if form is not None and checkpoint.is_placed else 1,
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


def _difference(
    checkpoint: CheckpointCount, stored: ParameterCount, planned: Answer, placed: PlacedNames | None
) -> tuple[str, ...]:
    """What the file has more or less than the model of its configuration with as many matrices."""
    count, asked = planned.count, planned.asked
    has_two = bool(stored.groups["decoder_weight"])
    total = count.total_untied if has_two else count.total_tied
    if checkpoint.packed and (asked is None or placed is None or stored.total == total):
        return (f"counted by its configuration: {checkpoint.packed}",)
    form = f"{count.architecture} of {asked.library}" if asked else f"the closed form of {count.architecture}"
    if stored.total == total:
        return (f"as many parameters as {form}",)
    told = f"{stored.total - total:+,} parameters against {form}"
    if count.multiply_adds is not None:  # its groups are told apart
        expected = count.groups | {"decoder_weight": count.saved if has_two else 0}
        groups = {group: stored.groups.get(group, 0) - expected.get(group, 0) for group in stored.groups | expected}
        told += f" ({', '.join(f'{group} {number:+,}' for group, number in groups.items() if number)})"
    if asked is not None and placed is None:
        told += "; its tensors have other names than those of the class, so these alone tell what is what"
    further = [] if placed is None else [name for name in checkpoint.parameters if name not in placed.places]
    missing = [] if placed is None else checkpoint.missing
    return (
        *([f"packed weights counted by its configuration: {checkpoint.packed}"] if checkpoint.packed else []),
        told,
        *([f"not of the class: {listed(further)}"] if further else []),
        *([f"of the class and not in the file: {listed(missing)}"] if missing else []),
    )


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

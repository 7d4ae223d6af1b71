"""What the class of `transformers` that a configuration names says of its model: the first witness of every count.

The class is built on PyTorch's meta device, which holds no numbers. It tells which tensors are parameters and which
are buffers, where the output matrix is, and what it is tied to under this configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tiedlm.counting.built.configured_class import build_class, building, libraries, read_configuration
from tiedlm.counting.built.output_heads import Head, find_heads, word_table
from tiedlm.counting.built.routed_experts import find_routing
from tiedlm.counting.closed_forms.configuration import (
    TIE_KEY,
    NoWords,
    default_of,
    flag_words,
    named_class,
    stated_places,
    with_flag,
)
from tiedlm.counting.closed_forms.parameters import ParameterCount, order_groups
from tiedlm.counting.stored.placed_names import Place, PlacedNames

RELEASED_UNTIED = {
    "mistral3": "mistralai/Mistral-Small-3.1-24B-Base-2503, whose files hold language_model.lm_head.weight",
}
"""Families whose classes of `transformers` 5 tie where no flag stands, and whose models were released otherwise."""


@dataclass(frozen=True)
class TieSource:
    """Whether a class ties, and who says so."""

    ties: bool | None
    """None where it has no head."""
    who: str | None
    is_forced: bool = False
    """Whether the class ties though its configuration says that it does not (T5)."""
    is_silent: bool = False
    """Whether the default of a class decides."""


@dataclass(frozen=True)
class AskedClass:
    """A model without numbers."""

    count: ParameterCount
    tie: TieSource
    is_named: bool
    """Whether the configuration names this class, or one of its family was taken for another name."""
    model: Any
    heads: tuple[Head, ...]
    library: str
    """`transformers 5.24.0`."""

    def place(self, names: Iterable[str]) -> PlacedNames:
        """Where the class puts the tensors of a file, renamed as `from_pretrained` does.

        Source: `transformers`, core_model_loading.py, convert_and_load_state_dict_in_model.
        """
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        first = {id(parameter): name for name, parameter in self.model.named_parameters()}
        buffers = {name for name, _ in self.model.named_buffers(remove_duplicate=False)}
        known = dict.fromkeys(parameters.keys() | buffers, True)
        renamed = _Renaming(self.model, known)
        places, asides = {}, {}
        modules = {name.rpartition(".")[0] for name in parameters}
        for name in names:
            found, is_part = renamed.name_in_class(name)
            if found in parameters:
                places[name] = Place(found, first[id(parameters[found])], is_part)
            elif found in buffers:
                places[name] = Place(found, None)
            else:
                carried, module = _carried(found, parameters), found.rpartition(".")[0]
                if carried is not None or module in modules:
                    asides[name] = module if carried is None else first[id(parameters[carried])]
        tables = [head.table for head in self.heads[:1] if head.table is not None] or [word_table(self.model)]
        outputs = {id(head.output) for head in self.heads[:1]}
        paths = self.model.named_modules(remove_duplicate=False)
        out_names = {f"{path}.weight" for path, module in paths if id(module) in outputs}
        in_names = {name for name, parameter in parameters.items() if any(parameter is table for table in tables)}
        sizes = {name: parameter.numel() for name, parameter in self.model.named_parameters()}
        return PlacedNames(places, asides, frozenset(in_names - out_names), frozenset(out_names), sizes)


def _carried(name: str, parameters: Mapping[str, Any]) -> str | None:
    """The parameter at which a name begins that quantisation adds: `X.weight_scale` → `X.weight`."""
    ends = [place for place, letter in enumerate(name) if letter in ".:_"]
    return next((name[:end] for end in reversed(ends) if name[:end] in parameters), None)


class _Renaming:
    """The names of a class for those of its files."""

    def __init__(self, model: Any, known: dict[str, bool]) -> None:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

        mapping = get_model_conversion_mapping(model)
        self.renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        self.converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
        self.rename, self.prefix, self.known = rename_source_key, model.base_model_prefix, known

    def name_in_class(self, name: str) -> tuple[str, bool]:
        """The name, and whether what it names is a piece of the parameter."""
        renamed, pattern = self.rename(name, self.renamings, self.converters, self.prefix, self.known)
        if renamed not in self.known and name in self.known:
            renamed, pattern = self.rename(name, [], [], self.prefix, self.known)
        return renamed, pattern is not None


def ask_class(name: str, raw: Mapping[str, Any]) -> AskedClass:
    """Build the model of a configuration and ask it.

    No code of a repository is run, whatever the configuration says.

    Raises:
        NoWords: its class has no word embeddings.
        InputError: `transformers` is not installed, does not know the model, or cannot build it.
    """
    torch, transformers = libraries(name, raw)
    with building(name, transformers):
        model = build_class(raw, torch, transformers)
        heads = find_heads(model)
        table = heads[0].table if heads else word_table(model)
    if table is None:
        total = sum(parameter.numel() for parameter in model.parameters())
        raise NoWords(
            f"{name}: {type(model).__name__} has {total:,} parameters and no word embeddings, so there is no tie to "
            "speak of; give a language model"
        )
    with building(name, transformers):
        tie = _tie_source(model, heads, raw, transformers)
        count = _count(name, model, heads, table, tie, raw)
        is_named = type(model).__name__ == named_class(raw) or named_class(raw) is None
    return AskedClass(count, tie, is_named, model, tuple(heads), f"transformers {transformers.__version__}")


def sizes_of(name: str, raw: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str], dict[str, int]]:
    """Of the part with the words: the keys that lead to it, its own names of usual sizes, and all its whole numbers.

    Raises:
        InputError: as `ask_class`.
    """
    _, transformers = libraries(name, raw)
    with building(name, transformers):
        config = read_configuration(raw, transformers)
        words = config.get_text_config()
        sizes = {key: value for key, value in words.to_dict().items() if type(value) is int}
    return _place_of(config, words), dict(words.attribute_map), sizes


def _tie_source(model: Any, heads: list[Head], raw: Mapping[str, Any], transformers: Any) -> TieSource:
    name = type(model).__name__
    if not heads:
        is_by_construction = _predicts_words(model, transformers)
        who = f"{name}, whose head has no output matrix of its own" if is_by_construction else None
        return TieSource(True if is_by_construction else None, who)
    ties, decider = all(head.is_tied for head in heads), heads[0].decider
    if decider is None:
        return TieSource(ties, f"{name}, which {'always' if ties else 'never'} ties")
    path = next(path for path, module in model.named_modules() if module is decider)
    place, flag = _place_of(model.config, decider.config, path), getattr(decider.config, TIE_KEY, None)
    stated = stated_places(raw)
    for where, value in stated:
        if _flag_where(with_flag(raw, where, not value), place, transformers) != flag:
            return TieSource(ties, flag_words(where))
    all_off: Mapping[str, Any] = raw
    for where, _ in stated:
        all_off = with_flag(all_off, where, False)
    if stated and ties and not _flag_where(all_off, place, transformers):  # any of several ties (LLaVA)
        return TieSource(ties, " or ".join(flag_words(where) for where, value in stated if value))
    if ties and (place, False) in stated:
        return TieSource(ties, flag_words(place), is_forced=True)
    who = default_of(type(decider.config).__name__, transformers.__version__, bool(stated))
    if not stated and raw["model_type"] in RELEASED_UNTIED:
        who = f"{RELEASED_UNTIED[raw['model_type']]}, against {who}"
    return TieSource(ties, who, is_silent=not stated)


def _predicts_words(model: Any, transformers: Any) -> bool:
    """Whether a class without an output matrix is a language model all the same (Perceiver)."""
    tables = transformers.models.auto.modeling_auto
    kinds = (tables.MODEL_FOR_MASKED_LM_MAPPING_NAMES, tables.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    return any(type(model).__name__ in kind.values() for kind in kinds)


def _place_of(config: Any, wanted: Any, path: str = "") -> tuple[str, ...]:
    """The keys that lead to a configuration inside another.

    Some models copy theirs: then one of its class, and of several that whose key is in the model's `path`.
    """
    places = list(_inner(config))
    alike = [place for place, inner in places if type(inner) is type(wanted)]
    named = [place for place in alike if set(place) & set(path.split("."))]
    return next(iter([place for place, inner in places if inner is wanted] or named or alike), ())


def _inner(config: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A configuration and those inside it, by the keys that lead to each."""
    yield (), config
    for key, value in vars(config).items():
        if hasattr(value, "model_type"):
            yield from (((key, *place), inner) for place, inner in _inner(value))


def _flag_where(raw: Mapping[str, Any], place: tuple[str, ...], transformers: Any) -> bool | str | None:
    """The flag of a configuration inside another; that it is refused, where the class refuses its value (DBRX)."""
    try:
        config = read_configuration(raw, transformers)
    except Exception as error:  # whatever one of hundreds of classes raises
        return str(error)
    for key in place:
        config = getattr(config, key)
    return getattr(config, TIE_KEY, None)


def _count(
    name: str, model: Any, heads: list[Head], table: Any, tie: TieSource, raw: Mapping[str, Any]
) -> ParameterCount:
    total = sum(parameter.numel() for parameter in model.parameters())
    head = heads[0] if heads else None
    ties, other_totals = tie.ties, {}
    output = None if head is None or head.is_tied else head.output.weight
    if head is not None and head.is_tied:
        if tie.is_forced:  # what was trained untied, as T5 v1.1
            other_totals["built from its configuration by transformers, whose class ties whatever it says"] = total
        elif tie.is_silent and raw["model_type"] in RELEASED_UNTIED:
            other_totals["built by transformers from its configuration, whose class ties where no flag stands"] = total
        if other_totals:
            ties, total, output = False, total + table.numel(), table
    vocab_size, width = table.shape
    return ParameterCount(
        name,
        vocab_size,
        _hidden_size(model.config, width),
        width,
        ties,
        _groups(total, table, output, None if head is None else getattr(head.output, "bias", None)),
        type(model).__name__,
        tie.who,
        other_totals=other_totals,
        has_head=tie.ties is not None,
        output_shape=None if head is None or head.can_tie else tuple(head.output.weight.shape),
        num_tables=len({id(head.table) for head in heads}),
        routing=find_routing(model),
    )


def _hidden_size(config: Any, width: int) -> int:
    try:
        words = config.get_text_config(decoder=True)
    except ValueError:  # of two models that read words (MusicGen)
        return width
    return getattr(words, "hidden_size", width)


def _groups(total: int, weight: Any, output: Any, bias: Any) -> dict[str, int]:
    """The matrices and the bias over the vocabulary; all else is not told apart."""
    groups = {
        "word_embeddings": weight.numel(),
        "decoder_bias": 0 if bias is None else bias.numel(),
        "decoder_weight": 0 if output is None else output.numel(),
    }
    return order_groups(groups | {"other": total - sum(groups.values())})

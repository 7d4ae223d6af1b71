"""Counting a model of any family: `transformers` builds it on PyTorch's meta device, which holds no numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tiedlm.counting.built.build_limits import check_cheaply, module_budget, unknown_family
from tiedlm.counting.built.routed_experts import find_routing
from tiedlm.counting.closed_forms.configuration import (
    INNER_KEYS,
    TIE_KEY,
    default_of,
    has_output_matrix,
    stated_tie,
)
from tiedlm.counting.closed_forms.parameters import ParameterCount, order_groups
from tiedlm.counting.stored.tensor_kinds import Layout
from tiedlm.errors import InputError

# What runs code of others, or costs time and decides no parameter of a language model.
DROPPED_KEYS = ("auto_map", "quantization_config", "num_labels", "id2label", "label2id")
DROPPED_ENDS = ("_implementation", "_dtype", "_kernel", "_kernels")


@dataclass(frozen=True)
class BuiltModel:
    """A model without numbers."""

    count: ParameterCount
    layout: Layout


def count_built(name: str, raw: Mapping[str, Any], reason: str) -> BuiltModel:
    """Build and count a model that has no closed form; `reason` says why it has none.

    No code of a repository is run, whatever the configuration says.

    Raises:
        InputError: `transformers` is not installed, does not know the model, or cannot build it.
    """
    check_cheaply(name, raw)
    torch, transformers = _libraries(name, raw, reason)
    with _builds(name, reason):
        config = _configuration(raw, transformers)
        who, default_ties = _decide_tie(config, raw, transformers.__version__)
        with torch.device("meta"), module_budget(torch):
            model = _model_class(config, transformers)(config)
        model.tie_weights()
        embedding, output = _matrices(model, config)
        layout = Layout() if embedding is None else _layout(model, embedding, output)
    if embedding is None:
        raise InputError(f"{name}: {type(model).__name__} has no embedding matrix of words; give a language model")
    return BuiltModel(_built_count(name, model, embedding, output, raw, who, default_ties), layout)


def sizes_of(name: str, raw: Mapping[str, Any], reason: str) -> tuple[dict[str, str], dict[str, int]]:
    """A configuration's own keys of usual sizes, and all its whole numbers, defaults too: of the part with the words.

    Raises:
        InputError: as `count_built`.
    """
    check_cheaply(name, raw)
    _, transformers = _libraries(name, raw, reason)
    with _builds(name, reason):
        words = _configuration(raw, transformers).get_text_config()
    sizes = {key: value for key, value in words.to_dict().items() if type(value) is int}
    return dict(words.attribute_map), sizes


def _libraries(name: str, raw: Mapping[str, Any], reason: str) -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(
            f"{name}: there is no closed form for {reason}, and building the model needs transformers; "
            "pip install 'tiedlm[hf]'"
        ) from error
    if raw["model_type"] not in transformers.CONFIG_MAPPING:
        raise unknown_family(name, raw, f"transformers {transformers.__version__}")
    return torch, transformers


def _configuration(raw: Mapping[str, Any], transformers: Any) -> Any:
    options = {key: value for key, value in harmless(raw).items() if key != "model_type"}
    return transformers.AutoConfig.for_model(raw["model_type"], **options, attn_implementation="eager")


@contextmanager
def _builds(name: str, reason: str) -> Iterator[None]:
    """Quiet, and with a sentence for whatever a stranger's values set off in any of hundreds of classes."""
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            yield
        except Exception as error:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise InputError(
                f"{name}: there is no closed form for {reason}, and transformers {transformers.__version__} cannot "
                f"build it ({told}); correct it, or install what it needs"
            ) from error


def _decide_tie(config: Any, raw: Mapping[str, Any], version: str) -> tuple[str, bool | None]:
    """Who says whether it ties; and what the class's own default is, where that was overruled.

    A model of several parts without a flag is as its language model is: so it was when those were released, and their
    classes' own flag came later (`transformers` 5).
    """
    stated = stated_tie(raw)
    default = getattr(config, TIE_KEY, None)
    if stated is not None:
        if not isinstance(raw.get(TIE_KEY), bool):
            setattr(config, TIE_KEY, stated[0])
        is_silent = not isinstance(raw.get(TIE_KEY), bool) and isinstance(default, bool)
        return stated[1], default if is_silent and default != stated[0] else None
    for key in INNER_KEYS:
        inner = getattr(config, key, None)
        inner_default = getattr(inner, TIE_KEY, None)
        if isinstance(raw.get(key), Mapping) and isinstance(inner_default, bool):
            setattr(config, TIE_KEY, inner_default)
            who = default_of(f"{type(inner).__name__}, its {key},", version)
            return who, None if default == inner_default else default
    return default_of(type(config).__name__, version), None


def _model_class(config: Any, transformers: Any) -> Any:
    """The class that the configuration names, if it is one with a language-model head; else the one for its type."""
    for architecture in config.architectures or []:
        named = getattr(transformers, architecture, None) if isinstance(architecture, str) else None
        if named is not None and has_output_matrix(architecture):
            return named
    mappings = transformers.models.auto.modeling_auto
    kinds = ["MASKED_LM", "CAUSAL_LM"]
    both = ["SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM"]
    # An encoder–decoder has a causal class too, of its decoder alone; it is not the model.
    for kind in both + kinds if getattr(config, "is_encoder_decoder", False) else kinds + both:
        mapping = getattr(mappings, f"MODEL_FOR_{kind}_MAPPING", {})
        if type(config) in mapping:
            return mapping[type(config)]
    raise ValueError(f"{type(config).__name__} has no class with a language-model head")


def _matrices(model: Any, config: Any) -> tuple[Any, Any]:
    """The embedding matrix and the output module, or what multiplies like one: the only other matrix of V rows."""
    try:
        module = model.get_input_embeddings()
    except NotImplementedError:
        module = None
    output = model.get_output_embeddings()
    output = output if hasattr(output, "weight") else None
    tables = [inner for inner in model.modules() if getattr(getattr(inner, "weight", None), "ndim", 0) == 2]
    rows = [getattr(config.get_text_config(), "vocab_size", None), *(output.weight.shape[:1] if output else ())]
    tall = [inner for inner in tables if inner.weight.shape[0] == rows[-1]]
    if not hasattr(module, "weight"):
        module = next((inner for inner in tall if "Embedding" in type(inner).__name__), None)
    if output is None or "Embedding" in type(output).__name__:  # as of FSMT: a table that looks up
        output = next((inner for inner in tall if "Linear" in type(inner).__name__), None)
    weight = None if module is None else module.weight
    users = sum(inner.weight is output.weight for inner in model.modules() if hasattr(inner, "weight")) if output else 0
    # Two encoders' tables may differ, as of T5Gemma; the tie is of the one that the output shares.
    return output.weight if users > 1 else weight, output


def _built_count(
    name: str,
    model: Any,
    weight: Any,
    output: Any,
    raw: Mapping[str, Any],
    who: str,
    default_ties: bool | None,
) -> ParameterCount:
    total = sum(parameter.numel() for parameter in model.parameters())
    by_construction = output is None
    can_tie = by_construction or output.weight.shape == weight.shape
    is_tied = by_construction or output.weight is weight
    other_totals = {}
    stated = stated_tie(raw)
    if default_ties is not None and can_tie and not by_construction:
        verb = "ties" if default_ties else "does not tie"
        other_totals[f"built by transformers from its configuration, whose class {verb} where no flag stands"] = (
            total + (-weight.numel() if default_ties else weight.numel())
        )
    if is_tied and not by_construction and stated is not None and not stated[0]:
        # as of T5: the class ties what was trained untied
        other_totals["built from its configuration by transformers, whose class ties whatever it says"] = total
        is_tied, total = False, total + weight.numel()
    vocab_size, width = weight.shape
    return ParameterCount(
        name,
        vocab_size,
        getattr(model.config.get_text_config(), "hidden_size", width),
        width,
        is_tied,
        _groups(total, weight, None if is_tied else output.weight, getattr(output, "bias", None)),
        type(model).__name__,
        "its class, whose head has no output matrix of its own" if by_construction else who,
        other_totals=other_totals,
        output_shape=None if can_tie else tuple(output.weight.shape),
        routing=find_routing(model),
    )


def _groups(total: int, weight: Any, output: Any, bias: Any) -> dict[str, int]:
    """The matrices and the bias over the vocabulary; all else is not told apart."""
    groups = {
        "word_embeddings": weight.numel(),
        "decoder_bias": 0 if bias is None else bias.numel(),
        "decoder_weight": 0 if output is None else output.numel(),
    }
    return order_groups(groups | {"other": total - sum(groups.values())})


def _layout(model: Any, weight: Any, output: Any) -> Layout:
    """Its names in the model, and in files, for which `transformers` gives some tensors other names."""
    modules = model.named_modules(remove_duplicate=False)
    outputs = {f"{path}.weight".lstrip(".") for path, module in modules if module is output}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    inputs = {name for name, parameter in parameters.items() if parameter is weight} - outputs
    # Experts are stored one by one and built as one tensor; no name of theirs is asked for.
    few = {name: parameter for name, parameter in parameters.items() if parameter.ndim <= 2}
    buffers = dict(model.named_buffers(remove_duplicate=False))
    return Layout(
        frozenset(inputs | _names_in_files(model, {name: parameters[name] for name in inputs})),
        frozenset(outputs | _names_in_files(model, {name: parameters[name] for name in outputs})),
        frozenset(parameters.keys() | _names_in_files(model, few)),
        frozenset(buffers.keys() | _names_in_files(model, buffers)),
    )


def _names_in_files(model: Any, tensors: Mapping[str, Any]) -> set[str]:
    from transformers import core_model_loading  # since 5.0; its conversions are undone when a model is saved

    return set(core_model_loading.revert_weight_conversion(model, dict(tensors)))


def harmless(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration and those inside it, without keys that are private or choose code."""
    return {
        key: harmless(value) if isinstance(value, Mapping) else value
        for key, value in raw.items()
        if not key.startswith("_") and not key.endswith(DROPPED_ENDS) and key not in DROPPED_KEYS
    }

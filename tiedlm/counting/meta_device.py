"""Counting a model of any family: `transformers` builds it on PyTorch's meta device, which holds no numbers."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiedlm.counting.blueprint import ConfigReader
from tiedlm.counting.parameters import HEADS, ParameterCount, order_groups
from tiedlm.errors import InputError

COMMON_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
LAYERS_KEYS = ("layer", "depth", "block", "stage", "group")
MAX_LAYERS, MAX_MODULES = 2_000, 100_000
"""Layers times experts: a model is built module by module, which takes time."""
# What runs code of others, or costs time and decides no parameter of a language model.
DROPPED_KEYS = ("auto_map", "quantization_config", "num_labels", "id2label", "label2id")
DROPPED_ENDS = ("_implementation", "_dtype", "_kernel", "_kernels")
TWO_MODELS = ("encoder-decoder", "speech-encoder-decoder", "vision-encoder-decoder")


def count_built(name: str, raw: Mapping[str, Any], reason: str) -> ParameterCount:
    """Build and count a model that has no closed form; `reason` says why it has none.

    No code of a repository is run, whatever the configuration says.

    Raises:
        InputError: `transformers` is not installed, does not know the model, or cannot build it.
    """
    _check_cheaply(name, raw)
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(
            f"{name}: there is no closed form for {reason}, and building the model needs transformers; "
            "pip install 'tiedlm[hf]'"
        ) from error
    options = {key: value for key, value in _harmless(raw).items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            config = transformers.AutoConfig.for_model(raw["model_type"], **options, attn_implementation="eager")
            with torch.device("meta"):
                model = _model_class(config, transformers)(config)
            model.tie_weights()
            word_embeddings, decoder = model.get_input_embeddings(), model.get_output_embeddings()
        except Exception as error:  # whatever a stranger's values set off in any of hundreds of classes
            raise InputError(
                f"{name}: there is no closed form for {reason}, and transformers {transformers.__version__} cannot "
                f"build it ({type(error).__name__}: {' '.join(str(error).split())[:200]}); correct it, or install what "
                "it needs"
            ) from error
    if word_embeddings is None or decoder is None:
        raise InputError(
            f"{name}: {type(model).__name__} has no output matrix over a vocabulary; give a language model"
        )
    return _count(name, model, word_embeddings.weight, decoder, raw.get("tie_word_embeddings"))


def _check_cheaply(name: str, raw: Mapping[str, Any]) -> None:
    """Refuse what could not be built anyway, before the seconds that the libraries take to import."""
    reader = ConfigReader(raw, name)
    for key in COMMON_SIZES:
        if raw.get(key) is not None:
            reader.size(key, 1)
    if raw["model_type"] in TWO_MODELS:
        raise InputError(f"{name}: holds two models, each with embeddings of its own; give the config.json of one")
    layers = max([1, *(value for key, value in _numbers(raw) if any(part in key for part in LAYERS_KEYS))])
    experts = max([1, *(value for key, value in _numbers(raw) if "expert" in key)])
    if layers > MAX_LAYERS or layers * experts > MAX_MODULES:
        raise InputError(f"{name}: {layers:,} layers × {experts:,} experts are too many to build; correct them")
    spec = importlib.util.find_spec("transformers") if "transformers" not in sys.modules else None
    if spec is not None and spec.origin is not None:
        tables = Path(spec.origin).parent.glob("models/auto/*.py")
        named = "".join(table.read_text(encoding="utf-8") for table in tables)
        if '"bert"' in named and f'"{raw["model_type"]}"' not in named:
            raise InputError(f"{name}: model_type={raw['model_type'][:60]!r} is not known to transformers; correct it")


def _model_class(config: Any, transformers: Any) -> Any:
    """The class that the configuration names, if it is one with a language-model head; else the one for its type."""
    for architecture in config.architectures or []:
        named = getattr(transformers, architecture, None) if isinstance(architecture, str) else None
        if named is not None and architecture.endswith(HEADS):
            return named
    mappings = transformers.models.auto.modeling_auto
    for mapping in (
        mappings.MODEL_FOR_MASKED_LM_MAPPING,
        mappings.MODEL_FOR_CAUSAL_LM_MAPPING,
        mappings.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    ):
        if type(config) in mapping:
            return mapping[type(config)]
    raise ValueError(f"{type(config).__name__} has no class with a language-model head")


def _count(name: str, model: Any, weight: Any, decoder: Any, config_ties: object) -> ParameterCount:
    total = sum(parameter.numel() for parameter in model.parameters())
    is_tied = decoder.weight is weight
    other_totals = {}
    if is_tied and config_ties is False:  # as of T5: the class ties what was trained untied
        other_totals["built from its configuration by transformers, whose class ties whatever it says"] = total
        is_tied, total = False, total + weight.numel()
    bias = 0 if getattr(decoder, "bias", None) is None else decoder.bias.numel()
    groups = {"word_embeddings": weight.numel(), "decoder_weight": 0 if is_tied else decoder.weight.numel()}
    groups |= {"decoder_bias": bias}
    groups["other"] = total - sum(groups.values())
    vocab_size, width = weight.shape
    if decoder.weight.shape != weight.shape:
        raise InputError(
            f"{name}: the embedding matrix is {tuple(weight.shape)} and the output matrix "
            f"{tuple(decoder.weight.shape)}, so they cannot be tied; {total:,} parameters"
        )
    hidden_size = getattr(model.config.get_text_config(), "hidden_size", width)
    return ParameterCount(
        name,
        vocab_size,
        hidden_size,
        width,
        is_tied,
        order_groups(groups),
        type(model).__name__,
        other_totals=other_totals,
    )


def _harmless(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration and those inside it, without keys that are private or choose code."""
    return {
        key: _harmless(value) if isinstance(value, Mapping) else value
        for key, value in raw.items()
        if not key.startswith("_") and not key.endswith(DROPPED_ENDS) and key not in DROPPED_KEYS
    }


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for inner_key, inner in value.items():
            yield from _numbers(inner, str(inner_key))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int):
        yield key, value

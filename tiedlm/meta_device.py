"""Counting a model of any family: `transformers` builds it on PyTorch's meta device, which holds no numbers."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiedlm.blueprint import ConfigReader
from tiedlm.counting import ParameterCount, order_groups
from tiedlm.errors import InputError

MAX_MODULES = 2_000
"""Of layers, blocks or experts: a model is built module by module, which takes time."""
COMMON_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
BUILT_BY_KEY = ("layer", "depth", "block", "expert", "stage", "group")


def count_built(name: str, raw: Mapping[str, Any], reason: str) -> ParameterCount:
    """Build and count a model that has no closed form; `reason` says why it has none.

    No code of a repository is run, whatever `auto_map` says.

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
    options = {key: value for key, value in raw.items() if key not in ("model_type", "auto_map")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            config = transformers.AutoConfig.for_model(raw["model_type"], **options)
            with torch.device("meta"):
                model = _model_class(config, transformers)(config)
            model.tie_weights()
            word_embeddings, decoder = model.get_input_embeddings(), model.get_output_embeddings()
        except Exception as error:  # whatever a stranger's values set off in any of hundreds of classes
            raise InputError(
                f"{name}: there is no closed form for {reason}, and transformers {transformers.__version__} cannot "
                f"build it ({type(error).__name__}: {' '.join(str(error).split())[:200]}); correct the configuration"
            ) from error
    if word_embeddings is None or decoder is None:
        raise InputError(
            f"{name}: {type(model).__name__} has no output matrix over a vocabulary; give a language model"
        )
    return _count(name, model, word_embeddings.weight, decoder)


def _check_cheaply(name: str, raw: Mapping[str, Any]) -> None:
    """Refuse what could not be built anyway, before the seconds that the libraries take to import."""
    reader = ConfigReader(raw, name)
    for key in COMMON_SIZES:
        if raw.get(key) is not None:
            reader.size(key, 1)
    for key, value in _numbers(raw):
        if value > MAX_MODULES and any(part in key for part in BUILT_BY_KEY):
            raise InputError(f"{name}: {key}={value} is over {MAX_MODULES:,}, too many to build; correct it")
    spec = importlib.util.find_spec("transformers") if "transformers" not in sys.modules else None
    if spec is not None and spec.origin is not None:
        tables = Path(spec.origin).parent.glob("models/auto/*.py")
        named = "".join(table.read_text(encoding="utf-8") for table in tables)
        if '"bert"' in named and f'"{raw["model_type"]}"' not in named:
            raise InputError(f"{name}: model_type={raw['model_type'][:60]!r} is not known to transformers; correct it")


def _model_class(config: Any, transformers: Any) -> Any:
    """The class that the configuration names, if it is one with a language-model head; else the one for its type."""
    for architecture in config.architectures or []:
        named = getattr(transformers, architecture, None)
        if named is not None and hasattr(named, "get_output_embeddings") and not architecture.endswith("Model"):
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


def _count(name: str, model: Any, weight: Any, decoder: Any) -> ParameterCount:
    total = sum(parameter.numel() for parameter in model.parameters())
    is_tied = decoder.weight is weight
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
    return ParameterCount(name, vocab_size, hidden_size, width, is_tied, order_groups(groups), type(model).__name__)


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for inner_key, inner in value.items():
            yield from _numbers(inner, str(inner_key))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int):
        yield key, value

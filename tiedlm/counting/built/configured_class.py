"""A stranger's configuration as the class that it names reads it, and that class without numbers.

No key is left out by the form of its name. What chooses code, and never a parameter, is left out by its whole name, and
what would take long to build is refused by its value (`build_limits`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tiedlm.counting.built.build_limits import check_cheaply, module_budget, unknown_family
from tiedlm.counting.closed_forms.configuration import named_class
from tiedlm.errors import InputError

CODE_KEYS = frozenset(
    (
        "auto_map",
        "custom_pipelines",
        "quantization_config",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_attn_implementation_autoset",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
    )
)
"""Which code computes, and in which form numbers are stored (`transformers`, configuration_utils.py)."""
LANGUAGE_KINDS = ("MASKED_LM", "CAUSAL_LM")
BOTH_STACKS = ("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM")
"""Tables of `transformers` (modeling_auto.py) from a configuration's class to a model's."""


class NotInstalled(InputError):
    """There is no `transformers` to ask."""


def harmless(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration and those inside it, without what chooses code."""
    return {
        key: harmless(value) if isinstance(value, Mapping) else value
        for key, value in raw.items()
        if key not in CODE_KEYS
    }


def libraries(name: str, raw: Mapping[str, Any]) -> tuple[Any, Any]:
    """`torch` and `transformers`, once the configuration is one that can be built.

    Raises:
        InputError: they are not installed, do not know the family, or it would take too long.
    """
    check_cheaply(name, raw)
    try:
        import torch
        import transformers
    except ImportError as error:
        raise NotInstalled(
            f"{name}: there is no closed form for model_type={raw['model_type'][:60]!r}, and building the model needs "
            "transformers; pip install 'tiedlm[hf]'"
        ) from error
    if raw["model_type"] not in transformers.CONFIG_MAPPING:
        raise unknown_family(name, raw, f"transformers {transformers.__version__}")
    return torch, transformers


@contextmanager
def building(name: str, transformers: Any) -> Iterator[None]:
    """Quiet, and with a sentence for whatever a stranger's values set off in any of hundreds of classes.

    Raises:
        InputError: the class raises anything.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()
        try:
            yield
        except Exception as error:
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise InputError(
                f"{name}: transformers {transformers.__version__} cannot build it ({told}); correct it, or install "
                "what it needs"
            ) from error


def read_configuration(raw: Mapping[str, Any], transformers: Any) -> Any:
    """As `from_pretrained` reads it, which computes attention by plain code."""
    family = transformers.CONFIG_MAPPING[raw["model_type"]]
    return family.from_dict(harmless(raw), attn_implementation="eager")


def build_class(raw: Mapping[str, Any], torch: Any, transformers: Any) -> Any:
    """The model on PyTorch's meta device, which holds no numbers, its matrices tied as its class ties them."""
    config = read_configuration(raw, transformers)
    with torch.device("meta"), module_budget(torch):
        model = model_class(config, raw, transformers)(config)
    model.tie_weights()
    return model


def model_class(config: Any, raw: Mapping[str, Any], transformers: Any) -> Any:
    """The class that the configuration names; where it names none that is known, the language model of its family."""
    named = getattr(transformers, named_class(raw) or "", None)
    if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
        return named
    mappings = transformers.models.auto.modeling_auto
    # An encoder–decoder has a causal class too, of its decoder alone; it is not the model.
    is_both = getattr(config, "is_encoder_decoder", False)
    for kind in (*BOTH_STACKS, *LANGUAGE_KINDS) if is_both else (*LANGUAGE_KINDS, *BOTH_STACKS):
        mapping = getattr(mappings, f"MODEL_FOR_{kind}_MAPPING", {})
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise ValueError(f"{type(config).__name__} has no class with a language-model head")

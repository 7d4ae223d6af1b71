"""What a `config.json` says beside its sizes: its class, who decides the tie, and whether its code is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiedlm.errors import InputError, printable

HEADS = (
    "ForMaskedLM",
    "ForCausalLM",
    "LMHeadModel",
    "ForConditionalGeneration",
    "ModelWithLMHead",
    "MTModel",
    "ForTextToText",
    "ForSpeechToText",
    "GenerationDecoder",
    "DoubleHeadsModel",
)
"""How the names of classes with an output matrix end in `transformers`."""
PRETRAINED_WITH_HEAD = tuple(
    f"{family}ForPreTraining"
    for family in (
        "Albert Bert BigBird Ernie FNet Lxmert MegatronBert MobileBert Nezha QDQBert RoCBert VisualBert".split()
    )
)
"""The others of that ending are discriminators, or predict no words (`ElectraForPreTraining`)."""
INNER_KEYS = ("text_config", "llm_config", "language_config", "decoder", "generator", "thinker_config")
"""Where the language model stands in the configuration of a model of several parts."""
TIE_KEY = "tie_word_embeddings"


class OwnCode(InputError):
    """The model is built by code of its repository, which nobody here runs."""


def has_output_matrix(architecture: str) -> bool:
    """Whether a class predicts words, by its name."""
    return architecture.endswith(HEADS) or architecture in PRETRAINED_WITH_HEAD


def named_class(raw: Mapping[str, Any]) -> str | None:
    """The class that the weights were saved from."""
    named = raw.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else None


def stated_tie(raw: Mapping[str, Any]) -> tuple[bool, str] | None:
    """The outermost flag that stands there, and where; None where a class's default decides."""
    for place, table in _tables(raw):
        if isinstance(table.get(TIE_KEY), bool):
            return table[TIE_KEY], f"{place}{TIE_KEY} in its configuration"
    return None


def default_of(class_name: str, version: str = "5") -> str:
    """Who decides where no flag stands."""
    return f"the default of {class_name} in transformers {version} (its configuration has no {TIE_KEY})"


def check_own_code(raw: Mapping[str, Any], source: str) -> None:
    """Refuse a model whose `auto_map` names a class of its own: it may be any model, whatever its `model_type`.

    Raises:
        OwnCode: it does.
    """
    code = own_code(raw)
    if code:
        raise OwnCode(
            f"{source}: behind model_type={str(raw.get('model_type'))[:60]!r} stands code of its own (auto_map: "
            f"{printable(code[:80])}), which is not run, so only its stored tensors tell its parameters; give its "
            ".safetensors file"
        )


def own_code(raw: Mapping[str, Any]) -> str | None:
    """The class outside `transformers` that `auto_map` names, if one is a model's or a configuration's."""
    for _, table in _tables(raw):
        auto_map = table.get("auto_map")
        if isinstance(auto_map, Mapping):
            for key in sorted(map(str, auto_map), reverse=True):  # a model before its configuration
                if auto_map.get(key) and (key.startswith("AutoModel") or key == "AutoConfig"):
                    return str(auto_map[key])
    return None


def _tables(raw: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "", raw
    for key in INNER_KEYS:
        if isinstance(raw.get(key), Mapping):
            for place, table in _tables(raw[key]):
                yield f"{key}.{place}", table

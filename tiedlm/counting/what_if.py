"""The same model with another vocabulary, width or embedding width: what tying would save of it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiedlm.counting.closed_forms.blueprint import NoClosedForm
from tiedlm.counting.closed_forms.configuration import check_own_code
from tiedlm.counting.closed_forms.parameters import ParameterCount, count_config
from tiedlm.errors import InputError

SIZES = ("vocab_size", "hidden_size", "embedding_size")
NUMBER = r"[1-9]\d{0,9}(?:_\d{3}){0,3}"
MAX_MODELS, MAX_BUILT = 1_000, 50
"""Of closed forms, and of models that are built."""
WIDTH_KEY = re.compile(
    r"\w*(intermediate_size|ffn_dim|ffn_hidden_size|head_dim)|d_ff|dff|d_inner|n_inner|dim_ff|d_kv|d_head"
)
"""Of what is in proportion to the hidden size in the families of `transformers`."""
# The names of these sizes, where a family has its own.
HUB_KEYS = {
    "distilbert": {"hidden_size": "dim", "intermediate_size": "hidden_dim", "num_attention_heads": "n_heads"},
    "gpt2": {"hidden_size": "n_embd", "intermediate_size": "n_inner", "num_attention_heads": "n_head"},
    "t5": {"hidden_size": "d_model", "intermediate_size": "d_ff", "head_dim": "d_kv"},
    "mt5": {"hidden_size": "d_model", "intermediate_size": "d_ff", "head_dim": "d_kv"},
    "opt": {"intermediate_size": "ffn_dim", "embedding_size": "word_embed_proj_dim"},
}
# Families that can factorise the embeddings; BERT and RoBERTa do it as ELECTRA does, which is BERT where E = H.
FACTORISED = {"albert": "albert", "electra": "electra", "deberta-v2": "deberta-v2", "opt": "opt"}
FACTORISED |= {"bert": "electra", "roberta": "electra", "xlm-roberta": "electra", "camembert": "electra"}


def parse_what_if(options: Sequence[str]) -> dict[str, list[int]]:
    """`["vocab_size=8000,16000"]` → the sizes to try.

    Raises:
        InputError: an option is not of that form, or there are too many models.
    """
    wanted: dict[str, list[int]] = {}
    for option in options:
        matched = re.fullmatch(rf"({'|'.join(SIZES)})=({NUMBER}(?:,{NUMBER})*)", option)
        if not matched:
            raise InputError(
                f"--what-if {option[:60]!r} is not of the form SIZE=N,N,… with SIZE one of {', '.join(SIZES)}; "
                "write e.g. --what-if vocab_size=8000,32000"
            )
        wanted.setdefault(matched[1], []).extend(int(number) for number in matched[2].split(","))
    if math.prod(map(len, wanted.values())) > MAX_MODELS:
        raise InputError(f"--what-if asks for over {MAX_MODELS:,} models; give fewer sizes")
    return wanted


def count_what_if(
    count: ParameterCount, config: Mapping[str, Any] | None, wanted: Mapping[str, Sequence[int]]
) -> list[ParameterCount]:
    """The model itself, then every combination of the wanted sizes.

    With the hidden size, intermediate size and head size grow in proportion, and so does an embedding size equal to it.
    A model that has no closed form is built.

    Raises:
        InputError: there is no configuration, or no model of such sizes.
    """
    if count.multiply_adds is None and math.prod(map(len, wanted.values())) > MAX_BUILT:
        raise InputError(
            f"{count.name}: has no closed form, and over {MAX_BUILT} models take long to build; give fewer sizes"
        )
    counts = [count]
    for sizes in itertools.product(*wanted.values()):
        counts.append(resized(count, config, dict(zip(wanted, sizes, strict=True))))
    return counts


def resized(count: ParameterCount, config: Mapping[str, Any] | None, sizes: Mapping[str, int]) -> ParameterCount:
    """One other model of the same family; see `count_what_if`."""
    if config is None:
        raise InputError(
            f"{count.name}: there is no closed form and no configuration, so nothing can be changed; give a config.json"
        )
    if count.multiply_adds is None:
        return _rebuilt(count, config, sizes)
    raw = dict(config)
    keys = HUB_KEYS.get(raw["model_type"], {})
    if "vocab_size" in sizes:
        raw["vocab_size"] = sizes["vocab_size"]
    if "hidden_size" in sizes:
        raw |= _wider(count, raw, keys, sizes["hidden_size"])
    if "embedding_size" in sizes and raw["model_type"] in FACTORISED:
        raw["model_type"] = FACTORISED[raw["model_type"]]
        raw[keys.get("embedding_size", "embedding_size")] = sizes["embedding_size"]
    elif "embedding_size" in sizes:
        raise InputError(
            f"{count.name}: embedding_size is the width of a factorised table, which {raw['model_type']} has not; "
            f"choose a model of {', '.join(FACTORISED)}"
        )
    name = ", ".join(f"{key}={number}" for key, number in sizes.items())
    try:
        return replace(count_config(f"{count.name} with {name}", raw), name=name)
    except NoClosedForm as error:
        raise InputError(f"{count.name}: there is no closed form for {error}; omit --what-if") from error


def _rebuilt(count: ParameterCount, config: Mapping[str, Any], sizes: Mapping[str, int]) -> ParameterCount:
    """By `transformers`, whose class is then asked whether it has these sizes."""
    from tiedlm.counting.built.asked_class import ask_class, sizes_of  # here: the closed forms need none of it

    name, family = ", ".join(f"{key}={number}" for key, number in sizes.items()), str(config["model_type"])[:60]
    if "embedding_size" in sizes:
        raise InputError(f"{count.name}: embedding_size changes closed forms alone, and {family} has none; omit it")
    check_own_code(config, count.name)
    place, own_keys, known = sizes_of(count.name, config)
    raw = dict(config)
    for key in place:
        raw = dict(raw.get(key) or {})
    for usual, number in sizes.items():
        own = own_keys.get(usual, usual)
        raw = {key: value for key, value in raw.items() if own_keys.get(key, key) != own} | {own: number}
    if "hidden_size" in sizes:
        widths = {key: size for key, size in known.items() if size > 0 and WIDTH_KEY.fullmatch(key)}
        raw |= {key: max(1, round(size * sizes["hidden_size"] / count.hidden_size)) for key, size in widths.items()}
    built = ask_class(f"{count.name} with {name}", _put(config, place, raw)).count
    for usual, number in sizes.items():
        has = getattr(built, usual)
        if has != number:
            raise InputError(
                f"{count.name}: {built.architecture} has {usual}={has} where {number} is asked for; omit --what-if"
            )
    return replace(built, name=name)


def _put(config: Mapping[str, Any], place: Sequence[str], changed: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with another one inside it, at the end of some keys."""
    if not place:
        return dict(changed)
    return {**config, place[0]: _put(config.get(place[0]) or {}, place[1:], changed)}


def _wider(count: ParameterCount, raw: Mapping[str, Any], keys: Mapping[str, str], hidden_size: int) -> dict[str, int]:
    """The keys that change with the hidden size."""
    changed = {keys.get("hidden_size", "hidden_size"): hidden_size}
    for size in ("intermediate_size", "head_dim"):
        key = keys.get(size, size)
        if type(raw.get(key)) not in (int, type(None)):  # else what is made of it may be no number
            raise InputError(f"{count.name}: its {key} is {raw[key]!r}, no whole number; correct the configuration")
        if raw.get(key) is not None:
            changed[key] = max(1, round(raw[key] * hidden_size / count.hidden_size))
        elif size == "intermediate_size" and raw["model_type"] != "gpt2":  # which has 4 × n_embd where it is silent
            raise _unstated(count, key)
    width_key = keys.get("embedding_size", "embedding_size")
    if raw["model_type"] in FACTORISED and raw.get(width_key) == count.hidden_size:
        changed[width_key] = hidden_size  # not factorised: E = H
    return changed


def _unstated(count: ParameterCount, key: str) -> InputError:
    return InputError(f"{count.name}: its configuration states no {key}, which goes with the hidden size; add it")


def savings_grid(
    count: ParameterCount, config: Mapping[str, Any] | None, num_points: int = 33
) -> tuple[list[int], list[int], list[list[float]]]:
    """Vocabulary sizes, hidden sizes, and by [hidden][vocabulary] the fraction of the untied model that tying saves.

    Both go from an eighth to eight times the model's own, in equal ratios; hidden sizes in whole heads.
    """
    if count.multiply_adds is None:
        raise InputError(f"{count.name}: has no closed form, and a picture of built models takes too long; omit --plot")
    factors = [2.0 ** (6 * place / (num_points - 1) - 3) for place in range(num_points)]
    raw = config or {}
    keys = HUB_KEYS.get(raw.get("model_type", ""), {})
    heads_key = "num_heads" if raw.get("model_type") in ("t5", "mt5") else "num_attention_heads"
    num_heads = raw.get(keys.get(heads_key, heads_key))
    if not isinstance(num_heads, int):
        raise _unstated(count, keys.get(heads_key, heads_key))
    vocab_sizes = [max(1, round(count.vocab_size * factor)) for factor in factors]
    hidden_sizes = sorted({num_heads * max(1, round(count.hidden_size * factor / num_heads)) for factor in factors})
    fractions = [
        [
            resized(count, config, {"vocab_size": vocab_size, "hidden_size": hidden_size}).saved_fraction
            for vocab_size in vocab_sizes
        ]
        for hidden_size in hidden_sizes
    ]
    return vocab_sizes, hidden_sizes, fractions

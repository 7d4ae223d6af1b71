"""Which closed form a `config.json` has, by its `model_type`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tiedlm.counting.closed_forms.blueprint import Blueprint, ConfigReader, NoClosedForm
from tiedlm.counting.closed_forms.configuration import check_own_code
from tiedlm.counting.closed_forms.decoders import DECODERS, decoder, gpt2, gpt_neox, opt, t5
from tiedlm.counting.closed_forms.masked_lms import (
    albert,
    bert,
    deberta,
    distilbert,
    electra,
    modernbert,
    mosaic_bert,
)
from tiedlm.errors import InputError

FAMILIES: dict[str, Callable[[ConfigReader], Blueprint]] = {
    "bert": bert,
    "roberta": partial(bert, architecture="RobertaForMaskedLM", vocab_default=50_265),
    "xlm-roberta": partial(bert, architecture="XLMRobertaForMaskedLM"),
    "camembert": partial(bert, architecture="CamembertForMaskedLM"),
    "distilbert": distilbert,
    "albert": albert,
    "electra": electra,
    "deberta-v2": deberta,
    "modernbert": modernbert,
    "gpt2": gpt2,
    "t5": t5,
    "mt5": partial(t5, is_mt5=True),
    "gpt_neox": gpt_neox,
    "opt": opt,
    **{model_type: partial(decoder, form=form) for model_type, form in DECODERS.items()},
}


# The usual keys that a family with keys of its own takes too: `attribute_map` of its configuration class.
ALIASES = {
    "distilbert": {"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"},
    "gpt2": {
        "n_embd": "hidden_size",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
        "n_positions": "max_position_embeddings",
    },
    "t5": {
        "d_model": "hidden_size",
        "num_heads": "num_attention_heads",
        "num_layers": "num_hidden_layers",
        "d_kv": "head_dim",
    },
}
ALIASES["mt5"] = ALIASES["t5"]


def draw_blueprint(raw: Mapping[str, Any], source: str) -> Blueprint:
    """Draw the model of a `config.json`; `source` is what errors call it.

    Raises:
        InputError: a value is none that a model can have.
        OwnCode: the model is built by code of its repository.
        NoClosedForm: the family, or something that the configuration asks for, is not known here.
    """
    model_type = raw.get("model_type")
    if not isinstance(model_type, str):
        raise InputError(f"{source}: model_type is missing, so it is no configuration of a model; give a config.json")
    if model_type == "bert" and raw.get("auto_map") and "alibi_starting_size" in raw:
        return mosaic_bert(ConfigReader(raw, source))
    check_own_code(raw, source)
    if model_type not in FAMILIES:
        raise NoClosedForm(f"model_type={model_type[:60]!r}")
    return FAMILIES[model_type](ConfigReader(raw, source, ALIASES.get(model_type)))

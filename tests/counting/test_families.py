"""The closed forms against `transformers`: every family, over random configurations, tied and untied."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiedlm.counting.closed_forms.blueprint import Blueprint, NoClosedForm
from tiedlm.counting.closed_forms.decoders import DECODERS
from tiedlm.counting.closed_forms.families import ALIASES, FAMILIES, draw_blueprint
from tiedlm.counting.closed_forms.masked_lms import ALIAS

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

HEADS = st.sampled_from([1, 2, 3, 4])
HEAD_DIM = st.sampled_from([2, 4, 6, 8, 16])
SIZE = st.integers(1, 40)
VOCAB = st.integers(4, 90)
POSITIONS = st.integers(2, 40)
LAYERS = st.integers(1, 4)
ROWS = st.integers(0, 5)

# Keys that decide a count, by family; hidden sizes are drawn as heads × head size.
KEYS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "bert": {
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "intermediate_size": SIZE,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": ROWS,
    },
    "distilbert": {
        "vocab_size": VOCAB,
        "n_layers": LAYERS,
        "hidden_dim": SIZE,
        "max_position_embeddings": POSITIONS,
        "sinusoidal_pos_embds": st.booleans(),
    },
    "modernbert": {
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "intermediate_size": SIZE,
        "norm_bias": st.booleans(),
        "attention_bias": st.booleans(),
        "mlp_bias": st.booleans(),
        "decoder_bias": st.booleans(),
        "classifier_bias": st.booleans(),
    },
    "gpt2": {"vocab_size": VOCAB, "n_layer": LAYERS, "n_positions": SIZE, "n_inner": st.none() | SIZE},
    "t5": {
        "vocab_size": VOCAB,
        "d_model": SIZE,
        "d_kv": SIZE,
        "d_ff": SIZE,
        "num_heads": HEADS,
        "num_layers": LAYERS,
        "num_decoder_layers": st.none() | LAYERS,
        "relative_attention_num_buckets": st.sampled_from([4, 8, 32]),
        "feed_forward_proj": st.sampled_from(["relu", "gated-gelu", "gated-silu"]),
    },
    "gpt_neox": {
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "intermediate_size": SIZE,
        "attention_bias": st.booleans(),
    },
    "opt": {
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "ffn_dim": SIZE,
        "max_position_embeddings": POSITIONS,
        "word_embed_proj_dim": st.none() | SIZE,
        "do_layer_norm_before": st.booleans(),
        "_remove_final_layer_norm": st.booleans(),
        "enable_bias": st.booleans(),
        "layer_norm_elementwise_affine": st.booleans(),
    },
    "decoder": {
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "intermediate_size": SIZE,
        "attention_bias": st.booleans(),
        "mlp_bias": st.booleans(),
    },
}
KEYS["roberta"] = KEYS["xlm-roberta"] = KEYS["camembert"] = KEYS["bert"]
KEYS["mt5"] = KEYS["t5"]
KEYS["electra"] = KEYS["bert"] | {"embedding_size": SIZE}
KEYS["albert"] = KEYS["electra"] | {"num_hidden_groups": st.integers(1, 3), "inner_group_num": st.integers(1, 3)}
KEYS["deberta-v2"] = KEYS["electra"] | {
    "type_vocab_size": st.integers(0, 3),
    "relative_attention": st.booleans(),
    "max_relative_positions": st.sampled_from([-1, 7]),
    "position_buckets": st.sampled_from([-1, 5]),
    "share_att_key": st.booleans(),
    "pos_att_type": st.sampled_from([None, "p2c|c2p", ["c2p"], ["c2p", "p2c"], []]),
    "position_biased_input": st.booleans(),
    "norm_rel_ebd": st.sampled_from(["none", "layer_norm"]),
}
WIDTH_KEYS = {  # family → keys of heads and width, where not the usual ones
    "distilbert": ("n_heads", "dim"),
    "gpt2": ("n_head", "n_embd"),
}
UNTIED_DEFAULT = {model_type for model_type, form in DECODERS.items() if not form.tied} | {"gpt_neox"}
TIED_BY_CLASS = ("t5", "mt5")
HAS_BIAS_ALIAS = ("bert", "roberta", "xlm-roberta", "camembert", "albert", "deberta-v2")


@st.composite
def configurations(draw: st.DrawFn, model_type: str) -> dict[str, Any]:
    """A small `config.json` of one family; keys may be missing where their defaults are small or are flags."""
    raw: dict[str, Any] = {"model_type": model_type}
    for key, values in KEYS.get(model_type, KEYS["decoder"]).items():
        value = draw(values)
        if isinstance(value, bool) and draw(st.booleans()):
            continue  # absent: the default
        if value is None and draw(st.booleans()):
            continue
        raw[key] = value
    if model_type not in TIED_BY_CLASS:
        heads_key, width_key = WIDTH_KEYS.get(model_type, ("num_attention_heads", "hidden_size"))
        raw[heads_key] = draw(HEADS)
        raw[width_key] = raw[heads_key] * draw(HEAD_DIM)
    if model_type in DECODERS:
        raw["num_key_value_heads"] = draw(
            st.sampled_from([n for n in (1, 2, 3, 4) if raw["num_attention_heads"] % n == 0])
        )
        if DECODERS[model_type].num_key_value_heads is None and draw(st.booleans()):
            raw["num_key_value_heads"] = None
        if model_type not in ("phi3", "olmo", "olmo2", "smollm3", "qwen2") and draw(st.booleans()):
            raw["head_dim"] = draw(HEAD_DIM)
    if draw(st.booleans()):
        raw["tie_word_embeddings"] = draw(st.booleans())
    renamed = ALIASES.get(model_type, {}) if draw(st.booleans()) else {}
    if renamed and model_type in TIED_BY_CLASS:
        raw["num_decoder_layers"] = raw.get("num_decoder_layers") or 1  # else their class takes its default depth
    return {renamed.get(key, key): value for key, value in raw.items()}


def built(raw: dict[str, Any], architecture: str, device: str = "meta") -> Any:
    """The model of `transformers`, tied as its configuration says."""
    options = {key: value for key, value in raw.items() if key != "model_type"} | {"pad_token_id": 0}
    with warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")
        model = getattr(transformers, architecture)(transformers.AutoConfig.for_model(raw["model_type"], **options))
        model.tie_weights()
    return model


def num_parameters(model: Any) -> int:
    """Each tensor once."""
    return sum(parameter.numel() for parameter in model.parameters())


def check(raw: dict[str, Any]) -> tuple[Blueprint, Any]:
    """Hold a closed form to the built model; the two differences that there are, are stated here."""
    plan = draw_blueprint(raw, "config.json")
    model = built(raw, plan.architecture)
    expected = sum(part.parameters for part in plan.parts.values())
    tied = plan.tie_word_embeddings
    if raw["model_type"] in TIED_BY_CLASS and not tied:
        expected -= plan.vocab_size * plan.embedding_size  # the class ties whatever the configuration says
        tied = True
    if raw["model_type"] in HAS_BIAS_ALIAS and not tied:
        expected += plan.vocab_size  # the class splits its bias alias; one of the two is never read
        assert plan.other_totals[ALIAS] == plan.vocab_size
    assert num_parameters(model) == expected
    word_embeddings, decoder = model.get_input_embeddings().weight, model.get_output_embeddings()
    assert (decoder.weight is word_embeddings) == tied
    assert tuple(word_embeddings.shape) == (plan.vocab_size, plan.embedding_size)
    assert word_embeddings.numel() == plan.parts["word_embeddings"].parameters
    assert decoder.weight.numel() == plan.parts["decoder_weight"].multiply_adds
    bias = plan.parts.get("decoder_bias")
    assert (0 if decoder.bias is None else decoder.bias.numel()) == (bias.parameters if bias else 0)
    return plan, model


@pytest.mark.parametrize("model_type", list(FAMILIES))
@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_configurations_equal_transformers(model_type: str, data: st.DataObject) -> None:
    check(data.draw(configurations(model_type)))


@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_an_empty_configuration_has_the_defaults_of_transformers(model_type: str) -> None:
    """With few layers, which every family names otherwise, so that the largest default is built at once."""
    layers = {"distilbert": "n_layers", "gpt2": "n_layer", "t5": "num_layers", "mt5": "num_layers"}
    check({"model_type": model_type})
    check({"model_type": model_type, layers.get(model_type, "num_hidden_layers"): 2})


@pytest.mark.parametrize("model_type", TIED_BY_CLASS)
def test_an_untied_t5_has_one_matrix_more_than_the_class_builds(model_type: str) -> None:
    raw = {"model_type": model_type, "num_layers": 2, "vocab_size": 50, "tie_word_embeddings": False}
    plan, model = check(raw)
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    assert num_parameters(model) == sum(part.parameters for part in plan.parts.values())


@pytest.mark.parametrize(
    ("model_type", "key"),
    [("bert", "add_cross_attention"), ("gpt2", "add_cross_attention"), ("deberta-v2", "conv_kernel_size")],
)
def test_what_the_form_does_not_cover_is_left_to_a_built_model(model_type: str, key: str) -> None:
    with pytest.raises(NoClosedForm, match=key):
        draw_blueprint({"model_type": model_type, key: 3}, "config.json")

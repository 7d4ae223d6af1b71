"""Parameter counts against published numbers and against `transformers`; our own models are counted in test_model."""

from __future__ import annotations

import warnings

import pytest

from tests.test_families import check, num_parameters, torch, transformers
from tiedlm.config import shipped_experiments
from tiedlm.counting import TRAINING_RECIPES, ParameterCount, count_config
from tiedlm.errors import InputError
from tiedlm.known_models import KNOWN_MODELS
from tiedlm.models import count_named
from tiedlm.what_if import resized, savings_grid

# Each seen where its authors, a paper or a checkpoint's page publishes it: total, and what tying saves of it.
PUBLISHED = {
    "bert-tiny-uncased": (4_416_698, 3_906_816),
    "bert-mini-uncased": (11_201_594, 7_813_632),
    "bert-small-uncased": (28_795_194, 15_627_264),
    "bert-medium-uncased": (41_404_730, 15_627_264),
    "bert-base-uncased": (109_514_298, 23_440_896),
    "roberta-base": (124_697_433, 38_603_520),
    "modernbert-base": (149_655_232, 38_682_624),
    "gpt2": (124_439_808, 38_597_376),
    "t5-small": (60_506_624, 16_449_536),
    "qwen3-4b": (4_022_468_096, 388_956_160),
    "qwen2.5-0.5b": (494_032_768, 136_134_656),
    "llama-3.2-1b": (1_235_814_400, 262_668_288),
    "llama-3.1-8b": (8_030_261_248, 525_336_576),
    "gemma-2b": (2_506_172_416, 524_288_000),
    "olmo-1b": (1_176_764_416, 103_022_592),
    "pythia-160m": (162_322_944, 38_633_472),
    "opt-350m": (331_196_416, 25_739_264),
    "mt5-small": (300_176_768, 128_057_344),
    "t5-v1.1-small": (76_961_152, 16_449_536),
}
UNTIED = {
    "bert-tiny-uncased": 8_323_514,
    "bert-mini-uncased": 19_015_226,
    "bert-small-uncased": 44_422_458,
    "bert-medium-uncased": 57_031_994,
    "bert-base-uncased": 132_955_194,
    "roberta-base": 163_300_953,
    "modernbert-base": 188_337_856,
    "gpt2": 163_037_184,
}
OTHER_TOTALS = {  # seen elsewhere for the same model
    "bert-base-uncased": {109_482_240, 110_106_428, 132_955_194},
    "roberta-base": {124_645_632},
    "albert-base-v2": {11_683_584},
    "gpt2": {137_022_720},
    "t5-small": {60_506_880},
}


def known(name: str) -> ParameterCount:
    """The answer for a known model."""
    return count_named(name).count


@pytest.mark.parametrize(("name", "numbers"), PUBLISHED.items())
def test_known_models_have_their_published_sizes(name: str, numbers: tuple[int, int]) -> None:
    assert (known(name).total, known(name).saved) == numbers


@pytest.mark.parametrize(("name", "total_untied"), UNTIED.items())
def test_known_models_have_their_untied_sizes(name: str, total_untied: int) -> None:
    assert known(name).total_untied == total_untied


@pytest.mark.parametrize(("name", "totals"), OTHER_TOTALS.items())
def test_other_totals_that_people_meet_are_explained(name: str, totals: set[int]) -> None:
    assert totals <= set(known(name).other_totals.values())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_every_known_model_equals_transformers(name: str, tied: bool) -> None:
    check(KNOWN_MODELS[name].config | {"tie_word_embeddings": tied})


@pytest.mark.parametrize("name", ["bert-tiny-uncased", "roberta-base", "albert-base-v2", "xlm-roberta-base"])
def test_totals_of_other_classes_equal_transformers(name: str) -> None:
    raw = {key: value for key, value in KNOWN_MODELS[name].config.items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(KNOWN_MODELS[name].config["model_type"], **raw)
    compared = 0
    for what, total in known(name).other_totals.items():
        class_name = what.split(",")[0]
        if class_name.endswith(("Model", "ForPreTraining")):
            with warnings.catch_warnings(), torch.device("meta"):
                warnings.simplefilter("ignore")
                model = getattr(transformers, class_name)(config)
                model.tie_weights()
            assert num_parameters(model) == total
            compared += 1
    assert compared == (2 if name == "bert-tiny-uncased" else 1)


def test_the_table_answers_what_people_ask() -> None:
    assert len(KNOWN_MODELS) >= 30
    assert {model.config["tie_word_embeddings"] for model in KNOWN_MODELS.values()} == {True, False}
    assert all(model.source and model.hub_name.count("/") == 1 for model in KNOWN_MODELS.values())
    assert len({model.hub_name for model in KNOWN_MODELS.values()}) == len(KNOWN_MODELS)


@pytest.mark.parametrize("name", [*KNOWN_MODELS, "ptb"])
def test_a_document_adds_up(name: str) -> None:
    count = known(name)
    document = count.document()
    assert sum(count.groups.values()) == document["total"]
    assert count.total_untied - count.total_tied == count.saved == count.vocab_size * count.embedding_size
    assert count.total == (count.total_tied if count.tie_word_embeddings else count.total_untied)
    assert list(count.groups)[-3:] == ["head_transform", "decoder_weight", "decoder_bias"]


def test_memory_is_bytes_a_parameter() -> None:
    """BERT-base in fp32 with AdamW: 16 bytes for each of its parameters (weights, gradients, two moments)."""
    document = known("bert-base-uncased").document()
    assert document["training_bytes"]["float32"]["stored"] == 16 * 109_514_298  # type: ignore[index]
    assert document["checkpoint_bytes"]["float32"]["saved"] == 4 * 30_522 * 768  # type: ignore[index]
    assert {recipe.total for recipe in TRAINING_RECIPES.values()} == {16, 8}


@pytest.mark.parametrize("name", ["bert-tiny-uncased", "albert-base-v2", "gpt2", "t5-v1.1-small", "modernbert-base"])
def test_tying_changes_memory_and_not_flops(name: str) -> None:
    tied, untied = (
        count_config(name, KNOWN_MODELS[name].config | {"tie_word_embeddings": tie}) for tie in (True, False)
    )
    assert tied.total < untied.total
    assert (tied.head_flops, tied.body_flops) == (untied.head_flops, untied.body_flops)


SMALL = {  # families whose forward pass differs, small enough to be run
    "bert-tiny-uncased": {"vocab_size": 100},
    "albert-base-v2": {"vocab_size": 100, "num_hidden_layers": 3, "hidden_size": 48, "intermediate_size": 64},
    "electra-small-generator": {"vocab_size": 100, "num_hidden_layers": 2},
    "distilbert-base-uncased": {"vocab_size": 100, "dim": 48, "hidden_dim": 64},
    "modernbert-base": {"vocab_size": 100, "hidden_size": 48, "intermediate_size": 64, "pad_token_id": 0},
    "gpt2": {"vocab_size": 100, "n_embd": 48},
    "pythia-14m": {"vocab_size": 100},
    "opt-350m": {"vocab_size": 100, "num_hidden_layers": 2, "hidden_size": 48, "word_embed_proj_dim": 32},
    "smollm2-135m": {"vocab_size": 100, "num_hidden_layers": 2},
    "qwen3-0.6b": {"vocab_size": 100, "num_hidden_layers": 2, "hidden_size": 64, "head_dim": 16},
    "gemma-3-270m": {"vocab_size": 100, "num_hidden_layers": 2},
    "olmo-2-1b": {"vocab_size": 100, "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 64},
    "t5-small": {"vocab_size": 100, "num_layers": 2, "num_decoder_layers": 3},
    "t5-v1.1-small": {"vocab_size": 100, "num_layers": 2},
}


@pytest.mark.parametrize("name", SMALL)
def test_flops_equal_the_matrix_products_that_a_forward_pass_makes(name: str) -> None:
    """Counted by hooks on the linear layers of `transformers`, for one token through each stack."""
    raw = KNOWN_MODELS[name].config | {"pad_token_id": 0} | SMALL[name]
    if "num_attention_heads" in raw and raw["hidden_size"] == 48:
        raw["num_attention_heads"] = 4
    raw |= {key: 4 for key in ("n_heads", "n_head") if key in raw}
    count, model = count_config(name, raw), None
    options = {key: value for key, value in raw.items() if key != "model_type"}
    model = getattr(transformers, count.architecture)(transformers.AutoConfig.for_model(raw["model_type"], **options))
    seen = {"head": 0, "body": 0}
    decoder = model.get_output_embeddings()

    def count_products(module: object, *_: object) -> None:
        part = "head" if module is decoder else "body"
        seen[part] += 2 * module.weight.numel()  # type: ignore[attr-defined]

    for module in model.modules():
        if type(module).__name__ in ("Linear", "Conv1D"):
            module.register_forward_hook(count_products)
    ids = torch.ones((1, 1), dtype=torch.long)
    with torch.no_grad():
        model.eval()(input_ids=ids, **({"decoder_input_ids": ids} if count.architecture.startswith("T5") else {}))
    assert seen["head"] == 2 * count.multiply_adds["decoder_weight"]  # type: ignore[index]
    assert seen["head"] + seen["body"] == count.head_flops + count.body_flops  # type: ignore[operator]


def resize(name: str, **sizes: int) -> ParameterCount:
    """A known model with other sizes."""
    return resized(known(name), KNOWN_MODELS[name].config, sizes)


@pytest.mark.parametrize(
    ("name", "sizes", "model"),
    [
        ("bert-tiny-uncased", {"hidden_size": 128}, "bert-tiny-uncased"),
        ("bert-base-uncased", {"vocab_size": 28_996}, "bert-base-cased"),
        ("bert-mini-uncased", {"hidden_size": 512}, "bert-small-uncased"),
        ("distilbert-base-uncased", {"vocab_size": 28_996}, "distilbert-base-cased"),
        ("t5-v1.1-small", {"vocab_size": 32_128}, "flan-t5-small"),
        ("deberta-v3-base", {"vocab_size": 251_000}, "mdeberta-v3-base"),
        ("electra-large-generator", {"embedding_size": 1_024}, "electra-large-generator"),
        ("xlm-roberta-base", {"vocab_size": 50_265}, "roberta-base"),
    ],
)
def test_what_if_gives_the_model_that_has_those_sizes(name: str, sizes: dict[str, int], model: str) -> None:
    assert resize(name, **sizes).groups == known(model).groups


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_twice_the_width_quadruples_the_layers_weights(name: str) -> None:
    """Width, heads' sizes and inner size grow together, so that matrices become four times as large."""
    model, wider = known(name), resize(name, hidden_size=2 * KNOWN_HIDDEN[name])
    layers = [group for group in ("encoder_layers", "decoder_layers") if group in (model.multiply_adds or {})]
    for group in layers:
        assert wider.multiply_adds[group] == 4 * model.multiply_adds[group]  # type: ignore[index]
    factor = 1 if model.embedding_size != model.hidden_size else 2
    assert wider.saved == factor * model.saved


KNOWN_HIDDEN = {name: known(name).hidden_size for name in KNOWN_MODELS}


def test_bert_is_factorised_as_electra_is() -> None:
    """V × E + E × H for V × H, and the head transforms to E (Clark et al. 2020; Lan et al. 2020, §3.1)."""
    bert, factorised = known("bert-base-uncased"), resize("bert-base-uncased", embedding_size=128)
    assert factorised.groups["word_embeddings"] == 30_522 * 128
    assert factorised.groups["embedding_projection"] == 128 * 768 + 768
    assert factorised.groups["encoder_layers"] == bert.groups["encoder_layers"]
    assert resize("bert-base-uncased", embedding_size=768).groups == bert.groups
    with pytest.raises(InputError, match="which gpt2 has not"):
        resize("gpt2", embedding_size=128)


@pytest.mark.parametrize(
    "name", ["bert-base-uncased", "gpt2-xl", "t5-small", "albert-base-v2", "opt-125m", "gemma-2-9b"]
)
def test_the_picture_is_made_of_counts(name: str) -> None:
    vocab_sizes, hidden_sizes, fractions = savings_grid(known(name), KNOWN_MODELS[name].config, num_points=7)
    assert (vocab_sizes[3], hidden_sizes[3]) == (known(name).vocab_size, known(name).hidden_size)
    assert fractions[3][3] == known(name).saved_fraction
    assert fractions[1][5] == resize(name, vocab_size=vocab_sizes[5], hidden_size=hidden_sizes[1]).saved_fraction
    assert all(row == sorted(row) for row in fractions)  # a larger vocabulary, a larger share


@pytest.mark.parametrize("name", [name for name in shipped_experiments() if name != "pydoc"])
def test_experiments_are_counted_without_their_text(name: str) -> None:
    assert known(name).total > 1_000_000

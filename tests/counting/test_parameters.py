"""Parameter counts against published numbers and against `transformers`; our own models are counted in test_model."""

from __future__ import annotations

import warnings

import pytest

from tests.counting.test_families import check, num_parameters, torch, transformers
from tiedlm.api.count import count_params
from tiedlm.config.experiment_file import read_experiment, shipped_experiments
from tiedlm.counting.closed_forms.known_models import KNOWN_MODELS
from tiedlm.counting.closed_forms.parameter_bytes import TRAINING_RECIPES
from tiedlm.counting.closed_forms.parameters import HEAD_GROUPS, ParameterCount, count_config
from tiedlm.counting.counted_model import counted_model
from tiedlm.counting.cross_check import Answer
from tiedlm.counting.what_if import resized, savings_grid
from tiedlm.errors import InputError

# Stored parameters of the language model, as its paper, its page on the Hub or the header of its file gives them.
PUBLISHED = {
    "bert-tiny-uncased": 4_416_698,
    "bert-base-uncased": 109_514_298,
    "bert-large-uncased": 335_174_458,
    "bert-base-cased": 108_340_804,
    "bert-base-multilingual-cased": 177_974_523,
    "roberta-base": 124_697_433,
    "roberta-large": 355_412_057,
    "xlm-roberta-base": 278_295_186,
    "xlm-roberta-large": 560_142_482,
    "distilbert-base-uncased": 66_985_530,
    "modernbert-base": 149_655_232,
    "modernbert-large": 395_881_664,
    "distilgpt2": 81_912_576,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "t5-small": 60_506_624,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "t5-v1.1-small": 76_961_152,
    "t5-v1.1-base": 247_577_856,
    "t5-v1.1-large": 783_150_080,
    "flan-t5-small": 76_961_152,
    "mt5-small": 300_176_768,
    "mt5-base": 582_401_280,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "pythia-14m": 14_067_712,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "tinyllama-1.1b": 1_100_048_384,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "gemma-2b": 2_506_172_416,
    "gemma-7b": 8_537_680_896,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "olmo-1b": 1_176_764_416,
    "olmo-7b": 6_888_095_744,
    "olmo-2-1b": 1_484_916_736,
}
# Where no total with the head is published: KerasHub's counts of the model without its head, and with a pooler or none.
HEADLESS = {
    "bert-mini-uncased": (11_170_560, 256 * 257),
    "bert-small-uncased": (28_763_648, 512 * 513),
    "bert-medium-uncased": (41_373_184, 512 * 513),
    "bert-large-cased": (333_579_264, 1_024 * 1_025),
    "albert-base-v2": (11_683_584, 768 * 769),
    "albert-large-v2": (17_683_968, 1_024 * 1_025),
    "albert-xlarge-v2": (58_724_864, 2_048 * 2_049),
    "albert-xxlarge-v2": (222_595_584, 4_096 * 4_097),
    "electra-small-generator": (13_548_800, 256 * 257),
    "electra-base-generator": (33_576_960, 256 * 257),
    "electra-large-generator": (51_065_344, 256 * 257),
    "deberta-v3-xsmall": (70_682_112, 0),
    "deberta-v3-small": (141_304_320, 0),
    "deberta-v3-base": (183_831_552, 0),
    "deberta-v3-large": (434_012_160, 0),
    "mdeberta-v3-base": (278_218_752, 0),
}
SAVED = {
    "bert-tiny-uncased": 3_906_816,
    "bert-mini-uncased": 7_813_632,
    "bert-small-uncased": 15_627_264,
    "bert-base-uncased": 23_440_896,
    "roberta-base": 38_603_520,
    "modernbert-base": 38_682_624,
    "gpt2": 38_597_376,
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
    return count_params(name).count


@pytest.mark.parametrize(("name", "total"), PUBLISHED.items())
def test_known_models_have_their_published_sizes(name: str, total: int) -> None:
    assert known(name).total == total


@pytest.mark.parametrize(("name", "numbers"), HEADLESS.items())
def test_known_models_have_their_published_sizes_without_a_head(name: str, numbers: tuple[int, int]) -> None:
    total, pooler = numbers
    groups = known(name).groups
    assert sum(number for group, number in groups.items() if group not in HEAD_GROUPS) + pooler == total


@pytest.mark.parametrize(("name", "saved"), SAVED.items())
def test_tying_saves_the_published_product(name: str, saved: int) -> None:
    assert known(name).saved == saved


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
    assert sum(count.groups.values()) == counted_model(Answer(count, "known model")).total
    assert count.total_untied - count.total_tied == count.saved == count.vocab_size * count.embedding_size
    assert count.total == (count.total_tied if count.tie_word_embeddings else count.total_untied)
    assert list(count.groups)[-3:] == ["head_transform", "decoder_weight", "decoder_bias"]


def test_memory_is_bytes_a_parameter() -> None:
    """BERT-base in fp32 with AdamW: 16 bytes for each of its parameters (weights, gradients, two moments)."""
    counted = counted_model(Answer(known("bert-base-uncased"), "known model"))
    assert counted.training_bytes["float32"].stored == 16 * 109_514_298
    assert counted.checkpoint_bytes["float32"].saved == 4 * 30_522 * 768
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


@pytest.mark.parametrize("name", shipped_experiments())
def test_experiments_are_counted_without_their_text(name: str) -> None:
    """But for those whose words their text alone decides."""
    experiment = read_experiment(shipped_experiments()[name])
    if experiment.corpus.name not in ("ptb", "wikitext-2") and experiment.corpus.tokenizer == "word":
        with pytest.raises(InputError, match="runs/texts/"):
            known(name)
        return
    count = known(name)
    assert count.saved == count.vocab_size * experiment.model.hidden_size
    assert count.total > count.saved

"""`--what-if` of families without a closed form: the class of `transformers` with other sizes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.counting.test_families import built, num_parameters
from tiedlm.counting.cross_check import answer_config
from tiedlm.counting.what_if import MAX_BUILT, count_what_if, savings_grid
from tiedlm.errors import InputError

MPNET = {"model_type": "mpnet", "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 40}
XLM = {"model_type": "xlm", "n_words": 50, "emb_dim": 24, "n_layers": 1, "n_heads": 2}
MIXTRAL = {
    "model_type": "mixtral",
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def variants(config: dict[str, Any], **wanted: list[int]) -> list[Any]:
    """The counts without the model itself."""
    answer = answer_config("model", config)
    return count_what_if(answer.count, answer.config, wanted)[1:]


@pytest.mark.parametrize(
    ("config", "keys", "class_name"),
    [
        (MPNET, ("vocab_size", "hidden_size", "intermediate_size"), "MPNetForMaskedLM"),
        (XLM, ("n_words", "emb_dim", ""), "XLMWithLMHeadModel"),
        (MIXTRAL, ("vocab_size", "hidden_size", "intermediate_size"), "MixtralForCausalLM"),
    ],
)
def test_a_built_variant_is_the_class_of_these_sizes(
    config: dict[str, Any], keys: tuple[str, str, str], class_name: str
) -> None:
    (count,) = variants(config, vocab_size=[70], hidden_size=[48])
    changed = config | dict(zip(keys, (70, 48, 80), strict=True))
    changed.pop("", None)
    assert count.total == num_parameters(built(changed, class_name))
    assert (count.vocab_size, count.hidden_size) == (70, 48)
    assert count.name == "vocab_size=70, hidden_size=48"


def test_sizes_of_a_model_of_parts_are_its_texts() -> None:
    text = {key: value for key, value in MIXTRAL.items() if key != "model_type"} | {"model_type": "mistral"}
    vision = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 32,
    }
    config = {"model_type": "mistral3", "text_config": text, "vision_config": vision | {"model_type": "pixtral"}}
    model = answer_config("model", config).count
    (count,) = variants(config, vocab_size=[70])
    assert count.vocab_size == 70
    assert count.total - model.total == (1 if count.tie_word_embeddings else 2) * 20 * 24


@pytest.mark.parametrize(
    ("config", "wanted", "words"),
    [
        (MPNET, {"embedding_size": [8]}, "changes closed forms alone"),
        (MPNET, {"hidden_size": [25]}, "cannot build it"),
        (MPNET, {"vocab_size": list(range(1, MAX_BUILT + 2))}, "take long to build"),
    ],
)
def test_what_cannot_be_built_is_refused(config: dict[str, Any], wanted: dict[str, list[int]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        variants(config, **wanted)


def test_a_picture_of_built_models_is_refused() -> None:
    answer = answer_config("model", MPNET | {"num_hidden_layers": 1})
    with pytest.raises(InputError, match="takes too long"):
        savings_grid(answer.count, answer.config)

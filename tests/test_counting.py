"""Parameter counts against published numbers; our own models are counted in test_model."""

from __future__ import annotations

import pytest

from tiedlm.counting import PRESETS, count_parameters

PUBLISHED = {  # BertForMaskedLM, tied: (total, saved); prajjwal1/bert-tiny and bert-base-uncased as published
    "bert-tiny-uncased": (4_416_698, 3_906_816),
    "bert-mini-uncased": (11_201_594, 7_813_632),
    "bert-small-uncased": (28_795_194, 15_627_264),
    "bert-medium-uncased": (41_404_730, 15_627_264),
    "bert-base-uncased": (109_514_298, 23_440_896),
}


@pytest.mark.parametrize(("name", "numbers"), PUBLISHED.items())
def test_known_models_have_their_published_sizes(name: str, numbers: tuple[int, int]) -> None:
    count = count_parameters(name, PRESETS[name])
    assert (count.total, count.saved) == numbers
    assert (count.total_tied, count.total_untied) == (numbers[0], sum(numbers))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_equal_transformers_on_the_meta_device(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    shape = PRESETS[name]
    config = transformers.BertConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.hidden_size // 64,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_position_embeddings,
    )
    with torch.device("meta"):
        model = transformers.BertForMaskedLM(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(name, shape).total

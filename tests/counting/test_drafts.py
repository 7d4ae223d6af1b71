"""Drafts for speculative decoding: what is stored is counted, and the matrix that lacks is the target model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.counting.stored_llama import LLAMA, H, V, llama, refusal, stored
from tests.counting.test_families import torch
from tiedlm.api.count import count_params
from tiedlm.counting.counted_model import counted_model

DRAFT_V = 40
EAGLE3 = {
    "midlayer.self_attn.q_proj.weight": (H, 2 * H),
    "midlayer.hidden_norm.weight": (H,),
    "fc.weight": (H, 3 * H),
    "norm.weight": (H,),
    "lm_head.weight": (DRAFT_V, H),
}
EAGLE = {"layers.0.self_attn.q_proj.weight": (H, H), "fc.weight": (H, 2 * H), "embed_tokens.weight": (V, H)}
NAMED = LLAMA | {"architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": DRAFT_V, "num_hidden_layers": 1}


def file_of(
    folder: Path, shapes: dict[str, tuple[int, ...]], config: dict[str, Any] | None = None, **more: Any
) -> Path:
    """Its weights, and its configuration."""
    if config is not None:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
    return stored(folder / "model.safetensors", {name: torch.randn(shape) for name, shape in shapes.items()} | more)


def number(shapes: dict[str, tuple[int, ...]]) -> int:
    """Elements in all."""
    return sum(torch.Size(shape).numel() for shape in shapes.values())


@pytest.mark.parametrize("config", [NAMED, None])
def test_the_head_of_eagle3_is_told_and_its_input_is_the_targets(config: Any, tmp_path: Path) -> None:
    maps = {"d2t": torch.zeros(DRAFT_V, dtype=torch.int64), "t2d": torch.zeros(V, dtype=torch.bool)}
    answer = count_params(file_of(tmp_path, EAGLE3, config, **maps))
    document = counted_model(answer)
    assert document.total == document.total_tied == document.total_untied == number(EAGLE3)
    assert (document.groups["word_embeddings"], document.groups["decoder_weight"]) == (0, DRAFT_V * H)
    assert document.tie_word_embeddings is None
    assert document.no_tie == "a draft, whose input matrix is the target model's, so there is no tie in it"
    assert document.checkpoint is not None
    assert (document.checkpoint.input_embedding, document.checkpoint.output_embedding) == (None, "lm_head.weight")
    assert document.checkpoint.mismatch is None
    assert "(EAGLE-3): lm_head.weight (40 × 32) is its output matrix, the input matrix is the target" in answer.notes[0]


@pytest.mark.parametrize("config", [LLAMA | {"tie_word_embeddings": False, "num_hidden_layers": 1}, None])
def test_a_draft_with_an_input_matrix_alone_breaks_no_tie(config: Any, tmp_path: Path) -> None:
    """As EAGLE's first, whose configuration is its target's, untied, and whose head is."""
    answer = count_params(file_of(tmp_path, EAGLE, config))
    assert answer.checkpoint is not None
    assert (answer.checkpoint.mismatch, answer.count.total) == (None, number(EAGLE))
    assert answer.count.groups["word_embeddings"] == V * H
    assert "embed_tokens.weight (96 × 32) is its input matrix, the output matrix is the target" in answer.notes[0]


def test_a_draft_with_both_matrices_is_named(tmp_path: Path) -> None:
    both = EAGLE3 | {"embed_tokens.weight": (V, H)}
    answer = count_params(file_of(tmp_path, both, NAMED))
    assert answer.count.total == number(both)
    assert answer.checkpoint is not None
    assert answer.checkpoint.mismatch is None
    assert answer.count.no_tie == "cannot be tied: the embedding matrix is 96 × 32, the output matrix 40 × 32"
    assert answer.notes[0] == "is a draft for speculative decoding (EAGLE-3) with two matrices of its own"


@pytest.mark.parametrize(
    ("shapes", "config", "method"),
    [
        ({"0.0.linear.weight": (H, H), "0.1.weight": (V, H)}, None, "Medusa"),
        ({"0.0.linear.weight": (H, H), "0.1.weight": (V, H)}, {"medusa_num_heads": 1}, "Medusa"),
        (
            {"fc.weight": (H, 3 * H), "layers.0.mlp.up_proj.weight": (H, H)},
            {"architectures": ["DFlashDraftModel"]},
            "DFlash",
        ),
    ],
)
def test_a_draft_without_matrices_is_told_with_its_size(shapes: Any, config: Any, method: str, tmp_path: Path) -> None:
    said = refusal(file_of(tmp_path, shapes, config))
    assert f"is a draft for speculative decoding ({method}) with {number(shapes):,} parameters" in said


def test_the_configuration_of_a_draft_alone_tells_no_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(NAMED))
    for given in (tmp_path, tmp_path / "config.json"):
        assert "is of a draft for speculative decoding (EAGLE-3)" in refusal(given)


def test_the_target_is_named_where_the_configuration_names_it(tmp_path: Path) -> None:
    verifier = {
        "speculators_config": {"verifier": {"name_or_path": "Qwen/Qwen3-8B"}},
        "speculators_model_type": "eagle3",
    }
    answer = count_params(file_of(tmp_path, EAGLE3, verifier))
    assert answer.notes[0].endswith("the input matrix is that of its target, Qwen/Qwen3-8B")


def test_a_model_is_no_draft(tmp_path: Path) -> None:
    """Nor one with a matrix called fc, or one of NVIDIA's that see and are called Eagle."""
    seeing = {"architectures": ["Eagle2_5_VLForConditionalGeneration"], "vision_config": {}, "text_config": LLAMA}
    older = {"architectures": ["EagleLlamaForCausalLM"], "model_type": "eagle_llama", "mm_vision_tower": "clip"}
    for config, more in ((LLAMA, {"fc.weight": torch.zeros(2, H)}), (LLAMA | seeing, {}), (LLAMA | older, {})):
        (tmp_path / "config.json").write_text(json.dumps(config))
        answer = count_params(stored(tmp_path / "model.safetensors", llama() | more))
        assert not any("speculative" in note for note in answer.notes)


@pytest.mark.parametrize(("words", "width"), [(64, 128), (32, 96), (64, 256)])
@pytest.mark.parametrize("table", ["embedding", "encoder.word_embeddings"])
def test_a_small_model_whose_output_matrix_is_called_fc_is_no_draft(
    table: str, words: int, width: int, tmp_path: Path
) -> None:
    shapes = {
        f"{table}.weight": (words, width),
        "layers.0.linear1.weight": (words, width),
        "fc.weight": (words, width),
    }
    answer = count_params(file_of(tmp_path, shapes))
    assert answer.count.total == number(shapes)
    assert not any("speculative" in note for note in answer.notes)


def test_why_names_alone_tell_is_said_truly(tmp_path: Path) -> None:
    alone = count_params(file_of(tmp_path, EAGLE3))
    beside = count_params(file_of(tmp_path / "draft", EAGLE3, NAMED))
    assert alone.by_names is not None
    assert beside.by_names is not None
    assert alone.by_names.endswith("no configuration lies beside them")
    assert beside.by_names.endswith("a draft's configuration is its target's in most keys")

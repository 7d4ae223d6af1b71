"""Configurations from strangers: what would take minutes or gigabytes to build is refused before anything is built."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from tests.counting.test_families import torch, transformers
from tiedlm.counting.built.build_limits import MAX_LABELS, MAX_LAYERS, check_cheaply, module_budget
from tiedlm.errors import InputError

HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a repetition": (
        {"model_type": "gpt_neo", "attention_types": [[["global", "local"], 300_000_000]]},
        "attention_types repeats 600,000,000 entries, over 2,000",
    ),
    "repetitions of a long list": (
        {"model_type": "gpt_neo", "attention_types": [[["global"] * 2_000, 2_000]]},
        "attention_types repeats 4,000,000 entries",
    ),
    "labels in several places": (
        {"model_type": "clip", "text_config": {"num_labels": 60_000}, "vision_config": {"num_labels": 60_000}},
        "num_labels=120,000 is over 100,000",
    ),
    "layers by name": (
        {"model_type": "reformer", "attn_layers": ["local"] * 200_000},
        "attn_layers has 200,000 entries",
    ),
    "a list of layers": ({"model_type": "qwen3", "layer_types": ["x"] * 20_000}, "layer_types has 20,000 entries"),
    "a pattern": (
        {"model_type": "nemotron_h", "hybrid_override_pattern": "M" * 9_000},
        "hybrid_override_pattern has 9,000 characters, over the limit of 2,000",
    ),
    "a text": ({"model_type": "bert", "some_key": "M" * 14_000_000}, "some_key has 14,000,000 characters"),
    "languages": ({"model_type": "xmod", "languages": ["en_XX"] * 200_000}, "languages has 200,000 entries"),
    "codebooks": (
        {"model_type": "musicgen", "decoder": {"num_codebooks": 10**9}},
        "num_codebooks=1,000,000,000 × 1 experts are too many to build",
    ),
    "a bandwidth": ({"model_type": "encodec", "target_bandwidths": [1e9]}, "target_bandwidths=1,000,000,000.0"),
    "dense layers": ({"model_type": "cohere2_moe", "first_k_dense_replace": 10**9}, "first_k_dense_replace="),
    "heads": ({"model_type": "bert", "num_attention_heads": 10**6}, "num_attention_heads=1,000,000"),
    "numbers": ({"model_type": "bert", "sizes": list(range(30_000))}, "sizes has 30,000 entries"),
    "a table": (
        {"model_type": "bert", "id2label": {str(n): "" for n in range(MAX_LABELS + 1)}},
        "id2label has 100,001",
    ),
}
REAL: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 256_000,
    "max_position_embeddings": 10_485_760,
    "rope_theta": 5e8,
    "intermediate_size": 131_072,
    "image_size": 4_096,
    "bos_token_id": 255_999,
    "suppress_tokens": list(range(50_000, 52_000)),
    "forced_decoder_ids": [[1, 50_259], [2, 50_359]],
    "audio_encoder": {"target_bandwidths": [3.0, 6.0, 12.0, 24.0], "num_codebooks": 32},
    "attention_types": [[["global", "local"], 500]],
    "id2label": {str(number): f"LABEL_{number}" for number in range(21_843)},
    "hybrid_override_pattern": "M-M*" * 30,
    "num_hidden_layers": MAX_LAYERS // 2,
    "quantization_config": {"modules_to_not_convert": ["model.layers.0.mlp"] * 15_000},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_would_take_long_is_refused(case: str) -> None:
    config, words = HOSTILE[case]
    with pytest.raises(InputError) as refused:
        check_cheaply("config.json", config)
    assert words in str(refused.value)


def test_nothing_is_imported_for_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(HOSTILE["a repetition"][0]))
    code = (
        "import sys\nfrom tiedlm.api.count import count_params\nfrom tiedlm.errors import InputError\n"
        "try: count_params(sys.argv[1])\nexcept InputError: print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "config.json")]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("key", REAL)
def test_real_values_pass(key: str) -> None:
    check_cheaply("config.json", {"model_type": "llama", key: REAL[key]})


def test_no_family_is_refused_with_its_own_defaults() -> None:
    """Those that can be made without arguments."""
    num_checked = 0
    for family in transformers.CONFIG_MAPPING:
        try:
            raw = transformers.CONFIG_MAPPING[family]().to_dict()
        except (ImportError, TypeError, ValueError, StrictDataclassError):
            continue
        check_cheaply(family, raw | {"model_type": family})
        num_checked += 1
    assert num_checked > 300


def test_modules_without_end_are_stopped() -> None:
    with torch.device("meta"), module_budget(torch), pytest.raises(ValueError, match="it has over 40,000 modules"):
        torch.nn.ModuleList([torch.nn.Identity() for _ in range(10**9)])

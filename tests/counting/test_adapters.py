"""Adapters are told as such, by their folder, their bare file and as GGUF; names are those that `peft` 0.21 saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.counting.stored_llama import LLAMA, TIED_TOTAL, H, V, llama, refusal, stored
from tests.counting.test_families import torch
from tiedlm.api.count import count_params

PROJECTION = "base_model.model.model.layers.0.self_attn.q_proj"
EMBEDDINGS = "base_model.model.model.embed_tokens"
LORA = {f"{PROJECTION}.lora_A.weight": (2, H), f"{PROJECTION}.lora_B.weight": (H, 2)}
KINDS: dict[str, tuple[dict[str, tuple[int, ...]], str, str]] = {
    "LORA": (LORA, "LoRA", "128 parameters in 2 matrices of low rank; no copies"),
    "DORA": (LORA | {f"{PROJECTION}.lora_magnitude_vector": (H,)}, "DoRA", "160 parameters in 3 tensors of its own"),
    "IA3": ({f"{PROJECTION.replace('q_', 'k_')}.ia3_l": (16, 1)}, "IA3", "16 parameters in 1 tensor"),
    "PROMPT_TUNING": ({"prompt_embeddings": (4, H)}, "prompt", "128 parameters in 1 tensor"),
    "PREFIX_TUNING": ({"prompt_embeddings": (4, 2 * H)}, "prefix tuning", "256 parameters in 1 tensor"),
    "TRAINABLE_TOKENS": (
        {f"{EMBEDDINGS}.trainable_tokens_delta": (3, H)},
        "trained rows of the embeddings",
        f"3 rows of the embeddings ({EMBEDDINGS}.trainable_tokens_delta)",
    ),
    "tokens in LORA": (
        LORA | {f"{EMBEDDINGS}.token_adapter.trainable_tokens_delta": (2, H)},
        "LoRA",
        "2 rows of the embeddings",
    ),
    "modules_to_save": (
        LORA | {f"{EMBEDDINGS}.weight": (V, H), "base_model.model.lm_head.weight": (V, H)},
        "LoRA",
        f"{EMBEDDINGS}.weight (whose base does not lie here)",
    ),
    "embed_tokens as a target": (
        LORA
        | {
            f"{EMBEDDINGS}.base_layer.weight": (V, H),
            f"{EMBEDDINGS}.lora_embedding_A": (2, V),
            f"{EMBEDDINGS}.lora_embedding_B": (H, 2),
        },
        "LoRA",
        f"copies of the embeddings {EMBEDDINGS}.base_layer.weight (whose base",
    ),
    "VERA": (
        {f"{PROJECTION}.vera_lambda_b": (H,), "base_model.vera_A": (2, H), "base_model.vera_B": (H, 2)},
        "VeRA",
        "160 parameters in 3 tensors",
    ),
    "LN_TUNING": (
        {"base_model.model.model.norm.ln_tuning_layers.weight": (H,)},
        "trained norms",
        "32 parameters in 1 tensor",
    ),
    "SHIRA": ({f"{PROJECTION}.shira_weight": (128,)}, "PEFT", "128 parameters in 1 tensor"),
    "of MLX": (
        {"model.layers.0.self_attn.q_proj.lora_a": (H, 2), "model.layers.0.self_attn.q_proj.lora_b": (2, H)},
        "LoRA",
        "128 parameters in 2 matrices",
    ),
    "of kohya's scripts": (
        {"lora_te_layers_0.lora_down.weight": (2, H), "lora_te_layers_0.lora_up.weight": (H, 2)},
        "LoRA",
        "128 parameters in 2 matrices",
    ),
    "of the adapters library": (
        {"bert.layer.0.adapters.a.adapter_down.0.weight": (2, H), "bert.layer.0.adapters.a.adapter_up.weight": (H, 2)},
        "bottlenecks",
        "128 parameters in 2 tensors",
    ),
    "P-tuning v2": ({"transformer.prefix_encoder.embedding.weight": (4, 2 * H)}, "prefix tuning", "256 parameters"),
}


def tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Random numbers of these shapes."""
    return {name: torch.randn(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("case", KINDS)
def test_an_adapter_is_told_by_its_names_alone(case: str, ending: str, tmp_path: Path) -> None:
    shapes, kind, words = KINDS[case]
    path = tmp_path / f"adapter_model.{ending}"
    if ending == "bin":
        torch.save(tensors(shapes), path)
    else:
        stored(path, tensors(shapes))
    said = refusal(path)
    assert f"is an adapter ({kind}" in said or f"{kind}) of a base that it does not name" in said
    assert words in said
    assert said.endswith("give its base, or the merged model")
    assert refusal(tmp_path).removeprefix(str(tmp_path)) == said.removeprefix(str(path))
    other = path.rename(tmp_path / f"weights.{ending}")  # its name is not what tells it
    assert refusal(other).removeprefix(str(other)) == said.removeprefix(str(path))


@pytest.mark.parametrize("with_config", [True, False])
def test_the_file_has_the_answer_of_its_folder(with_config: bool, tmp_path: Path) -> None:
    path = stored(tmp_path / "adapter_model.safetensors", tensors(LORA))
    config = {"peft_type": "LORA", "use_dora": True, "base_model_name_or_path": "example/tiny"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    if with_config:  # which trainers put beside it
        (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    said = refusal(tmp_path)
    assert "is an adapter (DoRA) of example/tiny, with 128 parameters" in said
    for given in (path, tmp_path / "adapter_config.json"):
        assert refusal(given).partition(": ")[2] == said.partition(": ")[2]


def test_an_adapter_of_the_adapters_library_names_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"model_name": "example/tiny", "model_type": "bert"}))
    assert "is an adapter (PEFT) of example/tiny, with weights that do not lie here;" in refusal(tmp_path)
    shapes = KINDS["of the adapters library"][0]
    torch.save(tensors(shapes), tmp_path / "pytorch_adapter.bin")
    assert "is an adapter (bottlenecks) of example/tiny, with 128 parameters" in refusal(tmp_path)


def test_a_model_with_an_adapter_beside_it_is_counted(tmp_path: Path) -> None:
    stored(tmp_path / "model.safetensors", llama())
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    stored(tmp_path / "adapter_model.safetensors", tensors(LORA))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    answer = count_params(tmp_path)
    assert answer.count.total == TIED_TOTAL
    assert "beside it lies an adapter (adapter_config.json), which is not counted" in answer.notes


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
def test_a_model_that_holds_adapters_of_its_own_is_a_model(prefix: str, tmp_path: Path) -> None:
    """As Phi-4-multimodal does, and a model that was saved with its adapter unmerged."""
    whole = {f"{prefix}{name}": value for name, value in llama().items()}
    for name in [name for name in whole if name.endswith("q_proj.weight")]:
        module = name.removesuffix(".weight")
        whole[f"{module}.base_layer.weight"] = whole.pop(name)
        whole |= {
            f"{module}.lora_A.speech.weight": torch.zeros(2, H),
            f"{module}.lora_B.speech.weight": torch.zeros(H, 2),
        }
    assert count_params(stored(tmp_path / "model.safetensors", whole)).count.total == TIED_TOTAL + 2 * 4 * H


def test_a_model_in_an_attribute_called_base_model_is_a_model(tmp_path: Path) -> None:
    whole = {f"base_model.{name}": value for name, value in llama().items()}
    assert count_params(stored(tmp_path / "model.safetensors", whole)).count.total == TIED_TOTAL


def test_copies_around_an_adapted_embedding_are_held_to_the_base(tmp_path: Path) -> None:
    base = llama()
    (tmp_path / "base").mkdir()
    torch.save(base, tmp_path / "base" / "pytorch_model.bin")
    copies = {f"{EMBEDDINGS}.base_layer.weight": base["model.embed_tokens.weight"]}
    stored(tmp_path / "adapter" / "adapter_model.safetensors", tensors(LORA) | copies)
    config = {"peft_type": "LORA", "base_model_name_or_path": "../base"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    said = refusal(tmp_path / "adapter" / "adapter_model.safetensors")
    assert f"{EMBEDDINGS}.base_layer.weight (bit for bit the base's model.embed_tokens.weight)" in said


gguf = pytest.importorskip("gguf")
np = pytest.importorskip("numpy")


def written(path: Path, kind: str | None, names: dict[str, tuple[int, ...]], **metadata: str) -> Path:
    """A GGUF file of zeros."""
    writer = gguf.GGUFWriter(path, "llama")
    if kind is not None:
        writer.add_string("general.type", kind)
    for key, value in metadata.items():
        writer.add_string(key.replace("__", "."), value)
    for name, shape in names.items():
        writer.add_tensor(name, np.zeros(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


GGUF_LORA = {"token_embd.weight.lora_a": (2, H), "token_embd.weight.lora_b": (V, 2)}


@pytest.mark.parametrize("kind", ["adapter", None])
def test_a_gguf_adapter_is_told(kind: str | None, tmp_path: Path) -> None:
    more = {"blk.0.attn_norm.weight": (H,)} if kind else {}  # where its type says so, whatever it holds
    path = written(tmp_path / "lora.gguf", kind, GGUF_LORA | more, general__base_model__0__name="Tiny Llama")
    said = refusal(path)
    assert f"is an adapter (LoRA) of Tiny Llama, with {2 * H + 2 * V} parameters in 2 matrices of low rank" in said


@pytest.mark.parametrize(
    ("kind", "words"), [("mmproj", "the projector of a multimodal model"), ("imatrix", "an importance matrix")]
)
def test_a_gguf_that_is_no_model_is_told(kind: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(written(tmp_path / "x.gguf", kind, {"v.patch_embd.weight": (4, 4)}))

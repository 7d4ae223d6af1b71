"""What a folder is comes before how large it is: each layout is read, or named with what gives the model."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.counting.stored_llama import LLAMA, TIED_TOTAL, H, V, llama, refusal, stored
from tests.counting.test_families import torch
from tests.counting.test_stored_weights import LIBRARY
from tiedlm.api.count import count_params
from tiedlm.counting.layouts.known_layouts import LAYOUTS
from tiedlm.errors import InputError


def written(path: Path, content: object) -> Path:
    """A file of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


# an archive beside a configuration


@pytest.mark.parametrize("says_tied", [True, False])
def test_an_archive_beside_a_configuration_is_read(says_tied: bool, tmp_path: Path) -> None:
    written(tmp_path / "config.json", LLAMA | {"tie_word_embeddings": says_tied})
    torch.save(llama(tied=False), tmp_path / "pytorch_model.bin")
    answers = [count_params(tmp_path), count_params(tmp_path / "pytorch_model.bin")]
    for answer in answers:
        assert answer.checkpoint is not None
        assert (answer.checkpoint.mismatch is not None) == says_tied
        assert answer.count.total == TIED_TOTAL + V * H
    assert answers[0].notes == answers[1].notes


def test_an_archive_that_cannot_be_read_leaves_the_configuration(tmp_path: Path) -> None:
    written(tmp_path / "config.json", LLAMA)
    torch.save(llama(tied=False), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    answer = count_params(tmp_path)
    assert (answer.count.total, answer.checkpoint) == (TIED_TOTAL, None)
    assert "counted by its configuration alone" in answer.notes[0]
    assert "is a pickle, which can run code" in answer.notes[0]
    assert answer.notes[1] == "beside it lie weights that were not read: pytorch_model.bin"


# Mistral's and Meta's own files

PARAMS = {"dim": H, "n_layers": 2, "head_dim": 8, "hidden_dim": 64, "n_heads": 4, "n_kv_heads": 2, "vocab_size": V}
NATIVE_NAMES = {
    "model.": "",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "embed_tokens": "tok_embeddings",
    "lm_head": "output",
}


def native(tied: bool) -> dict[str, Any]:
    """The same Llama by Mistral's names."""
    renamed = {}
    for name, tensor in llama(tied).items():
        for theirs, own in NATIVE_NAMES.items():
            name = name.replace(theirs, own)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("tied", [True, False])
def test_mistrals_files_are_held_to_their_params(tied: bool, tmp_path: Path) -> None:
    written(tmp_path / "params.json", PARAMS | ({"tied_embeddings": True} if tied else {}))
    stored(tmp_path / "consolidated.safetensors", native(tied))
    for given in (tmp_path, tmp_path / "consolidated.safetensors"):
        answer = count_params(given)
        assert answer.count.total == TIED_TOTAL + (0 if tied else V * H)
        assert answer.count.tie_word_embeddings == tied
        assert answer.notes == (f"as many parameters as MistralForCausalLM of {LIBRARY}",)
    written(tmp_path / "config.json", LLAMA)  # as beside the same model in the format of transformers
    assert count_params(tmp_path).checkpoint is not None
    planned = count_params(tmp_path / "params.json")
    assert planned.count.total == TIED_TOTAL + (0 if tied else V * H)
    assert planned.count.source == (
        "tied_embeddings in params.json"
        if tied
        else "the default of Mistral's loaders (params.json has no tied_embeddings)"
    )


def test_a_tie_in_params_that_the_file_contradicts_is_a_mismatch(tmp_path: Path) -> None:
    written(tmp_path / "params.json", PARAMS | {"tied_embeddings": True})
    stored(tmp_path / "consolidated.safetensors", native(tied=False))
    checkpoint = count_params(tmp_path).checkpoint
    assert checkpoint is not None
    assert (checkpoint.mismatch or "").startswith("tied_embeddings in params.json says tied")


def test_scales_of_mistrals_eight_bit_files_are_no_parameters(tmp_path: Path) -> None:
    written(tmp_path / "params.json", PARAMS | {"tied_embeddings": True})
    scales = {
        f"{name.removesuffix('weight')}{part}": torch.ones(())
        for name in native(tied=True)
        if "norm" not in name and name.startswith("layers.")
        for part in ("qscale_weight", "qscale_act")
    }
    answer = count_params(stored(tmp_path / "consolidated.safetensors", native(tied=True) | scales))
    assert answer.count.total == TIED_TOTAL
    assert answer.checkpoint is not None
    assert answer.checkpoint.not_parameters == {"scales of quantised weights": 28}


def test_metas_params_give_the_width_of_its_layers(tmp_path: Path) -> None:
    """Llama 3.1 8B: dim 4,096, factor 1.3, multiples of 1,024 make 14,336."""
    params = {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128_256}
    params |= {"multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-5}
    assert count_params(written(tmp_path / "params.json", params)).count.total == 8_030_261_248


def test_metas_file_is_read_without_a_vocabulary_in_its_params(tmp_path: Path) -> None:
    written(tmp_path / "params.json", PARAMS | {"vocab_size": -1})
    torch.save(native(tied=False), tmp_path / "consolidated.00.pth")
    answer = count_params(tmp_path)
    assert (answer.count.total, answer.count.tie_word_embeddings) == (TIED_TOTAL + V * H, False)
    assert answer.notes == ()


# sentence-transformers and diffusers


@pytest.mark.parametrize("place", ["0_Transformer", ""])
def test_a_sentence_transformer_is_its_transformer(place: str, tmp_path: Path) -> None:
    modules = [
        {"idx": 0, "name": "0", "path": place, "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    mark = written(tmp_path / "modules.json", modules)
    written(tmp_path / place / "config.json", LLAMA | {"architectures": ["LlamaModel"]})
    stored(tmp_path / place / "model.safetensors", llama())
    stored(tmp_path / "2_Dense" / "model.safetensors", {"linear.weight": torch.zeros(8, H)})
    for given in (tmp_path, mark) if place else (tmp_path,):
        answer = count_params(given)
        assert (answer.count.total, answer.count.tie_word_embeddings) == (TIED_TOTAL, None)
        notes = " ".join(answer.notes)
        assert "further modules of a sentence-transformers model, not counted: 2_Dense (256 parameters)" in notes
        assert ("0_Transformer of a sentence-transformers model is counted" in answer.notes) == bool(place)


@pytest.mark.parametrize("place", ["/etc", "../other", "a/../../b", 3])
def test_a_module_outside_its_folder_is_refused(place: object, tmp_path: Path) -> None:
    written(tmp_path / "modules.json", [{"path": place, "type": "sentence_transformers.models.Transformer"}])
    assert "names no folder in it" in refusal(tmp_path)


def test_a_pipeline_names_its_text_encoders(tmp_path: Path) -> None:
    parts = {
        "_class_name": "FluxPipeline",
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    }
    mark = written(tmp_path / "model_index.json", parts)
    for name in parts:
        (tmp_path / name).mkdir()
    said = refusal(tmp_path)
    assert "is a pipeline of diffusers (FluxPipeline), which is no language model" in said
    encoders = [f"tiedlm count-params {tmp_path / name}" for name in ("text_encoder", "text_encoder_2")]
    assert said.endswith(" and ".join(encoders))
    assert refusal(mark) == said
    component = written(tmp_path / "transformer" / "config.json", {"_class_name": "FluxTransformer2DModel"})
    for given in (component, component.parent):
        assert "is a part of a pipeline of diffusers (FluxTransformer2DModel)" in refusal(given)
        assert encoders[1] in refusal(given)


# TensorRT-LLM, ONNX, Megatron, DeepSpeed, PyTorch's own, one file alone


def test_an_engine_tells_what_it_was_built_from(tmp_path: Path) -> None:
    sizes = {"architecture": "LlamaForCausalLM", "vocab_size": 32_000, "hidden_size": 4_096}
    config = written(tmp_path / "config.json", {"pretrained_config": sizes, "build_config": {}})
    (tmp_path / "rank0.engine").write_bytes(b"")
    for given in (tmp_path, config):
        said = refusal(given)
        assert "is of an engine of TensorRT-LLM (LlamaForCausalLM, vocab_size 32,000 and hidden_size 4,096)" in said
        assert "in 1 files rank*.engine" in said


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_a_checkpoint_of_tensorrt_is_read_where_it_is_whole(num_ranks: int, tmp_path: Path) -> None:
    mapping = {"world_size": num_ranks, "tp_size": num_ranks}
    written(tmp_path / "config.json", {"architecture": "LlamaForCausalLM", "mapping": mapping, "hidden_size": H})
    tensors = {"transformer.vocab_embedding.weight": torch.randn(V, H), "lm_head.weight": torch.randn(V, H)}
    for rank in range(num_ranks):
        stored(tmp_path / f"rank{rank}.safetensors", tensors | {"transformer.ln_f.weight": torch.ones(H)})
    if num_ranks == 2:
        assert "is of a checkpoint of TensorRT-LLM (LlamaForCausalLM) in 2 files rank*.safetensors" in refusal(tmp_path)
        return
    answer = count_params(tmp_path)
    assert (answer.count.total, answer.count.tie_word_embeddings) == (2 * V * H + H, False)
    assert answer.notes[-1] == "rank0.safetensors of a TensorRT-LLM checkpoint is counted"


def test_graphs_of_onnx_name_the_model_above_them(tmp_path: Path) -> None:
    written(tmp_path / "config.json", LLAMA)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")
    assert refusal(tmp_path / "onnx").endswith(f"tiedlm count-params {tmp_path}")


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_megatrons_folder_is_read_where_one_process_saved_it(num_ranks: int, tmp_path: Path) -> None:
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("10")
    for rank in range(num_ranks):
        place = tmp_path / "iter_0000010" / f"mp_rank_{rank:02}"
        place.mkdir(parents=True)
        tensors = {"embedding.word_embeddings.weight": torch.randn(V, H), "output_layer.weight": torch.randn(V, H)}
        torch.save({"iteration": 10, "model": tensors}, place / "model_optim_rng.pt")
    if num_ranks == 2:
        assert "is a checkpoint of Megatron-LM in 2 parts" in refusal(tmp_path)
    else:
        assert count_params(tmp_path).count.total == 2 * V * H


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("global_step5/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "is a checkpoint of DeepSpeed in 1 files"),
        ("zero_to_fp32.py", "gather the weights (python zero_to_fp32.py"),
        ("__0_0.distcp", "is a distributed checkpoint of PyTorch in 1 .distcp files"),
    ],
)
def test_what_must_be_joined_first_is_told(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    assert words in refusal(tmp_path)


def test_a_lone_file_of_weights_is_its_folders_model(tmp_path: Path) -> None:
    stored(tmp_path / "w.safetensors", llama())
    torch.save({}, tmp_path / "optimizer.pt")
    assert count_params(tmp_path).count.total == TIED_TOTAL
    torch.save({"model": llama(tied=False)}, tmp_path / "checkpoint_best.pt")
    said = refusal(tmp_path)
    assert "holds 2 files of weights" in said
    assert f"tiedlm count-params {tmp_path / 'w.safetensors'}" in said


def test_a_configuration_names_the_command_for_weights_of_other_names(tmp_path: Path) -> None:
    written(tmp_path / "config.json", LLAMA)
    (tmp_path / "tf_model.h5").write_bytes(b"x")
    file = stored(tmp_path / "model.fp16.safetensors", llama(tied=False))
    for given in (tmp_path, tmp_path / "config.json"):
        assert count_params(given).notes == (
            f"its weights are counted by tiedlm count-params {file}",
            "beside it lie weights that were not read: model.fp16.safetensors, tf_model.h5",
        )


def test_an_odd_list_of_modules_is_no_reason_to_refuse_a_model(tmp_path: Path) -> None:
    stored(tmp_path / "model.safetensors", llama())
    written(tmp_path / "modules.json", [3])
    answer = count_params(tmp_path)
    assert answer.count.total == TIED_TOTAL
    assert "names no folder in it" in answer.notes[-1]


def as_npz(path: Path, tensors: dict[str, Any]) -> Path:
    """As MLX writes it."""
    np = pytest.importorskip("numpy")
    np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    return path


@pytest.mark.parametrize("tied", [True, False])
def test_mlxs_archive_is_read(tied: bool, tmp_path: Path) -> None:
    file = as_npz(tmp_path / "weights.npz", llama(tied))
    written(tmp_path / "config.json", LLAMA | {"tie_word_embeddings": tied})
    for given in (tmp_path, file):
        answer = count_params(given)
        assert answer.count.total == TIED_TOTAL + (0 if tied else V * H)
        assert answer.notes == (f"as many parameters as LlamaForCausalLM of {LIBRARY}",)
        assert answer.checkpoint is not None
        assert answer.checkpoint.copies == ("one" if tied else "different")


def test_two_matrices_of_an_npz_are_compared(tmp_path: Path) -> None:
    tensors = llama(tied=False)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    checkpoint = count_params(as_npz(tmp_path / "weights.npz", tensors)).checkpoint
    assert checkpoint is not None
    assert checkpoint.copies == "identical"
    np = pytest.importorskip("numpy")
    np.savez_compressed(tmp_path / "weights.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
    packed = count_params(tmp_path / "weights.npz").checkpoint
    assert packed is not None
    assert packed.copies == "unknown"


def test_an_npz_of_words_is_no_model(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    np.savez(tmp_path / "x.npz", words=np.array(["a", "b"]))
    assert "'words.npy' is no array of numbers" in refusal(tmp_path / "x.npz")


def test_a_damaged_npz_is_read_or_refused(tmp_path: Path) -> None:
    whole = as_npz(tmp_path / "x.npz", {"wte.weight": torch.zeros(7, 4), "n": torch.arange(3)}).read_bytes()
    numbers = random.Random(0)
    for number in range(100):
        content = bytearray(whole)
        for _ in range(3):
            content[numbers.randrange(len(content))] = numbers.randrange(256)
        (tmp_path / "x.npz").write_bytes(content if number % 3 else content[: numbers.randrange(len(content))])
        try:
            count_params(tmp_path / "x.npz")
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017 (either is right)


def test_no_layout_is_seen_in_an_empty_folder(tmp_path: Path) -> None:
    assert [layout for layout in LAYOUTS if layout(tmp_path) is not None] == []
    assert "holds no records" in refusal(tmp_path)

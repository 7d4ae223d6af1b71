"""GGUF files by their headers: against the writer and the reader of the `gguf` package, and files from strangers."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from tiedlm.api.count import count_params
from tiedlm.counting.stored.gguf_header import read_gguf
from tiedlm.errors import InputError

gguf = pytest.importorskip("gguf")
np = pytest.importorskip("numpy")
V, H, E = 120, 32, 4


def write(path: Path, architecture: str = "llama", **changes: Any) -> Path:
    """A small model with a vocabulary; `changes` replace tensors, and None takes one away."""
    numbers = np.random.default_rng(0)
    shapes = {
        "token_embd.weight": (V, H),
        "output.weight": (V, H),
        "blk.0.attn_q.weight": (H, H),
        "blk.0.ffn_gate_exps.weight": (E, 48, H),
        "output_norm.weight": (H,),
        "rope_freqs.weight": (8,),
    }
    tensors = {name: numbers.random(shape, np.float32) for name, shape in shapes.items()} | changes
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_token_list([f"token{number}" for number in range(V)])
    writer.add_token_scores([0.0] * V)
    writer.add_expert_count(E)
    writer.add_expert_used_count(1)
    for name, tensor in tensors.items():
        if tensor is not None:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


WITHOUT_EXPERTS = 2 * V * H + H * H + H
EXPERTS = E * 48 * H


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_matrix_decides_the_tie(tied: bool, tmp_path: Path) -> None:
    answer = count_params(write(tmp_path / "model.gguf", **({"output.weight": None} if tied else {})))
    count = answer.count
    assert count.total == WITHOUT_EXPERTS + EXPERTS - (V * H if tied else 0)
    assert (count.tie_word_embeddings, count.total_untied) == (tied, WITHOUT_EXPERTS + EXPERTS)
    assert count.active == count.total - EXPERTS * 3 // 4
    assert answer.checkpoint is not None
    assert (answer.checkpoint.mismatch, answer.checkpoint.not_parameters) == (None, {"rotary frequencies": 8})
    assert ("llama.cpp" in str(count.source)) == tied


@pytest.mark.parametrize(
    ("architecture", "stored", "tied"),
    [
        ("codeshell", "output.weight", True),
        ("llama", "output.weight", None),
        ("llama", "token_embd.weight", True),
        ("eagle3", "token_embd.weight", None),  # borrows the output of the model that it drafts for
    ],
)
def test_one_matrix_is_both_where_llama_cpp_makes_it_so(
    architecture: str, stored: str, tied: bool | None, tmp_path: Path
) -> None:
    other = {"output.weight": "token_embd.weight", "token_embd.weight": "output.weight"}[stored]
    count = count_params(write(tmp_path / "model.gguf", architecture, **{other: None})).count
    assert count.tie_word_embeddings is tied
    assert count.total == WITHOUT_EXPERTS + EXPERTS - V * H
    assert (stored in str(count.source) and "llama.cpp" in str(count.source)) == bool(tied)


@pytest.mark.parametrize(("architecture", "is_parameter"), [("glm4moe", False), ("ernie4_5-moe", True)])
def test_a_routing_bias_is_counted_where_its_class_has_it_as_parameter(
    architecture: str, is_parameter: bool, tmp_path: Path
) -> None:
    """As `transformers` has it: a buffer of Glm4MoeTopkRouter, a parameter of Ernie4_5_MoeStatics."""
    bias = {"blk.0.exp_probs_b.bias": np.ones(E, np.float32)}
    answer = count_params(write(tmp_path / "model.gguf", architecture, **bias))
    assert answer.count.total == WITHOUT_EXPERTS + EXPERTS + (E if is_parameter else 0)


@pytest.mark.parametrize(("architecture", "is_parameter"), [("qwen3moe", False), ("gemma4", True)])
def test_the_scales_of_a_router_are_parameters_of_gemma_4(
    architecture: str, is_parameter: bool, tmp_path: Path
) -> None:
    """As `transformers` has them: Gemma4TextRouter.scale and per_expert_scale; elsewhere they scale quantised ones."""
    scales = {"blk.0.ffn_gate_inp.scale": np.ones(H, np.float32), "blk.0.ffn_down_exps.scale": np.ones(E, np.float32)}
    others = {"blk.0.attn_q.scale": np.ones(1, np.float32)}
    answer = count_params(write(tmp_path / "model.gguf", architecture, **scales, **others))
    assert answer.count.total == WITHOUT_EXPERTS + EXPERTS + (H + E if is_parameter else 0)


def test_quantised_blocks_count_as_the_weights_that_they_stand_for(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    rows = np.random.default_rng(0).random((V, H), np.float32)
    for name in ("token_embd.weight", "blk.0.attn_q.weight"):
        packed = gguf.quantize(rows if name.startswith("token") else rows[:H], gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output_norm.weight", rows[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    answer = count_params(tmp_path / "model.gguf")
    assert answer.count.total == V * H + H * H + H
    assert answer.checkpoint is not None
    assert answer.checkpoint.dtypes == {"Q8_0": V * H + H * H, "F32": H}
    assert answer.checkpoint.num_bytes == (V * H + H * H) // 32 * 34 + 4 * H


def test_tensors_are_those_of_the_packages_own_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf")
    theirs = {
        tensor.name: (tuple(reversed(tensor.shape.tolist())), int(tensor.data_offset), int(tensor.n_bytes))
        for tensor in gguf.GGUFReader(path).tensors
    }
    ours = {tensor.name: (tensor.shape, tensor.offset, tensor.num_bytes) for tensor in read_gguf(path).tensors}
    assert ours == theirs


@pytest.mark.parametrize("key", ["pooling_type", "attention.causal"])
def test_an_encoder_for_retrieval_has_no_tie(key: str, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "qwen3")
    if key == "pooling_type":
        writer.add_pooling_type(gguf.PoolingType.LAST)
    else:
        writer.add_causal_attention(False)
    for name, shape in (("token_embd.weight", (V, H)), ("output_norm.weight", (H,))):
        writer.add_tensor(name, np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    count = count_params(tmp_path / "model.gguf").count
    assert (count.tie_word_embeddings, count.no_tie is None, count.total) == (None, False, V * H + H)


@pytest.mark.parametrize("architecture", ["dream", "llada", "llada-moe", "rnd1"])
def test_a_diffusion_language_model_has_a_head(architecture: str, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", architecture)
    writer.add_causal_attention(False)
    for name, shape in (("token_embd.weight", (V, H)), ("output_norm.weight", (H,))):
        writer.add_tensor(name, np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    count = count_params(tmp_path / "model.gguf").count
    assert (count.tie_word_embeddings, count.no_tie, count.total_untied) == (True, None, 2 * V * H + H)


def test_a_model_in_several_files_is_read_whole_or_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama", split_max_tensors=1)
    for name in ("token_embd.weight", "output_norm.weight", "output.weight"):
        writer.add_tensor(name, np.ones((V, H) if "norm" not in name else (H,), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(tmp_path.glob("*.gguf"))
    assert len(parts) == 3
    for part in parts:
        count = count_params(part).count
        assert count.total == (V * H if count.tie_word_embeddings else 2 * V * H) + H
        assert count.groups["final_norm"] == H
    parts[-1].unlink()
    with pytest.raises(InputError, match="is missing; get it too"):
        count_params(parts[0])


def header(num_tensors: int, num_keys: int, rest: bytes = b"") -> bytes:
    """A file of version 3."""
    return b"GGUF" + struct.pack("<IQQ", 3, num_tensors, num_keys) + rest


def text(value: bytes) -> bytes:
    """As the format writes it."""
    return struct.pack("<Q", len(value)) + value


HOSTILE = {
    "empty": (b"", "goes on after its 0 bytes"),
    "no magic": (b"GGML" + bytes(100), "does not begin with GGUF"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "many tensors": (header(2**63, 0), "claims"),
    "many keys": (header(0, 2**64 - 1), "claims"),
    "a long key": (header(0, 1, struct.pack("<Q", 2**63)), "goes on after"),
    "endless numbers": (header(0, 1, text(b"k") + struct.pack("<IIQ", 9, 0, 2**64 - 1)), "goes on after"),
    "endless texts": (header(0, 1, text(b"k") + struct.pack("<IIQ", 9, 8, 2**64 - 1)), "goes on after"),
    "nested arrays": (header(0, 1, text(b"k") + struct.pack("<IIQ", 9, 9, 5) + bytes(99)), "unknown type 9"),
    "odd type": (header(0, 1, text(b"k") + struct.pack("<I", 77)), "unknown type 77"),
    "dimensions": (header(1, 0, text(b"t") + struct.pack("<I", 2**32 - 1)), "dimensions"),
    "elements": (header(1, 0, text(b"t") + struct.pack("<IQQIQ", 2, 2**62, 2**62, 0, 0)), "2^63"),
    "no block": (header(1, 0, text(b"t") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(99)), "whole blocks of 32"),
    "tensor type": (header(1, 0, text(b"t") + struct.pack("<IQIQ", 1, 4, 999, 0)), "of type 999"),
    "outside": (header(1, 0, text(b"t") + struct.pack("<IQIQ", 1, 4, 0, 2**63)), "after the end of the file"),
    "in another": (
        header(2, 0, 2 * (text(b"t") + struct.pack("<IQIQ", 1, 4, 0, 0)) + bytes(99)),
        "lies in another",
    ),
    "alignment": (header(0, 1, text(b"general.alignment") + struct.pack("<II", 4, 0)), "alignment"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_cost_a_sentence(case: str, tmp_path: Path) -> None:
    content, words = HOSTILE[case]
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(InputError, match="is no sound GGUF file") as refused:
        count_params(tmp_path / "x.gguf")
    assert words in str(refused.value)


def test_a_damaged_file_is_read_or_refused(tmp_path: Path) -> None:
    """Random bytes changed, and every end: never another exception."""
    whole = write(tmp_path / "model.gguf").read_bytes()
    random_numbers = random.Random(0)
    for number in range(100):
        content = bytearray(whole)
        for _ in range(3):
            content[random_numbers.randrange(4_000)] = random_numbers.randrange(256)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(content if number % 2 else content[: random_numbers.randrange(len(content))])
        try:
            read_gguf(path)
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017 (either is right)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"pip install 'tiedlm\[gguf\]'"):
        count_params(path)

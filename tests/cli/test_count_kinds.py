"""Kinds of models that a counter gets wrong in silence, each through the command: a small case, or published sizes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file, save_model

from tests.counting.test_families import torch, transformers
from tests.counting.test_stored_weights import rewritten, save, tiny
from tiedlm.cli.main import main
from tiedlm.processes.held_signals import STOP_SIGNALS

Command = Callable[..., tuple[int, dict[str, Any], str]]
SEQ2SEQ = {
    "vocab_size": 120,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`tiedlm count-params … --json` in this process: its status, its document, and stderr on one line."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def run(path: object, *options: str) -> tuple[int, dict[str, Any], str]:
        monkeypatch.setattr(sys, "argv", ["tiedlm", "count-params", str(path), "--json", *options])
        with pytest.raises(SystemExit) as stopped:
            main()
        seen = capsys.readouterr()
        document = json.loads(seen.out) if seen.out else {}
        return int(stopped.value.code or 0), document, " ".join(seen.err.split())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def configured(folder: Path, config: dict[str, Any]) -> Path:
    """A `config.json`."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def build(class_name: str, **sizes: Any) -> Any:
    """A class with random numbers."""
    torch.manual_seed(0)
    model_class = getattr(transformers, class_name)
    model = model_class(model_class.config_class(**sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def unique(model: Any) -> int:
    """Parameters, each tensor once."""
    return sum(parameter.numel() for parameter in model.parameters())


# A: an encoder and a decoder are one model


def test_a_published_translation_model_is_both_its_stacks(command: Command, tmp_path: Path) -> None:
    sizes = {
        "d_model": 512,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 2_048,
        "decoder_ffn_dim": 2_048,
        "max_position_embeddings": 512,
        "vocab_size": 53_685,
        "decoder_vocab_size": 53_685,
        "pad_token_id": 53_684,
    }
    config = {"architectures": ["MarianMTModel"], "model_type": "marian", "tie_word_embeddings": True}
    _, document, _ = command(configured(tmp_path / "marian", config | sizes))
    assert (document["total"], document["tie_word_embeddings"]) == (72_149_504, True)


@pytest.mark.parametrize(
    ("model_type", "class_name"),
    [
        ("pegasus", "PegasusForConditionalGeneration"),
        ("blenderbot", "BlenderbotForConditionalGeneration"),
        ("plbart", "PLBartForConditionalGeneration"),
        ("whisper", "WhisperForConditionalGeneration"),
        ("prophetnet", "ProphetNetForConditionalGeneration"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_the_sequence_to_sequence_class_comes_first(
    model_type: str, class_name: str, named: bool, command: Command, tmp_path: Path
) -> None:
    sizes = SEQ2SEQ | {"is_encoder_decoder": True, "hidden_size": 32, "num_encoder_layers": 2, "num_decoder_layers": 2}
    config_class = getattr(transformers, class_name).config_class
    sizes = {key: value for key, value in sizes.items() if key in config_class().to_dict()}
    config = sizes | {"model_type": model_type} | ({"architectures": [class_name]} if named else {})
    _, document, _ = command(configured(tmp_path / "model", config))
    assert document["architecture"] == class_name
    assert document["total"] == unique(build(class_name, **sizes))


# B: code of the model's own


def test_mosaic_bert_has_a_closed_form(command: Command, tmp_path: Path) -> None:
    config = {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        "alibi_starting_size": 512,
        "vocab_size": 4_096,
        "auto_map": {"AutoModelForMaskedLM": "bert_layers.BertForMaskedLM"},
    }
    _, document, _ = command(configured(tmp_path / "model", config))
    assert document["total"] == 117_074_176
    assert "bert_layers.BertForMaskedLM, which was not run" in document["notes"][0]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "llama", "mpnet", "deepseek_v3"])
def test_own_code_is_told_by_its_tensors_alone(model_type: str, command: Command, tmp_path: Path) -> None:
    plain = save(tiny("llama"), tmp_path / "model")
    own = {"AutoConfig": "own.Config", "AutoModelForMaskedLM": "own.Model"}
    config = tiny("bert") | {"model_type": model_type, "auto_map": own, "tie_word_embeddings": True}
    path = configured(tmp_path / "model", config)
    status, document, said = command(path)
    assert (status, document) == (2, {})
    assert "own.Model" in said
    assert "only its stored tensors tell" in said
    status, document, _ = command(tmp_path / "model")
    assert (status, document["total"], document["tie_word_embeddings"]) == (0, plain.count.total, True)
    assert "own.Model" in document["notes"][0]


# C: limits on layers and experts


@pytest.mark.parametrize(
    ("config", "total"),
    [
        (
            {
                "model_type": "qwen2_moe",
                "architectures": ["Qwen2MoeForCausalLM"],
                "hidden_size": 2_048,
                "intermediate_size": 5_632,
                "moe_intermediate_size": 1_408,
                "num_attention_heads": 16,
                "num_experts": 60,
                "num_experts_per_tok": 4,
                "num_hidden_layers": 24,
                "num_key_value_heads": 16,
                "shared_expert_intermediate_size": 5_632,
                "tie_word_embeddings": False,
                "vocab_size": 151_936,
            },
            14_315_784_192,
        ),
        (
            {
                "model_type": "gemma3n_text",
                "architectures": ["Gemma3nForCausalLM"],
                "vocab_size_per_layer_input": 262_144,
                "hidden_size_per_layer_input": 256,
                "intermediate_size": [16_384] * 35,
                "num_hidden_layers": 35,
                "tie_word_embeddings": True,
            },
            6_835_235_568,
        ),
    ],
)
def test_sizes_with_layer_or_expert_in_their_names_are_sizes(
    config: dict[str, Any], total: int, command: Command, tmp_path: Path
) -> None:
    status, document, _ = command(configured(tmp_path / "model", config))
    assert (status, document["total"]) == (0, total)
    assert document["tie_word_embeddings"] == config["tie_word_embeddings"]


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_hidden_layers": 9_999},
        {"num_hidden_layers": 1_500, "num_experts": 1_500},
        {"intermediate_size": [16, -16]},
        {"intermediate_size": [16, "16"]},
        {"intermediate_size": [10**12]},
    ],
)
def test_sizes_that_are_none_are_still_refused(sizes: dict[str, Any], command: Command, tmp_path: Path) -> None:
    status, _, said = command(configured(tmp_path / "model", {"model_type": "qwen2_moe", **sizes}))
    assert status == 2
    assert "too many to build" in said or "is not a whole number" in said


# D: numbers that JSON has not


def test_an_infinity_that_transformers_wrote_is_read(command: Command, tmp_path: Path) -> None:
    model = build(
        "GraniteMoeHybridForCausalLM",
        vocab_size=120,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["linear_attention", "full_attention"],
        mamba_n_heads=8,
        mamba_d_head=8,
        mamba_d_state=8,
        num_local_experts=0,
        num_experts_per_tok=0,
        shared_intermediate_size=48,
        tie_word_embeddings=True,
    )
    model.save_pretrained(tmp_path / "model")
    assert '"__float__": "Infinity"' in (tmp_path / "model" / "config.json").read_text()
    for path in (tmp_path / "model" / "config.json", tmp_path / "model"):
        status, document, _ = command(path)
        assert (status, document["total"], document["tie_word_embeddings"]) == (0, 23_688, True)
        assert document["total"] == unique(model)


def test_an_infinite_size_is_none(command: Command, tmp_path: Path) -> None:
    status, _, said = command(configured(tmp_path, {"model_type": "bert", "vocab_size": {"__float__": "-Infinity"}}))
    assert status == 2
    assert "vocab_size=-inf is not a whole number" in said


# E: a family that nobody knows


@pytest.mark.parametrize("place", ["", "text_config", "llm_config"])
@pytest.mark.parametrize(
    ("flag", "stored", "tied", "status"),
    [(True, 1, True, 0), (True, 2, False, 1), (False, 1, None, 1), (False, 2, False, 0)],
)
def test_the_flag_of_an_unknown_family_is_held_to_its_file(
    place: str, flag: bool, stored: int, tied: bool | None, status: int, command: Command, tmp_path: Path
) -> None:
    plain = save(tiny("llama", tied=stored == 1), tmp_path)
    config = {"tie_word_embeddings": flag}
    nested = {place: config} if place else config
    path = configured(tmp_path, {"model_type": "nosuch", "architectures": ["NosuchForCausalLM"], **nested})
    got, document, _ = command(path.parent)
    assert (got, document["total"], document["tie_word_embeddings"]) == (status, plain.count.total, tied)
    key = f"{place}.tie_word_embeddings" if place else "tie_word_embeddings"
    assert document["checkpoint"]["config_ties_by"] == f"{key} in its configuration"


# F: quantised layers beside plain embeddings


@pytest.mark.parametrize("packing", ["int8", "gptq", "nf4"])
@pytest.mark.parametrize(
    ("flag", "output", "status"), [(True, "other", 1), (True, "none", 0), (False, "other", 0), (False, "none", 1)]
)
def test_plain_matrices_of_a_quantised_model_are_compared(
    packing: str, flag: bool, output: str, status: int, command: Command, tmp_path: Path
) -> None:
    save(tiny("llama", tied=output == "none"), tmp_path)
    name = "model.layers.0.mlp.up_proj"

    def pack(tensors: dict[str, Any]) -> None:
        shape = tensors.pop(f"{name}.weight").shape
        if packing == "int8":
            tensors |= {f"{name}.weight": torch.ones(shape, dtype=torch.int8), f"{name}.SCB": torch.ones(shape[0])}
        elif packing == "gptq":
            tensors |= {f"{name}.qweight": torch.ones(3, 40, dtype=torch.int32), f"{name}.scales": torch.ones(1, 40)}
        else:
            tensors |= {f"{name}.weight": torch.ones(480, 1, dtype=torch.uint8), f"{name}.weight.absmax": torch.ones(8)}

    rewritten(tmp_path, pack, tie_word_embeddings=flag)
    got, document, _ = command(tmp_path)
    assert got == status
    assert document["total"] == document["total_untied" if output == "other" else "total_tied"]
    assert (document["checkpoint"]["mismatch"] is not None) == bool(status)


def test_quantised_embeddings_are_not_called_missing(command: Command, tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)

    def pack(tensors: dict[str, Any]) -> None:
        del tensors["lm_head.weight"]
        tensors["lm_head.qweight"] = torch.ones(3, 60, dtype=torch.int32)

    rewritten(tmp_path, pack)
    status, document, _ = command(tmp_path)
    assert (status, document["checkpoint"]) == (0, None)
    assert "quantised too" in document["notes"][-1]


# G: buffers and scales are no parameters


def test_a_bias_that_is_no_parameter_is_told_apart(command: Command, tmp_path: Path) -> None:
    """By `save_model`, which also keeps one name alone of the shared matrix, and the rest as metadata."""
    model = build("BartForConditionalGeneration", **SEQ2SEQ)
    model.save_pretrained(tmp_path)
    save_model(model, str(tmp_path / "model.safetensors"))
    for path in (tmp_path, tmp_path / "config.json"):
        status, document, _ = command(path)
        assert (status, document["total"], document["tie_word_embeddings"]) == (0, unique(model), True)
    _, document, _ = command(tmp_path)
    assert document["checkpoint"]["not_parameters"] == {"output biases that are not trained": 120}
    (tmp_path / "config.json").unlink()
    _, document, _ = command(tmp_path)
    assert (document["total"], document["tie_word_embeddings"]) == (unique(model), True)


@pytest.mark.parametrize("scale", ["weight_scale_inv", "weight_scale", "input_scale"])
def test_scales_of_eight_bit_floats_are_told_apart(scale: str, command: Command, tmp_path: Path) -> None:
    plain = save(tiny("llama", tied=False), tmp_path)

    def quantise(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if "proj" in name]:
            tensors[name] = tensors[name].to(torch.float8_e4m3fn)
            tensors[name.replace("weight", scale)] = torch.ones(1, 1)

    rewritten(tmp_path, quantise)
    status, document, _ = command(tmp_path)
    assert (status, document["total"]) == (0, plain.count.total)
    assert document["checkpoint"]["not_parameters"] == {"scales of quantised weights": 14}


@pytest.mark.parametrize(
    "name",
    [
        "model.decoder.embed_positions.weights",
        "model.layers.0.self_attn.rotary_emb.cos_cached",
        "rope.freqs",
    ],
)
def test_tables_that_are_computed_are_no_parameters(name: str, command: Command, tmp_path: Path) -> None:
    save_file({"model.embed_tokens.weight": torch.randn(120, 32), name: torch.ones(16, 32)}, tmp_path / "a.safetensors")
    _, document, _ = command(tmp_path / "a.safetensors")
    assert document["total"] == 120 * 32
    assert list(document["checkpoint"]["not_parameters"].values()) == [512]


# H: names, shapes and bytes


def word_language_model(folder: Path, tied: bool) -> Path:
    """As PyTorch's example of that name saves it: an encoder, an LSTM, a decoder."""
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Embedding(120, 32), torch.nn.Linear(32, 120)
    tensors = {"encoder.weight": encoder.weight, "decoder.weight": decoder.weight, "decoder.bias": decoder.bias}
    if tied:
        tensors["decoder.weight"] = encoder.weight.detach().clone()
    rnn = torch.nn.LSTM(32, 32, 2).state_dict()
    path = folder / "word.safetensors"
    save_file({name: value.detach() for name, value in tensors.items()} | {f"rnn.{n}": v for n, v in rnn.items()}, path)
    return path


@pytest.mark.parametrize(("tied", "total", "copies"), [(True, 20_856, "identical"), (False, 24_696, "different")])
def test_the_word_language_model_of_pytorch(
    tied: bool, total: int, copies: str, command: Command, tmp_path: Path
) -> None:
    status, document, _ = command(word_language_model(tmp_path, tied))
    assert (status, document["total"], document["tie_word_embeddings"]) == (0, total, tied)
    assert (document["total_tied"], document["total_untied"]) == (20_856, 24_696)
    assert document["checkpoint"]["copies"] == copies
    assert document["checkpoint"]["input_embedding"] == "encoder.weight"


@pytest.mark.parametrize(
    ("class_name", "sizes"),
    [
        ("XLNetLMHeadModel", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}),
        ("XLMWithLMHeadModel", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}),
        ("FlaubertWithLMHeadModel", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}),
        ("RwkvForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2}),
        ("CTRLLMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "dff": 48}),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_families_with_names_of_their_own(
    class_name: str, sizes: dict[str, int], tied: bool, command: Command, tmp_path: Path
) -> None:
    model = build(class_name, vocab_size=120, tie_word_embeddings=tied, **sizes)
    model.save_pretrained(tmp_path)
    for path in (tmp_path / "config.json", tmp_path):
        status, document, _ = command(path)
        assert (status, document["total"], document["tie_word_embeddings"]) == (0, unique(model), tied)


@pytest.mark.parametrize("names", [("model.encoder.weight", "decoder.weight"), ("tok_emb.weight", "head.weight")])
def test_an_alias_in_the_metadata_is_a_tie(names: tuple[str, str], command: Command, tmp_path: Path) -> None:
    first, second = names
    for kept, gone in (names, (second, first)):
        path = tmp_path / f"{kept}.safetensors"
        save_file({kept: torch.randn(120, 32), "layers.0.bias": torch.ones(3)}, path, metadata={gone: kept})
        _, document, _ = command(path)
        assert (document["total"], document["tie_word_embeddings"]) == (3_843, True), kept


# I: no language-model head


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize(
    ("class_name", "sizes"),
    [
        ("ElectraForPreTraining", {"embedding_size": 16}),
        ("FunnelForPreTraining", {"d_model": 32, "block_sizes": [1, 1], "n_head": 4, "d_head": 8, "d_inner": 48}),
        ("BertForSequenceClassification", {}),
    ],
)
def test_a_model_that_predicts_no_words_has_no_tie(
    class_name: str, sizes: dict[str, Any], flag: bool, command: Command, tmp_path: Path
) -> None:
    common = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    sizes = sizes if "d_model" in sizes else common | sizes
    model = build(class_name, vocab_size=120, tie_word_embeddings=flag, **sizes)
    model.save_pretrained(tmp_path)
    status, document, _ = command(tmp_path)
    assert (status, document["total"]) == (0, unique(model))
    assert (document["tie_word_embeddings"], document["checkpoint"]["mismatch"]) == (None, None)
    assert document["architecture"] == class_name
    assert document["no_tie"] == "no language-model head, so the tie does not apply"


@pytest.mark.parametrize("tied", [True, False])
def test_an_output_matrix_is_one_whatever_the_class_is_called(tied: bool, command: Command, tmp_path: Path) -> None:
    """ChatGLM's class is `ChatGLMModel`, its code its own, and it predicts words."""
    table = torch.randn(120, 32)
    tensors = {
        "transformer.embedding.word_embeddings.weight": table,
        "transformer.output_layer.weight": table.clone() if tied else torch.randn(120, 32),
        "transformer.encoder.layers.0.input_layernorm.weight": torch.ones(32),
    }
    config = {"model_type": "chatglm", "architectures": ["ChatGLMModel"], "auto_map": {"AutoModel": "m.ChatGLMModel"}}
    configured(tmp_path, config | {"tie_word_embeddings": tied})
    save_file(tensors, tmp_path / "model.safetensors")
    status, document, _ = command(tmp_path)
    assert (status, document["tie_word_embeddings"], document["no_tie"]) == (0, tied, None)
    assert document["total"] == (1 if tied else 2) * 120 * 32 + 32


# J: sentences that are true


def test_the_matrix_that_is_missing_is_named(command: Command, tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)
    rewritten(tmp_path, lambda tensors: tensors.pop("model.embed_tokens.weight"))
    status, _, said = command(tmp_path)
    assert status == 1
    assert "beside lm_head.weight, the output matrix, the file holds no input matrix" in said


@pytest.mark.parametrize(("model_type", "who"), [("llama", "LlamaConfig"), ("gemma", "GemmaConfig")])
def test_a_default_that_decides_is_named(model_type: str, who: str, command: Command, tmp_path: Path) -> None:
    raw = tiny(model_type)
    del raw["tie_word_embeddings"]
    _, document, _ = command(configured(tmp_path / "model", raw))
    library = f"transformers {transformers.__version__}"
    assert document["source"] == f"the default of {who} in {library} (its configuration has no tie_word_embeddings)"


def test_a_model_of_parts_without_a_flag_is_as_it_was_released(command: Command, tmp_path: Path) -> None:
    text = {
        "model_type": "mistral",
        "head_dim": 128,
        "hidden_size": 5_120,
        "intermediate_size": 32_768,
        "num_attention_heads": 32,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "vocab_size": 131_072,
    }
    vision = {
        "model_type": "pixtral",
        "head_dim": 64,
        "hidden_size": 1_024,
        "image_size": 1_540,
        "intermediate_size": 4_096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
    }
    config = {
        "model_type": "mistral3",
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": text,
        "vision_config": vision,
        "multimodal_projector_bias": False,
        "spatial_merge_size": 2,
    }
    _, document, _ = command(configured(tmp_path / "model", config))
    assert (document["total"], document["tie_word_embeddings"]) == (24_011_361_280, False)
    assert "mistralai/Mistral-Small-3.1" in document["source"]
    assert "has no tie_word_embeddings" in document["source"]
    assert 23_340_272_640 in document["other_totals"].values()
    _, document, _ = command(
        configured(tmp_path / "model", config | {"text_config": text | {"tie_word_embeddings": True}})
    )
    assert document["total"] == 23_340_272_640
    assert "Mistral3Config" in document["source"]
    assert "it reads no tie_word_embeddings" in document["source"]


@pytest.mark.parametrize(
    ("config", "times"),
    [
        ({"model_type": "t5", "vocab_size": 120, "d_model": 32}, 3),
        ({"model_type": "mt5", "vocab_size": 120, "d_model": 32, "tie_word_embeddings": True}, 3),
        ({"model_type": "gpt2", "vocab_size": 120, "n_embd": 36}, 1),
    ],
)
def test_what_torchinfo_prints(config: dict[str, Any], times: int, command: Command, tmp_path: Path) -> None:
    """It counts a matrix with each module that has it; T5 has one for each stack, one for both, and the head."""
    _, document, _ = command(configured(tmp_path / "model", config))
    (total,) = (total for what, total in document["other_totals"].items() if "torchinfo" in what)
    assert total == document["total"] + times * document["saved"]


def test_t5_small_is_what_torchinfo_prints(command: Command) -> None:
    _, document, _ = command("t5-small")
    assert 109_855_232 in document["other_totals"].values()


@pytest.mark.parametrize(
    ("name", "words"), [("model.bin", "is a pickle, which can run code"), ("model.h5", ".h5 files are not read here")]
)
def test_why_a_file_is_not_read_is_true(name: str, words: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"content")
    status, _, said = command(tmp_path / name)
    assert status == 2
    assert words in said
    assert name == "model.bin" or "code" not in said


# K: weights that were not read


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "model-00001-of-00002.safetensors",
        "model.fp16.safetensors",
        "consolidated.safetensors",
        "tf_model.h5",
        "flax_model.msgpack",
    ],
)
@pytest.mark.parametrize("with_weights", [True, False])
def test_weights_that_lie_there_unread_are_told(
    name: str, with_weights: bool, command: Command, tmp_path: Path
) -> None:
    if with_weights:
        save(tiny("bert"), tmp_path)
    configured(tmp_path, tiny("bert"))
    (tmp_path / "training_args.bin").write_bytes(b"")
    _, without, _ = command(tmp_path)
    assert not any("not read" in note for note in without["notes"])
    (tmp_path / name).write_bytes(b"")
    _, document, _ = command(tmp_path)
    assert document["notes"][-1] == f"beside it lie weights that were not read: {name}"


# and what people ask beside


def test_copies_in_layers_that_predict_further_tokens_count_once(command: Command, tmp_path: Path) -> None:
    plain = save(tiny("llama", tied=False), tmp_path)

    def add_layer(tensors: dict[str, Any]) -> None:
        tensors["model.layers.2.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors["model.layers.2.shared_head.head.weight"] = tensors["lm_head.weight"].clone()
        tensors["model.layers.2.eh_proj.weight"] = torch.ones(24, 48)
        tensors["model.layers.2.mlp.gate.e_score_correction_bias"] = torch.ones(4)

    rewritten(tmp_path, add_layer, num_nextn_predict_layers=1)
    _, document, _ = command(tmp_path)
    assert document["total"] == plain.count.total + 24 * 48
    assert len(document["checkpoint"]["duplicates"]) == 2
    assert "multi-token prediction: 1,152 parameters" in document["notes"][-1]


def test_a_head_that_multiplies_by_the_embeddings_is_tied_by_construction(command: Command, tmp_path: Path) -> None:
    model = build(
        "PerceiverForMaskedLM",
        vocab_size=262,
        d_model=24,
        d_latents=32,
        num_latents=8,
        num_self_attends_per_block=2,
        num_self_attention_heads=2,
        num_cross_attention_heads=2,
        qk_channels=16,
        v_channels=32,
        max_position_embeddings=32,
    )
    model.save_pretrained(tmp_path)
    for path in (tmp_path, tmp_path / "config.json"):
        status, document, _ = command(path)
        assert (status, document["total"], document["tie_word_embeddings"]) == (0, 41_830, True)


@pytest.mark.parametrize(
    ("class_name", "sizes", "widths"),
    [
        (
            "RemBertForMaskedLM",
            {"input_embedding_size": 16, "output_embedding_size": 24},
            "120 × 16, the output matrix 120 × 24",
        ),
        ("CpmAntForCausalLM", {"prompt_types": 2, "prompt_length": 3}, "126 × 32, the output matrix 120 × 32"),
    ],
)
def test_matrices_of_two_shapes_cannot_be_tied(
    class_name: str, sizes: dict[str, int], widths: str, command: Command, tmp_path: Path
) -> None:
    common = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "dim_head": 8, "dim_ff": 48}
    known = getattr(transformers, class_name).config_class().to_dict()
    common = {key: value for key, value in common.items() if key in known}
    model = build(class_name, vocab_size=120, **common, **sizes)
    model.save_pretrained(tmp_path)
    for path in (tmp_path, tmp_path / "config.json"):
        status, document, _ = command(path)
        assert (status, document["total"], document["saved"]) == (0, unique(model), 0)
        assert document["no_tie"] == f"cannot be tied: the embedding matrix is {widths}"


def test_a_bias_that_was_not_resized_is_told(command: Command, tmp_path: Path) -> None:
    save(tiny("bert"), tmp_path)
    rewritten(tmp_path, lambda tensors: tensors.update({"cls.predictions.bias": torch.zeros(52)}))
    _, document, _ = command(tmp_path)
    assert "cls.predictions.bias has 52 numbers for 60 rows; it was not resized with the matrix" in document["notes"]


def test_the_file_is_left_as_it_was(command: Command, tmp_path: Path) -> None:
    save(tiny("bert"), tmp_path)
    before = {name: tensor.clone() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    command(tmp_path)
    after = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("copied", [True, False])
def test_an_adapter_is_told_with_its_base(copied: bool, command: Command, tmp_path: Path) -> None:
    tensors = {
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(4, 32),
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": torch.ones(32, 4),
    }
    name = "base_model.model.lm_head.weight"
    save_file(tensors | ({name: torch.ones(120, 32)} if copied else {}), tmp_path / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen2.5-3B"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    status, _, said = command(tmp_path)
    assert status == 2
    assert "is an adapter (LoRA) of Qwen/Qwen2.5-3B, with 256 parameters in 2 matrices of low rank" in said
    assert "no copies of the embeddings" in said
    assert (f"copies of the output matrix {name}" in said) == copied
    assert ("whose base does not lie here" in said) == copied


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("saved_as", ["", "modules_to_save.", "modules_to_save.default."])
def test_the_copies_of_an_adapter_are_held_to_its_base_on_disk(
    saved_as: str, tied: bool, command: Command, tmp_path: Path
) -> None:
    save(tiny("llama", tied=tied), tmp_path / "base")
    stored = load_file(tmp_path / "base" / "model.safetensors")
    names = ("model.embed_tokens.weight", "lm_head.weight")
    copies = {
        f"base_model.model.{name.replace('weight', '')}{saved_as}weight": stored.get(name, stored[names[0]]).clone()
        for name in names
    }
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../base"}))
    table, head = copies
    for change, words in ((0, "bit for bit the base's"), (1, "not the base's")):
        copies[head] += change
        save_file(copies, adapter / "adapter_model.safetensors")
        status, _, said = command(adapter)
        assert status == 2
        assert f"{table} (bit for bit the base's {names[0]})" in said
        assert f"{head} ({words} {names[0] if tied else names[1]})" in said
    copies[head] = torch.zeros(7, 24)
    copies[table] = copies[table].half()
    save_file(copies, adapter / "adapter_model.safetensors")
    _, _, said = command(adapter)
    assert "of 7 rows" in said
    assert "in F16, the base's is in F32, so not compared" in said

"""What the class says of a model, against what flags, names and lists said: the basis of an answer, and who decides.

Small models of `transformers`, saved by it; each kind of file on which names alone went wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.counting.test_families import num_parameters, torch, transformers
from tests.counting.test_stored_weights import LIBRARY, checkpoint_of, rewritten, save, tiny
from tiedlm.api.count import Answer, count_params
from tiedlm.counting.cross_check import answer_config
from tiedlm.errors import InputError

TEXT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 12,
    "intermediate_size": 40,
}
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 16,
    "projection_dim": 16,
}
BLIP = {
    "model_type": "blip",
    "architectures": ["BlipForConditionalGeneration"],
    "text_config": {
        "model_type": "blip_text_model",
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "encoder_hidden_size": 16,
        "projection_dim": 16,
    },
    "vision_config": {**VISION, "model_type": "blip_vision_model"},
    "projection_dim": 16,
}
TROCR = {
    "model_type": "vision-encoder-decoder",
    "architectures": ["VisionEncoderDecoderModel"],
    "encoder": {**VISION, "model_type": "vit"},
    "decoder": {
        "model_type": "trocr",
        "vocab_size": 60,
        "d_model": 16,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 16,
        "max_position_embeddings": 20,
        "cross_attention_hidden_size": 16,
    },
}
T5 = {**tiny("t5"), "architectures": ["T5ForConditionalGeneration"]}


def model_of(raw: dict[str, Any], **changes: Any) -> Any:
    """The class that a configuration names, with random numbers."""
    torch.manual_seed(0)
    raw = {**raw, **changes}
    config = transformers.CONFIG_MAPPING[raw["model_type"]].from_dict(dict(raw))
    model = getattr(transformers, raw["architectures"][0])(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def saved(raw: dict[str, Any], folder: Path, **changes: Any) -> Any:
    """The model in a folder, its configuration being the given one to the letter."""
    model = model_of(raw, **changes)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**raw, **changes}))
    return model


def of_both(folder: Path) -> tuple[Answer, Answer]:
    """By the folder and by its configuration alone."""
    return count_params(folder), count_params(folder / "config.json")


def test_the_basis_is_what_told(tmp_path: Path) -> None:
    folder = save(tiny("llama"), tmp_path / "folder")
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes((tmp_path / "folder" / "model.safetensors").read_bytes())
    assert count_params("gpt2").basis == "known model"
    assert folder.basis == count_params(tmp_path / "folder" / "config.json").basis == "class"
    assert count_params(bare).basis == "names"
    assert count_params(bare).by_names == (
        "told by the names of the tensors alone, since no configuration lies beside them"
    )
    assert count_params("pydoc").basis == "closed form"
    assert len(repr(folder)) < 200


def test_without_transformers_the_closed_form_tells(tmp_path: Path) -> None:
    save(tiny("llama"), tmp_path)
    code = (
        "import sys, json\nsys.modules['transformers'] = None\nfrom tiedlm.cli.main import main\n"
        f"sys.argv = ['tiedlm', 'count-params', {str(tmp_path)!r}, '--json']\nmain()"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    document = json.loads(finished.stdout)
    assert (document["basis"], document["notes"]) == (
        "closed form",
        ["as many parameters as the closed form of LlamaForCausalLM"],
    )


def test_names_that_the_class_does_not_know_are_said_with_both_totals(tmp_path: Path) -> None:
    expected = save(tiny("llama"), tmp_path)

    def rename(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if "layers" in name]:
            tensors[name.replace("model.layers", "blocks").replace("proj", "p")] = tensors.pop(name)
        tensors["blocks.further.weight"] = torch.ones(7)

    answer = rewritten(tmp_path, rename)
    assert answer.basis == "names"
    assert answer.count.total == expected.count.total + 7
    assert expected.count.total in answer.count.other_totals.values()
    assert answer.by_names is not None
    assert "not those of its class" in answer.by_names


@pytest.mark.parametrize("tied", [True, False])
def test_the_flag_that_the_class_reads_decides(tied: bool, tmp_path: Path) -> None:
    """BLIP's output is tied by its text's flag too, whatever stands at the top."""
    text = {**BLIP["text_config"], "tie_word_embeddings": tied}
    model = saved(BLIP, tmp_path, text_config=text, tie_word_embeddings=False)
    decoder = model.text_decoder
    assert (decoder.cls.predictions.decoder.weight is decoder.bert.embeddings.word_embeddings.weight) == tied
    for answer in of_both(tmp_path):
        assert (answer.count.total, answer.count.tie_word_embeddings) == (num_parameters(model), tied)
        if tied or answer.checkpoint is None:
            assert answer.count.source == "text_config.tie_word_embeddings in its configuration"
        assert answer.checkpoint is None or answer.checkpoint.mismatch is None


def test_a_flag_inside_that_no_class_reads_changes_nothing(tmp_path: Path) -> None:
    raw = {
        "model_type": "mistral3",
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": {**TEXT, "model_type": "mistral", "tie_word_embeddings": False},
        "vision_config": {**VISION, "model_type": "pixtral", "head_dim": 8},
    }
    model = saved(raw, tmp_path)
    for answer in of_both(tmp_path):
        assert (answer.count.total, answer.count.tie_word_embeddings) == (num_parameters(model), True)
        assert "it reads no tie_word_embeddings of its configuration" in (answer.count.source or "")


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_of_two_models_is_counted_whole(tied: bool, tmp_path: Path) -> None:
    decoder = {**TROCR["decoder"], "tie_word_embeddings": tied}
    model = saved(TROCR, tmp_path, decoder=decoder, tie_word_embeddings=tied)
    output = model.decoder.output_projection.weight
    assert (output is model.decoder.model.decoder.embed_tokens.weight) == tied
    for answer in of_both(tmp_path):
        assert (answer.count.total, answer.count.tie_word_embeddings) == (num_parameters(model), tied)
        assert answer.count.saved == 60 * 16


@pytest.mark.parametrize("tied", [True, False])
def test_of_two_models_of_one_class_the_decoder_s_flag_decides(tied: bool, tmp_path: Path) -> None:
    stack = {
        "model_type": "bert",
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    decoder = {**stack, "is_decoder": True, "add_cross_attention": True, "tie_word_embeddings": tied}
    raw = {
        "model_type": "encoder-decoder",
        "architectures": ["EncoderDecoderModel"],
        "encoder": {**stack, "tie_word_embeddings": not tied},
        "decoder": decoder,
        "tie_word_embeddings": False,
    }
    model = saved(raw, tmp_path)
    assert (model.decoder.get_output_embeddings().weight is model.decoder.get_input_embeddings().weight) == tied
    for answer in of_both(tmp_path):
        assert (answer.count.total, answer.count.tie_word_embeddings) == (num_parameters(model), tied)
    assert answer.count.source == "decoder.tie_word_embeddings in its configuration"


def test_a_class_that_refuses_the_other_value_reads_its_flag() -> None:
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 1, "vocab_size": 60, "max_seq_len": 8}
    raw = {"model_type": "dbrx", "architectures": ["DbrxForCausalLM"], "tie_word_embeddings": False, **sizes}
    raw |= {
        "attn_config": {"kv_n_heads": 1, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 8, "moe_num_experts": 2},
    }
    answer = answer_config("dbrx", raw)
    assert (answer.count.tie_word_embeddings, answer.basis) == (False, "class")
    assert answer.count.source == "tie_word_embeddings in its configuration"


def test_code_of_its_own_with_the_tensors_of_the_family_is_the_family(tmp_path: Path) -> None:
    expected = save(tiny("gpt2"), tmp_path)
    code = {"auto_map": {"AutoModelForCausalLM": "modeling_own.GPT2LMHeadModel"}}
    answer = rewritten(tmp_path, lambda tensors: tensors.update({}), **code)
    assert (answer.basis, answer.count.total) == ("class", expected.count.total)
    assert "modeling_own.GPT2LMHeadModel, which was not run" in answer.notes[0]
    other = rewritten(tmp_path, lambda tensors: tensors.update({"transformer.gate.weight": torch.ones(5)}), **code)
    assert (other.basis, other.count.total) == ("names", expected.count.total + 5)


def test_a_key_is_read_however_its_name_ends() -> None:
    """Mamba's width of convolution ends as what chooses code does."""
    sizes = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}
    mamba = {"model_type": "mamba", "architectures": ["MambaForCausalLM"], **sizes}
    narrow, wide = (answer_config("mamba", {**mamba, "conv_kernel": width}).count.total for width in (2, 4))
    assert narrow == num_parameters(model_of(mamba, conv_kernel=2))
    assert wide - narrow == 2 * 2 * 32  # two layers, two more taps, twice the hidden size


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_experts_implementation"])
def test_what_chooses_code_is_not_followed(key: str) -> None:
    raw = {**tiny("llama"), key: "someone/kernel"}
    assert answer_config("llama", raw).basis == "class"


def test_a_class_without_a_head_has_no_tie(tmp_path: Path) -> None:
    raw = {**tiny("t5"), "architectures": ["T5EncoderModel"], "tie_word_embeddings": False}
    model = saved(raw, tmp_path)
    for answer in of_both(tmp_path):
        assert answer.count.total == num_parameters(model)
        assert answer.count.no_tie == "no language-model head, so the tie does not apply"


def test_a_class_without_words_is_refused_with_its_size(tmp_path: Path) -> None:
    raw = {**VISION, "model_type": "vit_mae", "architectures": ["ViTMAEForPreTraining"]}
    raw |= {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    raw |= {"decoder_intermediate_size": 16, "tie_word_embeddings": False}
    model = saved(raw, tmp_path)
    for path in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(InputError, match=f"has {num_parameters(model):,} parameters and no word embeddings"):
            count_params(path)


@pytest.mark.parametrize("wide", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_equal_numbers_in_two_precisions_are_one_matrix(dtype: Any, wide: Any, tmp_path: Path) -> None:
    once = save(tiny("llama"), tmp_path)

    def widen(tensors: dict[str, Any]) -> None:
        short = tensors["model.embed_tokens.weight"].to(dtype)
        tensors |= {"model.embed_tokens.weight": short, "lm_head.weight": short.to(wide)}

    answer = rewritten(tmp_path, widen)
    assert (answer.count.total, checkpoint_of(answer).copies) == (once.count.total, "identical")
    assert checkpoint_of(answer).mismatch is None

    def change(tensors: dict[str, Any]) -> None:
        tensors["lm_head.weight"][-1, -1] += 1

    assert checkpoint_of(rewritten(tmp_path, change)).copies == "different"


def test_each_table_of_t5_is_held_to_the_others(tmp_path: Path) -> None:
    """An encoder and a decoder with vocabularies of their own; the encoder's table is stored twice."""
    saved(T5, tmp_path, tie_word_embeddings=False)
    small = torch.randn(20, 24)

    def split(tensors: dict[str, Any]) -> None:
        tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
        tensors |= {"decoder.embed_tokens.weight": small, "lm_head.weight": torch.randn(20, 24)}

    answer = rewritten(tmp_path, split)
    stored = load_file(tmp_path / "model.safetensors")
    assert answer.count.total == sum(tensor.numel() for tensor in stored.values()) - 60 * 24
    assert (answer.count.tie_word_embeddings, answer.count.saved) == (False, 20 * 24)


def test_a_class_that_always_ties_reads_equal_copies_as_one(tmp_path: Path) -> None:
    """T5, whatever its flag says; of two different matrices it keeps both."""
    model = saved(T5, tmp_path, tie_word_embeddings=False)
    flag = {"tie_word_embeddings": False}
    copied = rewritten(
        tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors["shared.weight"].clone()}), **flag
    )
    assert (copied.count.total, copied.count.tie_word_embeddings) == (num_parameters(model), True)
    other = rewritten(tmp_path, lambda tensors: tensors.update({"lm_head.weight": torch.randn(60, 24)}), **flag)
    assert (other.count.total, other.count.tie_word_embeddings) == (num_parameters(model) + 60 * 24, False)
    assert checkpoint_of(other).mismatch is None


def test_codebooks_are_no_tie_and_no_mismatch(tmp_path: Path) -> None:
    decoder = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16, "vocab_size": 30}
    raw = {
        "model_type": "musicgen_decoder",
        "architectures": ["MusicgenForCausalLM"],
        **decoder,
        "num_codebooks": 2,
        "tie_word_embeddings": True,
    }
    model = saved(raw, tmp_path)
    for answer in of_both(tmp_path):
        assert answer.count.total == num_parameters(model)
        assert answer.count.no_tie is not None
        assert answer.checkpoint is None or answer.checkpoint.mismatch is None


@pytest.mark.parametrize("suffix", ["_scale_inv", "_scale", "._scale", ":scale", "_something_new"])
def test_what_quantisation_adds_to_a_class_is_no_parameter(suffix: str, tmp_path: Path) -> None:
    once = save(tiny("llama", tied=False), tmp_path)
    name = "model.layers.0.mlp.down_proj.weight"
    answer = rewritten(
        tmp_path,
        lambda tensors: tensors.update({f"{name}{suffix}": torch.ones(3, 2)}),
        quantization_config={"quant_method": "fp8"},
    )
    assert answer.count.total == once.count.total
    assert sum(checkpoint_of(answer).not_parameters.values()) == 6


def test_a_quantised_tensor_stands_for_the_parameter_that_it_is_named_after(tmp_path: Path) -> None:
    once = save(tiny("llama", tied=False), tmp_path)
    name = "model.layers.0.mlp.down_proj.weight"

    def store(tensors: dict[str, Any]) -> None:
        tensors[f"{name}._data"] = tensors.pop(name).to(torch.float8_e4m3fn)
        tensors[f"{name}._scale"] = torch.ones(24, 1)

    answer = rewritten(tmp_path, store)
    assert answer.count.total == once.count.total


def test_what_is_not_of_the_class_counts_and_is_named(tmp_path: Path) -> None:
    once = save(tiny("llama", tied=False), tmp_path)
    answer = rewritten(tmp_path, lambda tensors: tensors.update({"model.adapter.weight": torch.ones(4, 4)}))
    assert answer.count.total == once.count.total + 16
    assert any(note.startswith("+16 parameters against LlamaForCausalLM of " + LIBRARY) for note in answer.notes)
    assert "not of the class: model.adapter.weight" in answer.notes
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.adapter.weight"], tensors["model.norm.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    assert "of the class and not in the file: model.norm.weight" in count_params(tmp_path).notes


LLAVA = {
    "model_type": "llava",
    "architectures": ["LlavaForConditionalGeneration"],
    "text_config": {**TEXT, "model_type": "llama"},
    "vision_config": {**VISION, "model_type": "clip_vision_model"},
    "image_token_index": 5,
}


@pytest.mark.parametrize(("outer", "inner"), [(False, True), (True, False), (True, True), (False, False)])
def test_either_of_two_flags_may_tie(outer: bool, inner: bool, tmp_path: Path) -> None:
    """LLaVA ties where one of them says so (configuration_llava.py)."""
    text = {**LLAVA["text_config"], "tie_word_embeddings": inner}
    model = saved(LLAVA, tmp_path, text_config=text, tie_word_embeddings=outer)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == (outer or inner)
    for answer in of_both(tmp_path):
        assert (answer.count.total, answer.count.tie_word_embeddings) == (num_parameters(model), outer or inner)
        if answer.count.tie_word_embeddings:
            words = [f"{place}tie_word_embeddings in" for place, ties in (("", outer), ("text_config.", inner)) if ties]
            assert all(word in (answer.count.source or "") for word in words)
    if outer or inner:
        different = rewritten(
            tmp_path,
            lambda tensors: tensors.update({"lm_head.weight": torch.randn(60, 24)}),
            text_config=text,
            tie_word_embeddings=outer,
        )
        assert "two different matrices" in (checkpoint_of(different).mismatch or "")


@pytest.mark.parametrize("flag", [True, False])
def test_a_classifier_of_an_unknown_class_has_no_tie(flag: bool, tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)

    def classify(tensors: dict[str, Any]) -> None:
        del tensors["lm_head.weight"]
        tensors["score.weight"] = torch.randn(3, 24)

    answer = rewritten(tmp_path, classify, architectures=["LlamaForRewardModelWithGating"], tie_word_embeddings=flag)
    assert answer.count.no_tie == "no language-model head, so the tie does not apply"
    assert checkpoint_of(answer).mismatch is None


def test_the_two_zeros_are_equal(tmp_path: Path) -> None:
    once = save(tiny("llama"), tmp_path)

    def copy(tensors: dict[str, Any]) -> None:
        tensors["model.embed_tokens.weight"][0] = 0.0
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors["lm_head.weight"][0] = -0.0

    answer = rewritten(tmp_path, copy)
    assert (answer.count.total, checkpoint_of(answer).copies) == (once.count.total, "identical")


def packed_by_gptq(tensors: dict[str, Any]) -> None:
    """As GPTQ stores the matrices of layers: four bits a weight, eight of them to a number."""
    for name in [name for name in tensors if "proj.weight" in name]:
        rows, columns = tensors.pop(name).shape
        module = name.removesuffix(".weight")
        tensors |= {
            f"{module}.qweight": torch.zeros(columns // 8, rows, dtype=torch.int32),
            f"{module}.qzeros": torch.zeros(1, rows // 8, dtype=torch.int32),
            f"{module}.scales": torch.ones(1, rows),
            f"{module}.g_idx": torch.zeros(columns, dtype=torch.int32),
        }


def packed_under_their_names(tensors: dict[str, Any]) -> None:
    """As bitsandbytes and modelopt store them: two weights of four bits to a byte, under the weight's own name."""
    for name in [name for name in tensors if "proj.weight" in name]:
        tensors[name] = torch.zeros(tensors[name].numel() // 2, 1, dtype=torch.uint8)
        tensors[f"{name}.absmax"] = torch.ones(3)


def in_eight_bits(tensors: dict[str, Any]) -> None:
    """As bitsandbytes, EETQ and Quark store them."""
    for name in [name for name in tensors if "proj.weight" in name]:
        tensors[name] = tensors[name].to(torch.int8)
        tensors[name.replace("weight", "SCB")] = torch.ones(len(tensors[name]))


@pytest.mark.parametrize("pack", [packed_by_gptq, packed_under_their_names, in_eight_bits])
def test_packed_weights_are_counted_by_what_the_file_holds_of_its_class(pack: Any, tmp_path: Path) -> None:
    once = save(tiny("llama", tied=False), tmp_path)
    quantised = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    packed = rewritten(tmp_path, pack, **quantised)
    assert packed.count.total == once.count.total
    assert (packed.count.tie_word_embeddings, packed.basis) == (False, "class")

    def add_rows(tensors: dict[str, Any]) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = torch.randn(68, 24)

    resized = rewritten(tmp_path, add_rows, num_hidden_layers=4)
    assert resized.count.total == once.count.total + 2 * 8 * 24
    assert any(note.startswith("of the class and not in the file: model.layers.2.") for note in resized.notes)

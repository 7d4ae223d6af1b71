"""What is no parameter, by the names of formats and libraries; and that no parameter of a class is taken for it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file

from tests.counting.test_families import torch, transformers
from tests.counting.test_stored_weights import save, tiny
from tiedlm.api.count import count_params
from tiedlm.counting.stored.not_parameters import PACKED, ROWS, SCALES, SETTINGS
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.tensor_kinds import Layout, is_packed, kind_of_buffer, looks_like_embedding
from tiedlm.errors import InputError

PARAMETER = "parameter"
NAMES_OF_DTYPES = {
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float64": "F64",
    "complex64": "C64",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}
# What a file holds, a tensor a line: name, type, sizes, and what it is, if no parameter.
FILES = {
    "GPT-2": """
        h.0.attn.bias U8 1,1,8,8 causal masks
        h.0.attn.masked_bias F32 - causal masks
        h.0.attn.c_attn.bias F32 24
        h.0.attn.c_attn.weight F32 8,24
        position_ids F16 1,8 whole numbers (positions, masks)""",
    "nanoGPT": "transformer.h.0.attn.bias F32 1,1,8,8 causal masks",
    "a lesson": """
        blocks.0.sa.heads.0.tril F32 8,8 causal masks
        blocks.0.att.mask BOOL 8,8 causal masks
        blocks.0.attn.attention_mask F32 1,1,8,8 causal masks
        blocks.0.attn.causal_bias F32 8,8 causal masks
        blocks.0.attn.look_ahead_mask F32 8,8 causal masks
        blocks.0.causal_conv.weight F32 8,8
        blocks.0.causal_mask F32 8
        blocks.0.mask F32 1,8""",
    "learned biases of attention": """
        encoder.layers.0.attention.bias F32 12,8,8
        encoder.layers.1.attn.bias F32 8""",
    "Reformer of transformers 4": """
        encoder.layers.0.attention.self_attention.mask_value_float16 F32 - causal masks
        encoder.layers.0.attention.self_attention.self_mask_value_float32 F32 - causal masks""",
    "constants": """
        layers.0.self_attn.slope_rate F32 4,1,1 constants of attention and activations
        layers.0.self_attn.alibi F32 4,8,8 constants of attention and activations
        decoder.retnet_rel_pos.angle F32 8 constants of attention and activations
        net.layers.0.fast_attention.projection_matrix F32 16,8 constants of attention and activations
        transformer.h.0.attn.logn_tensor F32 1,8,1,1 constants of attention and activations
        model.layers.0.mlp.act_fn.beta F32 - constants of attention and activations
        model.layers.0.layer_scalar F32 1 constants of attention and activations
        encoder.global_mean F32 80 constants of attention and activations""",
    "rotary": """
        layers.0.self_attn.rotary_emb.inv_freq F32 4 rotary frequencies
        rope.freqs BF16 4 rotary frequencies""",
    "Marian and fairseq": """
        model.encoder.embed_positions.weights F32 20,8 sinusoidal positions
        encoder.version F32 1 version tags
        encoder.embed_positions._float_tensor F32 1 sinusoidal positions
        encoder.embed_positions.weight F32 20,8""",
    "The Annotated Transformer": """
        src_embed.1.pe F32 1,64,8 sinusoidal positions
        tgt_embed.0.lut.weight F32 40,8""",
    "PyTorch's tutorial": "pos_encoder.pe F32 64,1,8 sinusoidal positions",
    "PyTorch's tutorial of translation": """
        positional_encoding.pos_embedding F32 64,1,8 sinusoidal positions
        encoder.pos_embedding F32 64,1,8""",
    "ViT": """
        positional_encoding.pos_embedding F32 1,64,8
        encoder.pos_embedding F32 1,64,8""",
    "lessons of sinusoids": """
        pos_encoding.encoding F32 64,8 sinusoidal positions
        encoder.pos_encoder.positional_encoding F32 1,64,8 sinusoidal positions
        position_encoding.pos_encoding F32 1,64,8 sinusoidal positions
        pos_emb.sinusoid_table F32 64,8 sinusoidal positions
        src_embed.positional_encodings F32 64,1,8
        pos_encoding.encoding.weight F32 64,8""",
    "LLMs-from-scratch": """
        trf_blocks.0.att.cos F32 64,8 rotary frequencies
        trf_blocks.0.att.sin F32 64,8 rotary frequencies
        cos F32 64,8 rotary frequencies
        trf_blocks.0.att.mask F32 64,64 causal masks""",
    "lessons of rotary positions": """
        layers.0.attn.rope.cos F32 1,1,64,8 rotary frequencies
        layers.0.rope_sin F32 64,8 rotary frequencies
        rotary_emb.cos F32 64,8 rotary frequencies
        mixer.cos F32 64,8
        rope.cos F32 8
        rope_cos.weight F32 8,8
        layers.0.rotary_embedding.sin F32 64,8 rotary frequencies
        layers.0.rotary._cos_cached F32 64,8 rotary frequencies""",
    "torchtune": "layers.0.attn.rope.cache F32 64,4,2 rotary frequencies",
    "x-transformers": """
        attn_layers.rotary_pos_emb.inv_freq F32 4 rotary frequencies
        attn_layers.rotary_pos_emb.scale F32 4 rotary frequencies
        attn_layers.rel_pos.scale F32 4""",
    "a layer called pe": """
        pe.weight F32 8,8
        pe F32 8""",
    "CTRL": "transformer.pos_encoding F32 64,8 sinusoidal positions",
    "HyenaDNA": """
        hyena.backbone.layers.0.mixer.filter_fn.pos_emb.t F32 1,66,1 constants of long convolutions
        hyena.backbone.layers.0.mixer.filter_fn.pos_emb.z F32 1,66,5
        hyena.backbone.layers.0.mixer.filter_fn.modulation.deltas F32 1,1,8 constants of long convolutions""",
    "BART": "final_logits_bias F32 1,40 output biases that are not trained",
    "mixtures of experts": """
        model.layers.1.mlp.gate.e_score_correction_bias F32 4 routing biases
        model.layers.2.mlp.moe_statics.e_score_correction_bias F32 1,4
        model.layers.1.feed_forward.expert_bias F32 4 routing biases
        decoder.layers.0.mlp.router.expert_bias F32 4 routing biases
        model.layers.3.mlp.expert_bias F32 4
        model.layers.0.mlp.gate.tid2eid I32 40,6 tables of hash routing""",
    "batch norm": """
        layers.0.norm.running_mean F32 8 running statistics
        layers.0.norm.num_batches_tracked I64 - running statistics""",
    "spectral norm": """
        a.weight_orig F32 8,8
        a.weight_u F32 8 running statistics
        a.weight_v F32 8 running statistics""",
    "spectral norm, parametrized": """
        a.parametrizations.weight.original F32 8,8
        a.parametrizations.weight.0._u F32 8 running statistics
        a.parametrizations.weight.0._v F32 8 running statistics""",
    "AWD-LSTM": """
        rnns.0.module.weight_hh_l0_raw F32 32,8
        rnns.0.module.weight_hh_l0 F32 32,8 copies of weights with some dropped""",
    "AWD-LSTM of fastai 1": """
        rnns.0.weight_hh_l0_raw F32 32,8
        rnns.0.module.weight_hh_l0 F32 32,8 copies of weights with some dropped
        rnns.0.module.weight_ih_l0 F32 32,8""",
    "weight norm": """
        a.weight_g F32 8,1
        a.weight_v F32 8,8""",
    "pruning": """
        a.weight_orig F32 8,8
        a.weight_mask F32 8,8 masks of pruned weights
        a.bias_orig F32 8
        a.bias_mask F32 8 masks of pruned weights""",
    "losses": """
        criterion.weight F32 40 weights of classes in a loss
        criterion.proj.weight F32 40,8""",
    "codebooks": """
        quantizer.layers.0.codebook.embed F32 16,8 running statistics of codebooks
        quantizer.layers.0.codebook.cluster_size F32 16 running statistics of codebooks
        text.embed F32 16,8""",
    "I-BERT": """
        encoder.layer.0.output.dense.weight_integer F32 8,8 ranges and scales of I-BERT
        encoder.layer.0.output.dense.act.x_min F32 1 ranges and scales of I-BERT""",
    "fp8 in blocks": """
        l.weight F8_E4M3 8,8
        l.weight_scale_inv F32 1,1 scales of quantised weights
        l.activation_scale F32 - scales of quantised weights
        experts.gate_up_proj F8_E4M3 4,8,16
        experts.gate_up_proj_scale_inv F8_E8M0 4,1,1 scales of quantised weights
        experts.gate_up_proj_activation_scale F32 4 scales of quantised weights
        experts.gate_up_proj_bias F32 4,16""",
    "fbgemm": """
        experts.down_proj F8_E4M3 4,8,8
        experts.down_proj_scale F32 4,1,8 scales of quantised weights
        l.weight F8_E4M3 8,8
        l.weight_scale F32 8,1 scales of quantised weights
        l.input_scale_ub F32 1 scales of quantised weights""",
    "compressed-tensors": f"""
        l.weight_packed I32 8,1 {PACKED}
        l.weight_shape I64 2 {SETTINGS}
        l.weight_scale BF16 8,1 {SCALES}
        l.weight_zero_point I8 8,1 {SCALES}
        l.input_scale BF16 1 {SCALES}
        attn.k_scale BF16 1 {SCALES}
        attn.v_scale BF16 4,1,1 {SCALES}""",
    "trained scales": """
        l.weight F32 8,8
        l.weight_scale F32 8
        l.scale F32 8
        l.scales F32 8
        l.biases F32 8
        l.input_scale F32 8
        l.zero F32 8
        attn.q_scale F32 8
        block.layer_scale F32 8
        block.gamma F32 8
        block.beta F32 8
        logit_scale F32 -
        norm.scale F32 8""",
    "parameters of others by such names": """
        l.attn.masked_bias F32 8
        l.mask_value_float16 F32 8
        l.self_mask_value_float16 F32 8
        l.act_fn.beta F32 8
        l.layer_scalar F32 8
        blk.0.layer_output_scale.weight F32 8
        blk.0.output.scale F32 8
        blk.0.attn_q.scale F32 1
        l._float_tensor F32 8
        transformer.pos_encoding F32 8
        l.version F32 8
        l.weight F32 8,8
        l.weight_mask F32 8,8
        l.bias_mask F32 8
        criterion.weight F32 40,8
        l.x_min F32 8
        l.gate_up_proj F32 4,8,16
        l.gate_up_proj_scale F32 4,1,16
        l.own_scales F32 8
        l.scale_weight F32 8,8
        l.act.scales F32 8,8
        l.s F32 8
        l.embedding_scale F32 8
        l.tables F32 8,8
        l.codebooks F32 8,8
        l.weight_bias F32 8
        l.centroids.weight F32 8,8
        l.SU F32 8
        l.suh F32 8
        l.pre_quant_scale F32 8
        l.perm F32 8
        l.shape F32 8""",
    "mxfp4": f"""
        experts.gate_up_proj_blocks U8 4,8,2,16 {PACKED}
        experts.gate_up_proj_scales U8 4,8,2 {SCALES}
        block.0.mlp.mlp1_weight.blocks U8 4,8,2,16 {PACKED}
        block.0.mlp.mlp1_weight.scales U8 4,8,2 {SCALES}""",
    "nvfp4": f"""
        l.weight U8 8,4 {PACKED}
        l.weight_sf I32 8,1 {SCALES}
        l.weight_global_scale F32 1 {SCALES}""",
    "Mistral": f"""
        layers.0.attention.wq.weight F8_E4M3 8,8
        layers.0.attention.wq.qscale_weight BF16 - {SCALES}
        layers.0.attention.wq.qscale_act BF16 - {SCALES}""",
    "ComfyUI": f"""
        scaled_fp8 F8_E4M3 2 {SCALES}
        l.weight F8_E4M3 8,8
        l.scale_weight F32 - {SCALES}""",
    "optimum-quanto": f"""
        l.weight._data F8_E4M3 8,8
        l.weight._scale BF16 8,1 {SCALES}
        l.input_scale BF16 1 {SCALES}""",
    "torchao": f"""
        l._weight_qdata F8_E4M3 8,8
        l._weight_scale F32 8,1 {SCALES}
        m._weight_qdata I8 8,8 {PACKED}
        m._weight_scale_and_zero F32 8,1 {SCALES}
        m.weight:_scale F32 8,1 {SCALES}
        n._own_scale F32 8""",
    "bitsandbytes, 4 bits": f"""
        l.weight U8 32,1 {PACKED}
        l.weight.absmax F32 1 {SCALES}
        l.weight.nested_quant_map F32 256 {SCALES}
        l.weight.quant_state.bitsandbytes__nf4 U8 88 {SETTINGS}""",
    "bitsandbytes, 8 bits": f"""
        l.weight I8 8,8 {PACKED}
        l.SCB F32 8 {SCALES}
        l.weight_format U8 - {SETTINGS}""",
    "GPTQ": f"""
        l.qweight I32 1,8 {PACKED}
        l.qzeros I32 1,1 {SCALES}
        l.scales F16 1,8 {SCALES}
        l.g_idx I32 8 {SETTINGS}
        l.bias F16 8""",
    "AutoGPTQ's Marlin": f"""
        l.B I32 1,8 {PACKED}
        l.s F16 1,8 {SCALES}""",
    "AWQ": f"transformer.h.0.mlp.act.scales F16 32 {SCALES}",
    "MLX": f"""
        l.weight U32 8,1 {PACKED}
        l.scales BF16 8,1 {SCALES}
        l.biases BF16 8,1 {SCALES}
        l.bias BF16 8""",
    "HQQ": f"""
        l.W_q U8 4,8 {PACKED}
        l.scale F16 8,1 {SCALES}
        l.zero F16 8,1 {SCALES}
        l.nbits F32 1 {SETTINGS}
        l.bias F16 8""",
    "AQLM": f"""
        l.codes I16 8,1,1 {PACKED}
        l.codebooks F16 1,256,1,8 {SCALES}
        l.scales F16 8,1,1,1 {SCALES}""",
    "HIGGS": f"""
        l.weight I16 8,1 {PACKED}
        l.tables F16 16 {SCALES}""",
    "VPTQ": f"""
        l.indices U16 1,8,8 {PACKED}
        l.centroids.weight F16 1,2048 {SCALES}
        l.weight_bias F16 8 {SCALES}""",
    "SpQR": f"""
        l.dense_weights I64 4 {PACKED}
        l.row_offsets I32 9 {PACKED}""",
    "QuIP#": f"""
        l.Qidxs I64 8,1 {PACKED}
        l.SU F16 8 {SCALES}""",
    "ExLlamaV2": f"""
        l.q_weight I32 1,8 {PACKED}
        l.q_scale_max F16 1 {SCALES}
        l.q_groups I16 2 {SETTINGS}""",
    "ExLlamaV3": f"""
        l.trellis I16 1,1,48 {PACKED}
        l.suh F16 8 {SCALES}""",
    "fouroversix": f"""
        l.quantized_weight_values U8 8,4 {PACKED}
        l.quantized_weight_scale_factors F8_E4M3 4 {SCALES}""",
    "FP-Quant": f"""
        l.dqweight BF16 8,8
        l.forward_hadamard_matrix BF16 32,32 rotations of quantised weights
        l.act_global_scale F32 - {SCALES}""",
    "gemma": f"""
        model.embed_tokens.embedding_quantized U8 40,4 {PACKED}
        model.embed_tokens.embedding_scale F32 40,1 {SCALES}""",
    "modelopt": f"""
        l.weight BF16 8,8
        l.weight_quantizer._amax F32 - {SCALES}
        m.weight F8_E4M3 8,8
        m.pre_quant_scale BF16 8 {SCALES}""",
    "Quark": f"""
        l.weight_quantizer.scale F32 - {SCALES}""",
    "torch.ao": f"""
        l.weight F32 8,8
        l.activation_post_process.min_val F32 - {SCALES}
        l.weight_fake_quant.scale F32 8 {SCALES}""",
    "Transformer Engine": f"l._extra_state U8 40 {SETTINGS}",
    "BitNet, its weights wide": f"""
        l.weight BF16 8,8
        l.weight_scale BF16 1 {SCALES}""",
}
GGUF_FILE = f"""
    rope_freqs.weight F32 4 rotary frequencies
    blk.0.exp_probs_b.bias F32 4 routing biases
    blk.0.ffn_gate_tid2eid.weight I32 40,6 tables of hash routing
    blk.0.layer_output_scale.weight F32 1 constants of attention and activations
    blk.0.attn_q.weight Q4_0 32,32
    blk.0.attn_q.scale F32 1 {SCALES}
    output.scale F32 1 {SCALES}
    blk.0.attn_norm.weight F32 8
    blk.0.ssm_a F32 8
    blk.0.attn_sinks.weight F32 4"""


def tensors_of(text: str, gguf: bool = False) -> Iterator[tuple[StoredTensor, str]]:
    """A line each, with what is expected of it."""
    for line in text.strip().splitlines():
        name, dtype, sizes, *kind = line.split(maxsplit=3)
        shape = () if sizes == "-" else tuple(int(size) for size in sizes.split(","))
        yield StoredTensor(name, dtype, shape, None, block_bytes=1 if gguf else None), kind[0] if kind else PARAMETER


def kinds_in(text: str, gguf: bool = False) -> tuple[dict[str, str], dict[str, str]]:
    """What each tensor is by name, and what is expected."""
    expected = dict(tensors_of(text, gguf))
    beside = {tensor.name: tensor for tensor in expected}
    found = {tensor.name: kind_of_buffer(tensor, beside=beside) or PARAMETER for tensor in expected}
    return found, {tensor.name: kind for tensor, kind in expected.items()}


@pytest.mark.parametrize("library", FILES)
def test_tensors_of_a_library_are_what_it_makes_of_them(library: str) -> None:
    found, expected = kinds_in(FILES[library])
    assert found == expected


def test_tensors_of_gguf_are_what_llama_cpp_makes_of_them() -> None:
    found, expected = kinds_in(GGUF_FILE, gguf=True)
    assert found == expected


@pytest.mark.parametrize("library", FILES)
def test_packed_weights_are_known_with_and_without_the_rest(library: str) -> None:
    """Where one is, the configuration must count; scales are none."""
    expected = dict(tensors_of(FILES[library]))
    beside = {tensor.name: tensor for tensor in expected}
    assert {tensor.name for tensor in expected if is_packed(tensor, beside=beside)} == {
        tensor.name for tensor, kind in expected.items() if kind == PACKED
    }
    for tensor, kind in expected.items():
        assert is_packed(tensor) or kind != PACKED


def test_each_row_knows_a_tensor_of_these_files() -> None:
    known = set()
    for text, gguf in [*((text, False) for text in FILES.values()), (GGUF_FILE, True)]:
        tensors = [tensor for tensor, _ in tensors_of(text, gguf)]
        beside = {tensor.name: tensor for tensor in tensors}
        for tensor in tensors:
            fits = (row for row in ROWS if row.pattern.fullmatch(tensor.name.replace(".0.", ".#.")))
            known |= {row for row in fits if row.only is None or row.only(tensor, beside)}
    assert [row.names for row in ROWS if row not in known] == []


def test_a_class_at_hand_knows_better_than_names() -> None:
    table, scale, mask = (
        StoredTensor("l.attn.bias", "F32", (1, 1, 8, 8), None),
        StoredTensor("l.weight_scale_inv", "F32", (8,), None),
        StoredTensor("l.own", "I32", (8, 8), None),
    )
    layout = Layout(parameters=frozenset({table.name}), buffers=frozenset({mask.name}))
    assert kind_of_buffer(table, layout) is None
    assert kind_of_buffer(scale, layout) == SCALES
    assert (kind_of_buffer(mask, layout), is_packed(mask, layout)) == ("buffers of its class", False)
    assert is_packed(mask)


@pytest.mark.parametrize(
    "name",
    "embedding_layer emb_layer input_embedding_layer word_emb.emb_layers.0 word_vectors wordvecs tok model.tok "
    "embeddingLayer src_embed.0.lut composed_emb".split(),
)
def test_a_table_of_words_is_known_by_its_name(name: str) -> None:
    assert looks_like_embedding(f"{name}.weight")


@pytest.mark.parametrize(
    "name",
    "pos_emb posEmbedding positional_embedding embed_positions position_embeddings token_type_embeddings segment_emb "
    "seg_embed patch_embed.proj time_embedding timestep_emb embedding_norm emb_layer_norm embLayerNorm "
    "embedding_layernorm layers.0.attn.rel_emb tok.proj my_tokenizer linear".split(),
)
def test_a_table_of_something_else_is_not_taken_for_words(name: str) -> None:
    assert not looks_like_embedding(f"{name}.weight")


PARAMETERS_IN_SOME = {  # whose names are of buffers in most classes
    "LagunaForCausalLM": "gate.e_score_correction_bias",
}


def test_no_parameter_of_a_class_is_taken_for_something_else_and_every_buffer_is() -> None:
    from tests.counting.shrunk_models import WORD_KINDS, class_of, classes, shrunk

    missed, taken = set(), set()
    for class_name in classes(WORD_KINDS):
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # hundreds of classes, each with warnings of its own
            try:
                raw = shrunk(class_name)
                config = transformers.AutoConfig.for_model(raw.pop("model_type"), **raw)
                model = class_of(class_name)(config)
            except (ImportError, StrictDataclassError):  # which the sweep lists
                continue
        stored = {
            name: StoredTensor(name, NAMES_OF_DTYPES[str(value.dtype).removeprefix("torch.")], tuple(value.shape), None)
            for name, value in model.state_dict().items()
        }
        parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        for name, tensor in stored.items():
            kind = kind_of_buffer(tensor, beside=stored)
            if name in parameters and kind and not name.endswith(PARAMETERS_IN_SOME.get(class_name, "\0")):
                taken.add((class_name, name, kind))
            if name not in parameters and not kind:
                missed.add((class_name, name))
    assert taken == set()
    assert missed == set()


def test_scales_of_a_file_are_told_apart_and_the_weights_counted(tmp_path: Path) -> None:
    """fp8 has as many numbers as the weights, so a file alone tells; the rest of the table is none of them."""
    plain = save(tiny("llama", tied=False), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        stem = name.removesuffix(".weight")
        tensors |= {f"{stem}.qscale_weight": torch.ones(()), f"{stem}.input_scale": torch.ones(1)}
        tensors |= {f"{name}._scale": torch.ones(tensors[name].shape[0], 1)}
        tensors[f"{name}._data"] = tensors.pop(name).to(torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").unlink()
    answer = count_params(tmp_path / "model.safetensors")
    assert answer.count.total == plain.count.total
    assert answer.checkpoint is not None
    assert list(answer.checkpoint.not_parameters) == [SCALES]


def test_packed_weights_without_a_configuration_stay_a_sentence(tmp_path: Path) -> None:
    """SpQR's are vectors of 64 bits, as positions are."""
    save(tiny("llama"), tmp_path)
    packed = {"model.layers.0.mlp.up_proj.dense_weights": torch.zeros(4, dtype=torch.int64)}
    save_file({"model.embed_tokens.weight": torch.zeros(60, 24)} | packed, tmp_path / "model.safetensors")
    answer = count_params(tmp_path)
    assert answer.checkpoint is not None
    assert answer.checkpoint.not_parameters == {PACKED: 4}
    assert any("its weights are quantised" in note for note in answer.notes)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"its weights are quantised \(.*dense_weights is I64\)"):
        count_params(tmp_path / "model.safetensors")

"""What stored tensors are that no optimiser trains: one table, by the names that formats and libraries write.

A class at hand knows its parameters and its buffers; these rows are for files whose class nobody knows, and for what
quantisation adds to a class. A tensor that no row knows is a parameter.
"""

from __future__ import annotations

import functools
import re

from tiedlm.counting.stored.kind_row import (
    Beside,
    Row,
    either,
    is_array,
    is_mask,
    is_one_number,
    is_per_head,
    is_table_for_batches,
    is_table_of_positions,
    is_vector,
    is_whole,
    of_gguf,
    unless_wide,
    with_any,
    with_named,
    with_quantised,
)
from tiedlm.counting.stored.safetensors_header import StoredTensor

MASKS = "causal masks"
ROTARY = "rotary frequencies"
SINUSOIDS = "sinusoidal positions"
ROUTING = "routing biases"
CONSTANTS = "constants of attention and activations"
STATISTICS = "running statistics"
CODEBOOKS = "running statistics of codebooks"
SCALES = "scales of quantised weights"
RANGES = "ranges and scales of I-BERT"
SETTINGS = "shapes, orders and settings of quantised weights"
PACKED = "packed weights, which the configuration counts"
WHOLE = "whole numbers (positions, masks)"

ATTENTION = (
    Row(MASKS, "attn.bias attention.bias", "transformers: GPT2Attention, GPTNeoXAttention; nanoGPT: model.py", is_mask),
    Row(MASKS, "attn.masked_bias attention.masked_bias", "transformers 4: GPT2Attention", is_one_number),
    Row(
        MASKS,
        "mask mask_cache bias_mask tril triu *causal* att*_mask *ahead_mask *future_mask src_mask tgt_mask",
        "minGPT, CodeGen, lit-gpt, and lessons that register torch.tril",
        is_mask,
    ),
    Row(
        MASKS, "mask_value_float16 mask_value_float32", "transformers 4: LocalSelfAttention of Reformer", is_one_number
    ),
    Row(MASKS, "self_mask_value_float16 self_mask_value_float32", "transformers 4: LSHSelfAttention", is_one_number),
    Row(CONSTANTS, "slope_rate query_decay key_decay diagonal_decay", "transformers: MiniMaxLightningAttention"),
    Row(CONSTANTS, "alibi alibi_slopes alibi_mask alibi_bias alibi.slopes", "Baichuan, flash-attn: MHA"),
    Row(CONSTANTS, "retnet_rel_pos.angle retnet_rel_pos.decay", "torchscale: RetNetRelPos"),
    Row(CONSTANTS, "fast_attention.projection_matrix", "performer-pytorch: FastAttention"),
    Row(CONSTANTS, "logn_tensor", "Qwen 1: QWenAttention"),
    Row(CONSTANTS, "act_fn.beta act_fn.eps", "transformers: XIELUActivation", is_one_number),
    Row(CONSTANTS, "layer_scalar", "transformers: Gemma4TextDecoderLayer", is_one_number),
    Row(
        CONSTANTS, "blk.#.layer_output_scale.weight", "GGUF: LAYER_OUT_SCALE, which is Gemma 4's layer_scalar", of_gguf
    ),
    Row(CONSTANTS, "global_mean global_invstd", "transformers: Phi4MultimodalAudioMeanVarianceNormLayer"),
)
POSITIONS = (
    Row(ROTARY, "inv_freq *_inv_freq *cos_cache* *sin_cache* freqs_cis freqs_cos freqs_sin", "transformers; llama2.c"),
    Row(ROTARY, "rope.freqs rope_cache xpos.scale rotary_emb.scale", "Meta's llama, lit-gpt, torchscale, flash-attn"),
    Row(ROTARY, "rotary_pos_emb.scale", "x-transformers: RotaryEmbedding, with use_xpos", is_vector),
    Row(
        ROTARY,
        "^cos ^sin att*.cos att*.sin rope.cos rope.sin rope_cos rope_sin rotary*.cos rotary*.sin",
        "LLMs-from-scratch: GroupedQueryAttention; lessons that register the angles of all positions",
        is_array,
    ),
    Row(ROTARY, "rope.cache", "torchtune: RotaryPositionalEmbeddings", is_array),
    Row(
        ROTARY,
        "rope_freqs.weight rope_factors_long.weight rope_factors_short.weight attn_rot_embd.weight",
        "GGUF: ROPE_FREQS, ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT, ATTN_ROT_EMBD",
    ),
    Row(SINUSOIDS, "embed_positions.weights", "transformers: M2M100SinusoidalPositionalEmbedding"),
    Row(SINUSOIDS, "_float_tensor", "fairseq: SinusoidalPositionalEmbedding", is_one_number),
    Row(
        SINUSOIDS,
        "pe pos_table",
        "The Annotated Transformer, PyTorch's tutorial and OpenNMT-py: PositionalEncoding",
        is_table_of_positions,
    ),
    Row(
        SINUSOIDS,
        "positional_encoding.pos_embedding pos_encoder.pos_embedding",
        "PyTorch's tutorial of translation: PositionalEncoding; ViT's pos_embedding is a parameter",
        is_table_for_batches,
    ),
    Row(
        SINUSOIDS,
        "pos*.encoding* pos*.pos*_enc* pos*.*sinusoid* ^pos_encoding transformer.pos_encoding",
        "lessons that register the table of PositionalEncoding under its name; transformers 4: CTRLModel",
        is_table_of_positions,
    ),
    Row(
        "constants of long convolutions",
        "pos_emb.t modulation.deltas",
        "HyenaDNA: HyenaPositionalEmbedding, whose z is a parameter, and HyenaExponentialModulation",
    ),
    Row(
        WHOLE,
        "position_ids token_type_ids relative_position_index",
        "transformers: BertEmbeddings, DonutSwinSelfAttention; some converters make whole numbers floats",
    ),
    Row("version tags", "version", "fairseq: TransformerEncoder, TransformerDecoder", is_one_number),
)
ROUTERS_AND_STATISTICS = (
    Row("output biases that are not trained", "final_logits_bias", "transformers: BartForConditionalGeneration"),
    Row(
        ROUTING,
        "gate.e_score_correction_bias router.e_score_correction_bias mlp.e_score_correction_bias "
        "block_sparse_moe.e_score_correction_bias",
        "transformers: DeepseekV3TopkRouter, MiniMaxM2SparseMoeBlock; Ernie4_5_MoeStatics' is a parameter",
    ),
    Row(
        ROUTING,
        "feed_forward.expert_bias gate.expert_bias router.expert_bias balancing_biases",
        "transformers: Lfm2MoeSparseMoeBlock, ZayaRouter; Megatron-LM: TopKRouter; AfmoeMoE's is a parameter",
    ),
    Row(ROUTING, "blk.#.exp_probs_b.bias blk.#.exp_probs_b", "GGUF: FFN_EXP_PROBS_B"),
    Row("tables of hash routing", "*tid2eid *tid2eid.weight", "transformers: DeepseekV4HashRouter; GGUF"),
    Row(STATISTICS, "running_mean running_var num_batches_tracked", "torch.nn.BatchNorm1d"),
    Row(
        STATISTICS,
        "weight_u weight_v",
        "torch.nn.utils.spectral_norm; the weight_v of weight_norm is a parameter and has no weight_orig beside it",
        with_any("weight_orig"),
    ),
    Row(STATISTICS, "parametrizations.*.#._u parametrizations.*.#._v", "torch.nn.utils.parametrizations.spectral_norm"),
    Row(
        "copies of weights with some dropped",
        "module.weight_hh_*",
        "awd-lstm-lm: WeightDrop; fastai 1: WeightDropout",
        either(with_named("", "_raw"), with_named(r"module\.(weight_hh_\w+)", r"\1_raw")),
    ),
    Row("masks of pruned weights", "weight_mask", "torch.nn.utils.prune", with_any("weight_orig")),
    Row("masks of pruned weights", "bias_mask", "torch.nn.utils.prune", with_any("bias_orig")),
    Row(
        "weights of classes in a loss", "criterion.weight loss_fn.weight loss_fct.weight", "torch.nn.NLLLoss", is_vector
    ),
    Row(
        CODEBOOKS,
        "cluster_size _ema_cluster_size cluster_usage embed_avg embed_sum inited initialized",
        "transformers: EncodecEuclideanCodebook, MimiEuclideanCodebook; vector-quantize-pytorch",
    ),
    Row(
        CODEBOOKS,
        "embed",
        "transformers: EncodecEuclideanCodebook, whose table is a moving average",
        with_any("cluster_size", "cluster_usage"),
    ),
)
QUANTISED = (
    Row(
        RANGES,
        "act_scaling_factor fc_scaling_factor weight_scaling_factor weight_integer bias_integer norm_scaling_factor",
        "transformers: quant_modules.py of I-BERT",
    ),
    Row(
        RANGES,
        "x_min x_max LayerNorm.shift layer_norm.shift",
        "transformers: QuantAct and IntLayerNorm of I-BERT",
        is_one_number,
    ),
    Row(
        SCALES,
        "*_scale_inv *_activation_scale",
        "transformers: FP8Linear and FP8Experts of finegrained_fp8.py, gemma_quant.py; DeepSeek-V3's own files",
    ),
    Row(
        SCALES,
        "weight_scale weight_scales weight_scale_2 weight_scale_second weight_zero_point weight_global_scale",
        "transformers: quantizer_compressed_tensors.py, fbgemm_fp8.py, eetq.py, bitnet.py; modelopt; Quark; AutoRound",
        unless_wide(r"weight_\w+", "weight"),
    ),
    Row(
        SCALES,
        "gate_up_proj_scale gate_proj_scale up_proj_scale down_proj_scale",
        "transformers: FbgemmFp8Llama4TextExperts",
        unless_wide("_scale", ""),
    ),
    Row(SCALES, "*_scales *_weight.scales", "transformers: mxfp4.py; gpt-oss' own files", is_whole),
    Row(SCALES, "weight_sf weight_sf_rowmajor", "transformers: NVFP4Linear"),
    Row(
        SCALES,
        "input_scale output_scale activation_scale scale_input bias_scale input_zero_point output_zero_point "
        "bias_zero_point input_global_scale act_global_scale input_scale_ub",
        "compressed-tensors, Quark, optimum-quanto, modelopt; transformers: fp_quant.py; ComfyUI",
        either(is_one_number, with_quantised("weight", "weight_packed", "qweight", "weight._data")),
    ),
    Row(SCALES, "q_scale k_scale v_scale prob_scale", "compressed-tensors and vLLM: of the cache", is_per_head),
    Row(SCALES, "qscale_weight qscale_act", "Mistral's own files; llama.cpp: conversion of Mistral"),
    Row(SCALES, "scale_weight scaled_fp8", "ComfyUI", either(is_one_number, is_vector, with_quantised("weight"))),
    Row(
        SCALES, "weight._scale weight._shift weight._zeropoint", "optimum-quanto: WeightQBytesTensor, WeightQBitsTensor"
    ),
    Row(
        SCALES,
        "_*_scale _*_zero_point _*_scale_and_zero",
        "torchao: safetensors_support.py; transformers: quantizer_torchao.py, serialized_names",
        with_named(r"_(scale|zero_point|scale_and_zero|per_tensor_scale|act_pre_scale)", "_qdata"),
    ),
    Row(SCALES, "*:_*scale *:_*zero_point *:_*scale_and_zero", "torchao: safetensors_support.py, first version"),
    Row(
        SCALES,
        "weight.absmax weight.nested_absmax weight.quant_map weight.nested_quant_map",
        "transformers: quantizer_bnb_4bit.py, serialized_names",
    ),
    Row(SCALES, "SCB scb", "transformers: quantizer_bnb_8bit.py, serialized_names"),
    Row(SCALES, "qzeros", "GPTQModel: BaseQuantLinear; AutoAWQ: WQLinear_GEMM"),
    Row(
        SCALES,
        "scales zeros",
        "GPTQModel, AutoAWQ, AQLM; transformers: higgs.py, fp_quant.py, metal_quantization.py; MLX: QuantizedLinear",
        with_quantised("weight", "qweight", "codes", "W_q", "blocks"),
    ),
    Row(SCALES, "biases qbiases", "MLX: QuantizedLinear; transformers: MetalLinear", with_quantised("weight")),
    Row(SCALES, "act.scales", "AutoAWQ: ScaledActivation; GGUF: FFN_ACT", is_vector),
    Row(SCALES, "s", "AutoGPTQ: Marlin", with_quantised("B")),
    Row(
        SCALES,
        "scale zero zero_point",
        "HQQ: HQQLinear.state_dict; torch.ao.nn.quantized.Linear; DeepSeek's own converted files",
        with_quantised("W_q", "weight", "_packed_params._packed_params"),
    ),
    Row(SCALES, "embedding_scale", "transformers: gemma_quant.py", with_quantised("embedding_quantized")),
    Row(SCALES, "tables tables2", "transformers: HiggsLinear", with_quantised("weight")),
    Row(SCALES, "codebooks", "AQLM: QuantizedLinear", with_quantised("codes")),
    Row(SCALES, "weight_bias", "VPTQ: VQuantLinear", with_any("indices")),
    Row(SCALES, "*centroids.weight", "VPTQ: VQuantLinear", with_named(r"\w*centroids\.weight", "indices")),
    Row(SCALES, "quantized_weight_scale_factors quantized_weight_amax", "fouroversix: FourOverSixLinear"),
    Row(SCALES, "SU SV Wscale scaleWH", "QuIP#: QuantizedLinear", with_quantised("Qidxs")),
    Row(SCALES, "q_scale_max q_scale", "ExLlamaV2", with_quantised("q_weight")),
    Row(SCALES, "suh svh su sv", "ExLlamaV3", with_quantised("trellis")),
    Row(SCALES, "*_quantizer._amax *_quantizer._scale *_quantizer._pre_quant_scale", "modelopt: TensorQuantizer"),
    Row(SCALES, "pre_quant_scale", "modelopt: its exported checkpoints", with_quantised("weight")),
    Row(SCALES, "*_quantizer.scale *_quantizer.zero_point", "Quark: QParamsLinear"),
    Row(SCALES, "activation_post_process.* activation_post_process.*.*", "torch.ao.quantization: observers"),
    Row(SCALES, "*_fake_quant.* *_fake_quant.*.*", "torch.ao.quantization: FakeQuantize"),
    Row(SCALES, "blk.#.*.scale blk.#.*.input_scale output.scale output.input_scale", "GGUF: NVFP4, BitNet", of_gguf),
    Row(
        "rotations of quantised weights", "forward_hadamard_matrix backward_hadamard_matrix", "FP-Quant: FPQuantLinear"
    ),
    Row(
        SETTINGS,
        "weight_shape g_idx weight_g_idx perm workspace weight_format weight.quant_state.* quantized_weight_metadata "
        "codebook_id q_groups q_invperm q_perm",
        "compressed-tensors, GPTQModel, Marlin, bitsandbytes, fouroversix, QuIP#, ExLlamaV2",
        is_whole,
    ),
    Row(
        SETTINGS,
        "nbits group_size shape axis packing unpack_view_dtype view_as_float quant_scale quant_zero compute_dtype "
        "encoded_state_dict stores_quant_config offload_meta channel_wise optimize round_zero meta",
        "HQQ: HQQLinear.state_dict; transformers: quantizer_sinq.py, serialized_names",
        with_quantised("W_q"),
    ),
    Row(SETTINGS, "_extra_state", "Transformer Engine: TransformerEngineBaseModule.get_extra_state"),
)
ROWS = (*ATTENTION, *POSITIONS, *ROUTERS_AND_STATISTICS, *QUANTISED)
PACKED_DTYPES = ("U8", "I8", "U16", "I16", "U32", "I32")
PACKED_NAMES = re.compile(
    r"(?:.*\.)?(?:W_q|qweight|q_weight|weight_packed|codes|Qidxs|trellis|dense_weights|col_vals|row_offsets|in_perm|"
    r"embedding_quantized|quantized_weight_values|_packed_params\._packed_params|[^.]*_blocks|[^.]*_qdata|[^.]*:_qdata)"
)
"""Of quantised weights that are whole numbers, whatever their type and shape: SpQR's are vectors."""


def kind_by_name(tensor: StoredTensor, beside: Beside = None) -> str | None:
    """The kind of the first row that knows the tensor, by its name and what else the row asks; None for none."""
    if tensor.dtype == "F8_E8M0":  # has no sign (OCP Microscaling Formats 1.0, §5.4.1)
        return SCALES
    rows = _rows_of(re.sub(r"(?<=\.)\d+(?=\.)", "#", tensor.name))
    return next((row.kind for row in rows if row.only is None or row.only(tensor, beside)), None)


def is_packed_weight(tensor: StoredTensor, beside: Beside = None) -> bool:
    """Whether it is a quantised matrix of whole numbers, several weights to one or one to one."""
    if tensor.is_floating or kind_by_name(tensor, beside) is not None:
        return False
    is_matrix = tensor.dtype in PACKED_DTYPES and len(tensor.shape) >= 2
    return is_matrix or PACKED_NAMES.fullmatch(tensor.name) is not None


@functools.cache  # the layers of a model have their names in common
def _rows_of(path: str) -> tuple[Row, ...]:
    return tuple(row for row in ROWS if row.pattern.fullmatch(path))

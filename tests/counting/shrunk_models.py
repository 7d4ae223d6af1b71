"""Every language-model class of the installed `transformers`, its default configuration made small enough to save."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import transformers
from transformers.models.auto import modeling_auto

KINDS = (
    "MASKED_LM",
    "CAUSAL_LM",
    "SEQ_TO_SEQ_CAUSAL_LM",
    "IMAGE_TEXT_TO_TEXT",
    "SPEECH_SEQ_2_SEQ",
    "MULTIMODAL_LM",
    "PRETRAINING",
    "TEXT_TO_WAVEFORM",
)
SMALL = {  # key → its small value; the first that fits counts
    r".*token_(id|index)s?": 3,
    r".*vocab_size.*|.*_vocab": 120,
    r".*(n_routed|num|n)_(local_|routed_)?experts|moe_num_experts": 4,
    r".*head_dim.*|d_kv|kv_channels|d_head|d_qkv|attention_head_size|.*head_size": 8,
    r".*(key_value|kv)_heads|num_key_value_heads|.*kv_n_heads": 2,
    r".*heads?|attn_heads|n_head": 4,
    r"(?!.*(hidden_size|max_window|first|start|feat_extract|feature_layer)).*(layers?|depth|blocks)": 2,
    r".*(intermediate|ffn|feed_forward|mlp).*(size|dim)|d_ff|d_inner|n_inner|.*ffn_dim|hidden_dim|ff_dim": 48,
    r".*(hidden_size|embedding_size|embed_dim|emb_dim|embd)|d_model|dim|model_dim|width|lru_width": 32,
    r".*lora_rank": 8,
    r".*(position|context_length|seq_len|source_positions|target_positions).*": 64,
    r"num_filters": 2,
    r"base_channels|latent_channels|condition_dim|adapter_(in|out)_dim|adapter_input_size|projection_dim": 32,
    r"(output|post_conv_.*|.*predictor|.*filter|nemo_conv)_channels|.*linear_units|.*postnet_units|.*out_channel": 32,
    r"codebook_size|canvas_length|num_embeddings|upsample_initial_channel|num_embeds": 64,
    r"intermediate_size_mlp": 48,
    r"conv_dim|tdnn_dim": 16,
}
COMPOSED = (  # class:encoder+decoder, beside the pair that is each class's default
    "EncoderDecoderModel:roberta+gpt2",
    "SpeechEncoderDecoderModel:hubert+bart",
    "VisionEncoderDecoderModel:donut-swin+mbart",
    "VisionEncoderDecoderModel:vit+gpt2",
    "VisionEncoderDecoderModel:vit+trocr",
)
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64, "mamba_d_state": 8}
OWN: dict[str, dict[str, Any]] = {  # model type → what its class asks of sizes
    "esm": {"vocab_size": 120},
    "neomme": {"rope_parameters": {"full_attention": {"partial_rotary_factor": 1.0}}},
    "reformer": {"axial_pos_embds_dim": [8, 24], "axial_pos_shape": [8, 8]},
    "bamba": MAMBA,
    "falcon_h1": MAMBA,
    "granitemoehybrid": MAMBA,
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "dory": {  # written as twice as many layers, of attention and of feed-forward in turn
        "n_input_layers": 2,
        "n_recurrent_layers": 2,
        "n_output_layers": 2,
        "num_hidden_layers": 6,
        "layer_types": ["full_attention", "mlp"] * 3,
    },
    "dbrx": {"attn_config": {"rope_theta": 10_000.0}},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "chameleon": {"vocabulary_map": {"<image>": 4, "IMGIMGAZ": 5}},
    "emu3": {"vocabulary_map": {"<image>": 4, "<|extra_200|>": 5, "<|visual token 000000|>": 6}},
    "donut-swin": {"num_heads": [2, 4, 4, 4]},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "hiera": {"embed_dim": 8, "decoder_hidden_size": 32, "decoder_depth": 1, "decoder_num_heads": 4},
    "granite4_vision": {
        "deepstack_layer_map": [[0, 0], [1, 1]],
        "downsample_rate": "2/4",
        "vision_config": {"hidden_size": 64},
    },
    "muse_spark": {"audio_config": {"hidden_sizes": [32, 64]}},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16},
    "ernie4_5_vl_moe_text": {"rope_parameters": {"mrope_section": [1, 1, 2]}},
    "hunyuan_vl_text": {"head_dim": 8},
    "apertus1p5": {
        "image_token_offset": 10,
        "audio_token_offset": 42,
        "vision_config": {"codebook_size": 32},
        "audio_config": {"codebook_size": 32},
    },
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
    "deepseek_ocr2_sam_vision_model": {"downsample_channels": [32, 32]},
    "unlimited_ocr": {"vision_config": {"sam_config": {"downsample_channels": [32, 32]}}},
    "llama4_vision_model": {"vision_output_dim": 64, "projector_input_dim": 64, "projector_output_dim": 64},
    "wavtokenizer_encoder": {"codebook_dim": 32},
    "mimi": {"upsample_groups": 32},
    "qwen3_omni_moe_talker_text": {"shared_expert_intermediate_size": 48},
    "qwen3_omni_moe": {"talker_config": {"spatial_merge_size": 2}, "code2wav_config": {"decoder_dim": 64}},
    "mistral_large4_text": {"kv_source_layers": [0, 1]},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 8}},
    "hy_v4_vl_text": {"rope_parameters": {"mrope_section": [2, 1, 1]}},
    "cosmos3_edge_text": {"rope_parameters": {"mrope_section": [2, 1, 1]}},
    "qwen4_exp_text": {
        "num_experts_per_tok": 2,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 2,
    },
    "perceiver": {
        "d_latents": 32,
        "d_model": 24,
        "num_latents": 8,
        "qk_channels": 16,
        "v_channels": 32,
        "num_self_attends_per_block": 2,
    },
}

GIVEN: dict[str, dict[str, Any]] = {  # model type → what its class refuses to default
    "gemma4_assistant": {
        "text_config": {
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 0,
            "num_hidden_layers": 2,
            "num_kv_shared_layers": 2,
        }
    },
}
WORD_KINDS = ("MASKED_LM", "CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM")
"""Whose files are counted without a configuration too; those of other kinds hold models of sounds and images."""


def classes(kinds: Sequence[str] = KINDS) -> list[str]:
    """The models of these kinds, by the tables of `transformers`; with any pair of a class of two models."""
    found: dict[str, None] = {}
    for kind in kinds:
        for names in getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING_NAMES").values():
            found |= dict.fromkeys([names] if isinstance(names, str) else names)
    pairs = [name for name in COMPOSED if class_of(name).__name__ in found]
    return [*found, *pairs]


def class_of(name: str) -> Any:
    """The class of a name, with or without the two models that it is composed of."""
    return getattr(transformers, name.partition(":")[0])


def shrunk(name: str) -> dict[str, Any]:
    """The default configuration of a class as its `config.json`, smaller."""
    class_name, _, pair = name.partition(":")
    config_class = class_of(name).config_class
    given = dict(GIVEN.get(config_class.model_type, {}))
    if pair:
        encoder, decoder = pair.split("+")
        given["encoder"] = {"model_type": encoder}
        given["decoder"] = {"model_type": decoder, "is_decoder": True, "add_cross_attention": True}
    small = _shrunk_table(config_class(**given).to_dict())
    decoder = {"is_decoder": True} if class_name == "ReformerModelWithLMHead" else {}
    return small | decoder | {"model_type": config_class.model_type, "architectures": [class_name]}


def _merged(table: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in own.items():
        table[key] = _merged(dict(table.get(key) or {}), value) if isinstance(value, Mapping) else value
    return table


def _shrunk_table(table: Mapping[str, Any]) -> dict[str, Any]:
    numbers = (table.get(key) for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"))
    layers = {number for number in numbers if isinstance(number, int)}
    small = {str(key): _shrunk(str(key), value, layers) for key, value in table.items() if key != "per_layer_config"}
    if table.get("num_key_value_heads") == table.get("num_attention_heads") != None:  # noqa: E711 (a number)
        small["num_key_value_heads"] = small["num_attention_heads"]
    return _merged(small, OWN.get(table.get("model_type", ""), {}))


def _shrunk(key: str, value: Any, layers: set[int]) -> Any:
    if isinstance(value, Mapping):
        return _shrunk_table(value)
    if isinstance(value, list | tuple):
        short = [value[0], value[-1]] if len(value) in layers and len(value) > 2 else value
        return [_shrunk(key, inner, layers) for inner in short]
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    small = next((number for pattern, number in SMALL.items() if re.fullmatch(pattern, key)), value)
    return min(value, small) if value > 0 else value

"""Closed forms of models with a decoder, GPT-2 and T5 to Llama and its relatives: `config.json` → blueprint.

Sources and tests as in `masked_lm_forms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tiedlm.counting.closed_forms.blueprint import (
    Blueprint,
    ConfigReader,
    NoClosedForm,
    Part,
    decoder_weight,
    dense,
    layer_norm,
    table,
    vector,
)


def gpt2(reader: ConfigReader) -> Blueprint:
    vocab, hidden = reader.size("vocab_size", 50_257), reader.size("n_embd", 768)
    reader.leave_if("add_cross_attention")
    reader.check_divides("n_head", reader.size("n_head", 12), "n_embd", hidden)
    inner, num_layers = reader.optional_size("n_inner", 4 * hidden), reader.size("n_layer", 12)
    max_positions = reader.size("n_positions", 1_024)
    attention = dense(hidden, 3 * hidden) + dense(hidden, hidden)
    layer = attention + dense(hidden, inner) + dense(inner, hidden) + 2 * layer_norm(hidden)
    tied = reader.flag("tie_word_embeddings", True)
    return Blueprint(
        "GPT2LMHeadModel",
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "position_embeddings": table(max_positions, hidden),
            "decoder_layers": num_layers * layer,
            "final_norm": layer_norm(hidden),
            "decoder_weight": decoder_weight(vocab, hidden, tied),
        },
        other_totals={"with the causal masks that some checkpoints store": num_layers * max_positions**2},
    )


def t5(reader: ConfigReader, is_mt5: bool = False) -> Blueprint:
    """`T5ForConditionalGeneration`; v1.1 and mT5 have gated feed-forward layers and an output matrix of their own.

    `transformers` 5 builds these tied whatever their configuration says (`configuration_t5.py`), though it leaves two
    different matrices of a file apart; the configuration is believed here, as it says what was trained.
    """
    vocab, hidden = reader.size("vocab_size", 250_112 if is_mt5 else 32_128), reader.size("d_model", 512)
    inner, num_heads = reader.size("d_ff", 1_024 if is_mt5 else 2_048), reader.size("num_heads", 6 if is_mt5 else 8)
    num_layers = reader.size("num_layers", 8 if is_mt5 else 6)
    is_symmetric = reader.raw.get("num_decoder_layers") is None
    if is_symmetric and "num_layers" in reader.raw and "num_layers" not in reader.stated:
        raise NoClosedForm("num_hidden_layers in a T5")  # its class has its own idea of the decoder's depth then
    num_decoder_layers = reader.optional_size("num_decoder_layers", num_layers)
    is_gated = reader.text("feed_forward_proj", "gated-gelu" if is_mt5 else "relu").startswith("gated-")
    norm = layer_norm(hidden, bias=False)
    attention = 4 * dense(hidden, num_heads * reader.size("d_kv", 64), bias=False) + norm
    feed_forward = (3 if is_gated else 2) * dense(hidden, inner, bias=False) + norm
    buckets = reader.size("relative_attention_num_buckets", 32)
    tied = reader.flag("tie_word_embeddings", True)
    return Blueprint(
        "MT5ForConditionalGeneration" if is_mt5 else "T5ForConditionalGeneration",
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "position_embeddings": table(buckets, 2 * num_heads),  # one table for each stack
            "encoder_layers": num_layers * (attention + feed_forward),
            "decoder_layers": num_decoder_layers * (2 * attention + feed_forward),  # one attends to the encoder
            "final_norm": 2 * norm,
            "decoder_weight": decoder_weight(vocab, hidden, tied),
        },
        num_input_modules=3,  # `shared`, and one of each stack
        other_totals=_t5_other_totals(tied, vocab * hidden, buckets * num_heads),
    )


def _t5_other_totals(tied: bool, matrix: int, positions: int) -> dict[str, int]:
    totals = {"with the relative positions of cross-attention, stored in old checkpoints and never read": positions}
    if not tied:
        totals["built from its configuration by transformers 5, which then ties this class whatever it says"] = -matrix
    return totals


def gpt_neox(reader: ConfigReader) -> Blueprint:
    """GPT-NeoX and Pythia."""
    vocab, hidden = reader.size("vocab_size", 50_432), reader.size("hidden_size", 6_144)
    inner, num_layers = reader.size("intermediate_size", 24_576), reader.size("num_hidden_layers", 44)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 64), "hidden_size", hidden)
    bias = reader.flag("attention_bias", True)
    attention = dense(hidden, 3 * hidden, bias) + dense(hidden, hidden, bias)
    layer = attention + dense(hidden, inner) + dense(inner, hidden) + 2 * layer_norm(hidden)
    tied = reader.flag("tie_word_embeddings", False)
    return Blueprint(
        "GPTNeoXForCausalLM",
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "decoder_layers": num_layers * layer,
            "final_norm": layer_norm(hidden),
            "decoder_weight": decoder_weight(vocab, hidden, tied),
        },
    )


def opt(reader: ConfigReader) -> Blueprint:
    """OPT; its 350m model is factorised (E = 512, H = 1,024)."""
    vocab, hidden = reader.size("vocab_size", 50_272), reader.size("hidden_size", 768)
    width = reader.optional_size("word_embed_proj_dim", hidden)
    inner, num_layers = reader.size("ffn_dim", 3_072), reader.size("num_hidden_layers", 12)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 12), "hidden_size", hidden)
    bias = reader.flag("enable_bias", True)
    norm = layer_norm(hidden) if reader.flag("layer_norm_elementwise_affine", True) else Part()
    has_final_norm = reader.flag("do_layer_norm_before", True) and not reader.flag("_remove_final_layer_norm", False)
    layer = 4 * dense(hidden, hidden, bias) + dense(hidden, inner, bias) + dense(inner, hidden, bias) + 2 * norm
    tied = reader.flag("tie_word_embeddings", True)
    return Blueprint(
        "OPTForCausalLM",
        vocab,
        hidden,
        width,
        tied,
        {
            "word_embeddings": table(vocab, width),
            "position_embeddings": table(reader.size("max_position_embeddings", 2_048) + 2, hidden),
            "embedding_projection": dense(width, hidden, bias=False) if width != hidden else Part(),
            "decoder_layers": num_layers * layer,
            "final_norm": norm if has_final_norm else Part(),
            "head_transform": dense(hidden, width, bias=False) if width != hidden else Part(),
            "decoder_weight": decoder_weight(vocab, width, tied),
        },
    )


@dataclass(frozen=True)
class DecoderForm:
    """How one family differs from Llama: grouped-query attention, gated MLP, norms that have a gain and no bias."""

    architecture: str
    vocab_size: int
    hidden_size: int = 4_096
    intermediate_size: int = 11_008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    """None: one for each attention head."""
    head_dim: int | None = None
    """None: hidden size over heads."""
    tied: bool = False
    query_bias: Literal["attention_bias", "always", "never"] = "attention_bias"
    """When queries, keys and values have a bias; the attention's output has one only by `attention_bias`."""
    mlp_bias: bool = False
    """Whether the key `mlp_bias` is heeded."""
    query_key_norm: Literal["none", "head", "width"] = "none"
    norms_a_layer: int = 2
    norm_gain: bool = True
    head_bias: bool = False
    """Whether the output matrix has a bias where `mlp_bias` is set (EuroBERT)."""
    heads_divide: bool = False
    """Whether the class refuses heads that do not divide the hidden size."""


DECODERS = {
    "llama": DecoderForm("LlamaForCausalLM", 32_000, mlp_bias=True, heads_divide=True),
    "mistral": DecoderForm(
        "MistralForCausalLM", 32_000, intermediate_size=14_336, num_key_value_heads=8, query_bias="never"
    ),
    "phi3": DecoderForm("Phi3ForCausalLM", 32_064, 3_072, 8_192, query_bias="never"),
    "qwen2": DecoderForm("Qwen2ForCausalLM", 151_936, 4_096, 22_016, num_key_value_heads=32, query_bias="always"),
    "qwen3": DecoderForm(
        "Qwen3ForCausalLM", 151_936, 4_096, 22_016, num_key_value_heads=32, head_dim=128, query_key_norm="head"
    ),
    "gemma": DecoderForm("GemmaForCausalLM", 256_000, 3_072, 24_576, 28, 16, 16, 256, tied=True),
    "gemma2": DecoderForm("Gemma2ForCausalLM", 256_000, 2_304, 9_216, 26, 8, 4, 256, tied=True, norms_a_layer=4),
    "gemma3_text": DecoderForm(
        "Gemma3ForCausalLM", 262_208, 2_304, 9_216, 26, 8, 4, 256, tied=True, norms_a_layer=4, query_key_norm="head"
    ),
    "olmo": DecoderForm("OlmoForCausalLM", 50_304, norm_gain=False),
    "olmo2": DecoderForm("Olmo2ForCausalLM", 50_304, query_key_norm="width"),
    "smollm3": DecoderForm("SmolLM3ForCausalLM", 128_256, 2_048, 11_008, 36, 16, 4, tied=True, mlp_bias=True),
    "eurobert": DecoderForm(
        "EuroBertForMaskedLM", 128_256, 768, 3_072, 12, 12, mlp_bias=True, head_bias=True, heads_divide=True
    ),
}


def decoder(reader: ConfigReader, form: DecoderForm) -> Blueprint:
    """Llama and its relatives."""
    vocab, hidden = reader.size("vocab_size", form.vocab_size), reader.size("hidden_size", form.hidden_size)
    inner = reader.size("intermediate_size", form.intermediate_size)
    num_layers = reader.size("num_hidden_layers", form.num_hidden_layers)
    num_heads = reader.size("num_attention_heads", form.num_attention_heads)
    if "num_key_value_heads" in reader.raw or form.num_key_value_heads is None:
        num_key_value_heads = reader.optional_size("num_key_value_heads", num_heads)
    else:
        num_key_value_heads = form.num_key_value_heads
    if form.heads_divide:
        reader.check_divides("num_attention_heads", num_heads, "hidden_size", hidden)
    head_dim = reader.optional_size("head_dim", form.head_dim or max(1, hidden // num_heads))
    queries, keys = num_heads * head_dim, num_key_value_heads * head_dim
    bias = form.query_bias == "attention_bias" and reader.flag("attention_bias", False)
    mlp_bias = form.mlp_bias and reader.flag("mlp_bias", False)
    attention = dense(hidden, queries + 2 * keys, bias or form.query_bias == "always") + dense(queries, hidden, bias)
    mlp = 2 * dense(hidden, inner, mlp_bias) + dense(inner, hidden, mlp_bias)
    norm = vector(hidden if form.norm_gain else 0)
    query_key_norm = vector({"none": 0, "head": 2 * head_dim, "width": queries + keys}[form.query_key_norm])
    tied = reader.flag("tie_word_embeddings", form.tied)
    is_encoder = form.architecture.endswith("ForMaskedLM")
    return Blueprint(
        form.architecture,
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "encoder_layers" if is_encoder else "decoder_layers": num_layers
            * (attention + mlp + query_key_norm + form.norms_a_layer * norm),
            "final_norm": norm,
            "decoder_weight": decoder_weight(vocab, hidden, tied),
            "decoder_bias": vector(vocab) if form.head_bias and mlp_bias else Part(),
        },
    )

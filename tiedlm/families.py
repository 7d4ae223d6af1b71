"""The closed forms: a `config.json` of Hugging Face → the model's blueprint, family by family.

Each form is that of one class of `transformers` (5.23; file `models/FAMILY/modeling_FAMILY.py`), its
defaults are that class's, and the tests hold it to the class built on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tiedlm.blueprint import (
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
from tiedlm.errors import InputError

ALIAS = "untied in transformers 5, which splits the bias in two; one copy is never read"


def draw_blueprint(raw: Mapping[str, Any], source: str) -> Blueprint:
    """Draw the model of a `config.json` by its `model_type`.

    Raises:
        InputError: a value is none that a model can have.
        NoClosedForm: the family, or something that the configuration asks for, is not known here.
    """
    reader = ConfigReader(raw, source)
    model_type = raw.get("model_type")
    if not isinstance(model_type, str):
        raise InputError(f"{source}: model_type is missing, so it is no configuration of a model; give a config.json")
    if model_type in FAMILIES:
        return FAMILIES[model_type](reader)
    if model_type in DECODERS:
        return _decoder(reader, DECODERS[model_type])
    raise NoClosedForm(f"model_type={model_type!r}")


def _bert_layer(hidden: int, inner: int) -> Part:
    attention = 4 * dense(hidden, hidden) + layer_norm(hidden)
    return attention + dense(hidden, inner) + dense(inner, hidden) + layer_norm(hidden)


def _bert(reader: ConfigReader, architecture: str, vocab_default: int) -> Blueprint:
    """`BertForMaskedLM`: post-LayerNorm, learned positions, a head with a transform and an output-only bias."""
    reader.leave_if("add_cross_attention")
    vocab, hidden = reader.size("vocab_size", vocab_default), reader.size("hidden_size", 768)
    inner, num_layers = reader.size("intermediate_size", 3_072), reader.size("num_hidden_layers", 12)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 12), "hidden_size", hidden)
    tied = reader.flag("tie_word_embeddings", True)
    has_transform = reader.flag("head_transform", True)  # tiedlm's own models may leave it out
    transform = dense(hidden, hidden) + layer_norm(hidden)
    pooler = dense(hidden, hidden).parameters
    base = pooler - vocab - transform.parameters - (0 if tied else vocab * hidden)
    other_totals = {f"{architecture.removesuffix('ForMaskedLM')}Model, with its pooler and without a head": base}
    if architecture == "BertForMaskedLM":
        next_sentence = dense(hidden, 2).parameters
        other_totals["BertForPreTraining, with its pooler and next-sentence head"] = pooler + next_sentence
    return Blueprint(
        architecture,
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "position_embeddings": table(reader.size("max_position_embeddings", 512), hidden),
            "token_type_embeddings": table(reader.size("type_vocab_size", 2), hidden),
            "embeddings_norm": layer_norm(hidden),
            "encoder_layers": num_layers * _bert_layer(hidden, inner),
            "head_transform": transform if has_transform else Part(),
            "decoder_weight": decoder_weight(vocab, hidden, tied),
            "decoder_bias": vector(vocab),
        },
        other_totals | _alias(tied, vocab, hidden),
    )


def _alias(tied: bool, vocab: int, width: int) -> dict[str, int]:
    return {ALIAS: (vocab * width if tied else 0) + vocab}


def _distilbert(reader: ConfigReader) -> Blueprint:
    vocab, hidden, inner = reader.size("vocab_size", 30_522), reader.size("dim", 768), reader.size("hidden_dim", 3_072)
    reader.check_divides("n_heads", reader.size("n_heads", 12), "dim", hidden)
    tied = reader.flag("tie_word_embeddings", True)
    return Blueprint(
        "DistilBertForMaskedLM",
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "position_embeddings": table(reader.size("max_position_embeddings", 512), hidden),
            "embeddings_norm": layer_norm(hidden),
            "encoder_layers": reader.size("n_layers", 6) * _bert_layer(hidden, inner),
            "head_transform": dense(hidden, hidden) + layer_norm(hidden),
            "decoder_weight": decoder_weight(vocab, hidden, tied),
            "decoder_bias": vector(vocab),
        },
    )


def _albert(reader: ConfigReader) -> Blueprint:
    """ALBERT (Lan et al. 2020, §3.1): V×E + E×H instead of V×H, and layers shared by all depths of a group."""
    vocab, width = reader.size("vocab_size", 30_000), reader.size("embedding_size", 128)
    hidden, inner = reader.size("hidden_size", 4_096), reader.size("intermediate_size", 16_384)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 64), "hidden_size", hidden)
    num_layers, num_groups = reader.size("num_hidden_layers", 12), reader.size("num_hidden_groups", 1)
    group = reader.size("inner_group_num", 1) * _bert_layer(hidden, inner)
    layers = Part(num_groups * group.parameters, num_layers * group.multiply_adds)
    tied = reader.flag("tie_word_embeddings", True)
    transform = dense(hidden, width) + layer_norm(width)
    pooler = dense(hidden, hidden).parameters
    base = pooler - vocab - transform.parameters - (0 if tied else vocab * width)
    return Blueprint(
        "AlbertForMaskedLM",
        vocab,
        hidden,
        width,
        tied,
        {
            "word_embeddings": table(vocab, width),
            "position_embeddings": table(reader.size("max_position_embeddings", 512), width),
            "token_type_embeddings": table(reader.size("type_vocab_size", 2), width),
            "embeddings_norm": layer_norm(width),
            "embedding_projection": dense(width, hidden),
            "encoder_layers": layers,
            "head_transform": transform,
            "decoder_weight": decoder_weight(vocab, width, tied),
            "decoder_bias": vector(vocab),
        },
        {"AlbertModel, with its pooler and without a head": base} | _alias(tied, vocab, width),
    )


def _electra(reader: ConfigReader) -> Blueprint:
    """ELECTRA's generator, which has the masked-LM head; with E = H it is BERT."""
    reader.leave_if("add_cross_attention")
    vocab, width = reader.size("vocab_size", 30_522), reader.size("embedding_size", 128)
    hidden, inner = reader.size("hidden_size", 256), reader.size("intermediate_size", 1_024)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 4), "hidden_size", hidden)
    tied = reader.flag("tie_word_embeddings", True)
    return Blueprint(
        "ElectraForMaskedLM",
        vocab,
        hidden,
        width,
        tied,
        {
            "word_embeddings": table(vocab, width),
            "position_embeddings": table(reader.size("max_position_embeddings", 512), width),
            "token_type_embeddings": table(reader.size("type_vocab_size", 2), width),
            "embeddings_norm": layer_norm(width),
            "embedding_projection": dense(width, hidden) if width != hidden else Part(),
            "encoder_layers": reader.size("num_hidden_layers", 12) * _bert_layer(hidden, inner),
            "head_transform": dense(hidden, width) + layer_norm(width),
            "decoder_weight": decoder_weight(vocab, width, tied),
            "decoder_bias": vector(vocab),
        },
    )


def _deberta(reader: ConfigReader) -> Blueprint:
    """DeBERTa v2 and v3: relative positions in a table of their own, projected for each layer unless shared."""
    vocab, hidden = reader.size("vocab_size", 128_100), reader.size("hidden_size", 1_536)
    width, inner = reader.size("embedding_size", hidden), reader.size("intermediate_size", 6_144)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 24), "hidden_size", hidden)
    for key in ("conv_kernel_size", "attention_head_size"):
        reader.leave_if(key)
    if not reader.flag("legacy", True):
        raise NoClosedForm("legacy=False")
    max_positions = reader.size("max_position_embeddings", 512)
    position_rows, layer = 0, _bert_layer(hidden, inner)
    if reader.flag("relative_attention", False):
        max_relative = reader.size("max_relative_positions", -1, minimum=-1)
        buckets = reader.size("position_buckets", -1, minimum=-1)
        position_rows = 2 * next(size for size in (buckets, max_relative, max_positions) if size > 0)
        if not reader.flag("share_att_key", False):
            projections = {"c2p", "p2c"} & set(reader.words("pos_att_type"))
            layer += Part(len(projections) * dense(hidden, hidden).parameters)  # of positions, not of tokens
    relative_norm = layer_norm(hidden) if "layer_norm" in reader.words("norm_rel_ebd") else Part()
    type_rows = reader.size("type_vocab_size", 0, minimum=0)
    tied = reader.flag("tie_word_embeddings", True)
    return Blueprint(
        "DebertaV2ForMaskedLM",
        vocab,
        hidden,
        width,
        tied,
        {
            "word_embeddings": table(vocab, width),
            "position_embeddings": table(max_positions if reader.flag("position_biased_input", True) else 0, width)
            + table(position_rows, hidden)
            + relative_norm,
            "token_type_embeddings": table(type_rows, width),
            "embedding_projection": dense(width, hidden, bias=False) if width != hidden else Part(),
            "embeddings_norm": layer_norm(hidden),
            "encoder_layers": reader.size("num_hidden_layers", 24) * layer,
            "head_transform": dense(hidden, width) + layer_norm(width),
            "decoder_weight": decoder_weight(vocab, width, tied),
            "decoder_bias": vector(vocab),
        },
        _alias(tied, vocab, width),
    )


def _modernbert(reader: ConfigReader) -> Blueprint:
    """`ModernBertForMaskedLM`: pre-LayerNorm, rotary positions, GeGLU (two matrices in, one out)."""
    vocab, hidden = reader.size("vocab_size", 50_368), reader.size("hidden_size", 768)
    inner, num_layers = reader.size("intermediate_size", 1_152), reader.size("num_hidden_layers", 22)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 12), "hidden_size", hidden)
    norm = layer_norm(hidden, reader.flag("norm_bias", False))
    attention_bias, mlp_bias = reader.flag("attention_bias", False), reader.flag("mlp_bias", False)
    attention = dense(hidden, 3 * hidden, attention_bias) + dense(hidden, hidden, attention_bias)
    mlp = dense(hidden, 2 * inner, mlp_bias) + dense(inner, hidden, mlp_bias)
    tied = reader.flag("tie_word_embeddings", True)
    transform = dense(hidden, hidden, reader.flag("classifier_bias", False)) + norm
    return Blueprint(
        "ModernBertForMaskedLM",
        vocab,
        hidden,
        hidden,
        tied,
        {
            "word_embeddings": table(vocab, hidden),
            "embeddings_norm": norm,
            "encoder_layers": num_layers * (attention + mlp + norm) + (num_layers - 1) * norm,  # none before the first
            "final_norm": norm,
            "head_transform": transform if reader.flag("head_transform", True) else Part(),
            "decoder_weight": decoder_weight(vocab, hidden, tied),
            "decoder_bias": vector(vocab) if reader.flag("decoder_bias", True) else Part(),
        },
    )


def _gpt2(reader: ConfigReader) -> Blueprint:
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
        {"with the causal masks that some checkpoints store": num_layers * max_positions**2},
    )


def _t5(reader: ConfigReader, is_mt5: bool = False) -> Blueprint:
    """`T5ForConditionalGeneration`; v1.1 and mT5 have gated feed-forward layers and an output matrix of their own.

    `transformers` 5 builds these tied whatever their configuration says (`configuration_t5.py`); the
    configuration is believed here, as it is what was trained (t5/released_checkpoints.md).
    """
    vocab, hidden = reader.size("vocab_size", 250_112 if is_mt5 else 32_128), reader.size("d_model", 512)
    inner, num_heads = reader.size("d_ff", 1_024 if is_mt5 else 2_048), reader.size("num_heads", 6 if is_mt5 else 8)
    num_layers = reader.size("num_layers", 8 if is_mt5 else 6)
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
        {
            "with the relative positions of cross-attention, stored in old checkpoints and never read": buckets
            * num_heads
        }
        | (
            {}
            if tied
            else {"in transformers 5, which ties this class whatever its configuration says": -vocab * hidden}
        ),
    )


def _gpt_neox(reader: ConfigReader) -> Blueprint:
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


def _opt(reader: ConfigReader) -> Blueprint:
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


def _decoder(reader: ConfigReader, form: DecoderForm) -> Blueprint:
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


FAMILIES: dict[str, Callable[[ConfigReader], Blueprint]] = {
    "bert": lambda reader: _bert(reader, "BertForMaskedLM", 30_522),
    "roberta": lambda reader: _bert(reader, "RobertaForMaskedLM", 50_265),
    "xlm-roberta": lambda reader: _bert(reader, "XLMRobertaForMaskedLM", 30_522),
    "camembert": lambda reader: _bert(reader, "CamembertForMaskedLM", 30_522),
    "distilbert": _distilbert,
    "albert": _albert,
    "electra": _electra,
    "deberta-v2": _deberta,
    "modernbert": _modernbert,
    "gpt2": _gpt2,
    "t5": _t5,
    "mt5": lambda reader: _t5(reader, is_mt5=True),
    "gpt_neox": _gpt_neox,
    "opt": _opt,
}

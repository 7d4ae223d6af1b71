"""Closed forms of the masked LMs: `config.json` → blueprint.

Each is the form of one class of `transformers` (5.23; `models/FAMILY/modeling_FAMILY.py`) with that class's
defaults, and the tests hold it to the class built on the meta device.
"""

from __future__ import annotations

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

ALIAS = "untied in transformers 5, which splits the bias in two; one copy is never read"


def _bert_layer(hidden: int, inner: int) -> Part:
    attention = 4 * dense(hidden, hidden) + layer_norm(hidden)
    return attention + dense(hidden, inner) + dense(inner, hidden) + layer_norm(hidden)


def bert(reader: ConfigReader, architecture: str = "BertForMaskedLM", vocab_default: int = 30_522) -> Blueprint:
    """BERT, RoBERTa and their like: post-LayerNorm, learned positions."""
    reader.leave_if("add_cross_attention")
    hidden, inner = reader.size("hidden_size", 768), reader.size("intermediate_size", 3_072)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 12), "hidden_size", hidden)
    return _bert_like(
        reader,
        architecture,
        vocab=reader.size("vocab_size", vocab_default),
        width=hidden,
        hidden=hidden,
        type_rows=reader.size("type_vocab_size", 2, minimum=0),
        layers=reader.size("num_hidden_layers", 12) * _bert_layer(hidden, inner),
        is_plain_bert=True,
    )


def distilbert(reader: ConfigReader) -> Blueprint:
    """DistilBERT: BERT without token types."""
    hidden, inner = reader.size("dim", 768), reader.size("hidden_dim", 3_072)
    reader.check_divides("n_heads", reader.size("n_heads", 12), "dim", hidden)
    return _bert_like(
        reader,
        "DistilBertForMaskedLM",
        vocab=reader.size("vocab_size", 30_522),
        width=hidden,
        hidden=hidden,
        type_rows=0,
        layers=reader.size("n_layers", 6) * _bert_layer(hidden, inner),
    )


def albert(reader: ConfigReader) -> Blueprint:
    """ALBERT (Lan et al. 2020, §3.1): V×E + E×H instead of V×H, and layers shared by all depths of a group."""
    hidden, inner = reader.size("hidden_size", 4_096), reader.size("intermediate_size", 16_384)
    width = reader.size("embedding_size", 128)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 64), "hidden_size", hidden)
    num_layers, num_groups = reader.size("num_hidden_layers", 12), reader.size("num_hidden_groups", 1)
    group = reader.size("inner_group_num", 1) * _bert_layer(hidden, inner)
    return _bert_like(
        reader,
        "AlbertForMaskedLM",
        vocab=reader.size("vocab_size", 30_000),
        width=width,
        hidden=hidden,
        type_rows=reader.size("type_vocab_size", 2, minimum=0),
        layers=Part(num_groups * group.parameters, num_layers * group.multiply_adds),
        projection=dense(width, hidden),
        is_plain_bert=True,
    )


def electra(reader: ConfigReader) -> Blueprint:
    """ELECTRA's generator, which has the masked-LM head; with E = H it is BERT."""
    reader.leave_if("add_cross_attention")
    hidden, inner = reader.size("hidden_size", 256), reader.size("intermediate_size", 1_024)
    width = reader.size("embedding_size", 128)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 4), "hidden_size", hidden)
    return _bert_like(
        reader,
        "ElectraForMaskedLM",
        vocab=reader.size("vocab_size", 30_522),
        width=width,
        hidden=hidden,
        type_rows=reader.size("type_vocab_size", 2, minimum=0),
        layers=reader.size("num_hidden_layers", 12) * _bert_layer(hidden, inner),
        projection=dense(width, hidden) if width != hidden else Part(),
    )


def mosaic_bert(reader: ConfigReader) -> Blueprint:
    """MosaicBERT and DNABERT-2: ALiBi for positions, and gated feed-forward layers (Portes et al. 2023, §2).

    Their code is their repositories' own (mosaicml/examples, `bert_layers.py`); its class binds the output matrix to
    the embeddings.
    """
    hidden, inner = reader.size("hidden_size", 768), reader.size("intermediate_size", 3_072)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 12), "hidden_size", hidden)
    attention = dense(hidden, 3 * hidden) + dense(hidden, hidden) + layer_norm(hidden)
    layer = attention + dense(hidden, 2 * inner, bias=False) + dense(inner, hidden) + layer_norm(hidden)
    return _bert_like(
        reader,
        "BertForMaskedLM",
        vocab=reader.size("vocab_size", 30_522),
        width=hidden,
        hidden=hidden,
        type_rows=reader.size("type_vocab_size", 2, minimum=0),
        layers=reader.size("num_hidden_layers", 12) * layer,
        has_positions=False,
    )


def _bert_like(
    reader: ConfigReader,
    architecture: str,
    *,
    vocab: int,
    width: int,
    hidden: int,
    type_rows: int,
    layers: Part,
    projection: Part = Part(),  # noqa: B008 (frozen)
    is_plain_bert: bool = False,
    has_positions: bool = True,
) -> Blueprint:
    """Embeddings E wide, layers H wide, and a head that transforms back to E and has an output-only bias.

    `is_plain_bert`: `transformers` gives its base class a pooler, and the head's bias a second name.
    """
    tied = reader.flag("tie_word_embeddings", True)
    has_transform = reader.flag("head_transform", True)  # tiedlm's own models may leave it out
    head = {
        "head_transform": dense(hidden, width) + layer_norm(width) if has_transform else Part(),
        "decoder_weight": decoder_weight(vocab, width, tied),
        "decoder_bias": vector(vocab),
    }
    head_size = sum(part.parameters for part in head.values())
    other_totals = _with_pooler(architecture, hidden, head_size) | _alias(tied, vocab, width) if is_plain_bert else {}
    return Blueprint(
        architecture,
        vocab,
        hidden,
        width,
        tied,
        {
            **_embeddings(vocab, reader.size("max_position_embeddings", 512) if has_positions else 0, type_rows, width),
            "embedding_projection": projection,
            "encoder_layers": layers,
            **head,
        },
        other_totals=other_totals,
    )


def _embeddings(vocab: int, position_rows: int, type_rows: int, width: int) -> dict[str, Part]:
    return {
        "word_embeddings": table(vocab, width),
        "position_embeddings": table(position_rows, width),
        "token_type_embeddings": table(type_rows, width),
        "embeddings_norm": layer_norm(width),
    }


def _with_pooler(architecture: str, hidden: int, head_size: int) -> dict[str, int]:
    """Other classes on the same encoder, and how their totals differ."""
    pooler = dense(hidden, hidden).parameters
    base = architecture.removesuffix("ForMaskedLM") + "Model"
    totals = {f"{base}, with its pooler and without a head": pooler - head_size}
    if architecture == "BertForMaskedLM":
        next_sentence = dense(hidden, 2).parameters
        totals["BertForPreTraining, with its pooler and next-sentence head"] = pooler + next_sentence
    return totals


def _alias(tied: bool, vocab: int, width: int) -> dict[str, int]:
    return {ALIAS: (vocab * width if tied else 0) + vocab}


def deberta(reader: ConfigReader) -> Blueprint:
    """DeBERTa v2 and v3: relative positions in a table of their own, projected for each layer unless shared."""
    vocab, hidden = reader.size("vocab_size", 128_100), reader.size("hidden_size", 1_536)
    width, inner = reader.size("embedding_size", hidden), reader.size("intermediate_size", 6_144)
    reader.check_divides("num_attention_heads", reader.size("num_attention_heads", 24), "hidden_size", hidden)
    for key in ("conv_kernel_size", "attention_head_size"):
        reader.leave_if(key)
    if not reader.flag("legacy", True):
        raise NoClosedForm("legacy=False")
    max_positions = reader.size("max_position_embeddings", 512)
    relative, projections = _relative_positions(reader, hidden, max_positions)
    layer = _bert_layer(hidden, inner) + projections
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
            + relative,
            "token_type_embeddings": table(type_rows, width),
            "embedding_projection": dense(width, hidden, bias=False) if width != hidden else Part(),
            "embeddings_norm": layer_norm(hidden),
            "encoder_layers": reader.size("num_hidden_layers", 24) * layer,
            "head_transform": dense(hidden, width) + layer_norm(width),
            "decoder_weight": decoder_weight(vocab, width, tied),
            "decoder_bias": vector(vocab),
        },
        other_totals=_alias(tied, vocab, width),
    )


def _relative_positions(reader: ConfigReader, hidden: int, max_positions: int) -> tuple[Part, Part]:
    """The table of relative positions with its norm, and a layer's projections of it."""
    norm = layer_norm(hidden) if "layer_norm" in reader.words("norm_rel_ebd") else Part()
    if not reader.flag("relative_attention", False):
        return norm, Part()
    max_relative = reader.size("max_relative_positions", -1, minimum=-1)
    buckets = reader.size("position_buckets", -1, minimum=-1)
    rows = 2 * next(size for size in (buckets, max_relative, max_positions) if size > 0)
    projections = set() if reader.flag("share_att_key", False) else {"c2p", "p2c"} & set(reader.words("pos_att_type"))
    return table(rows, hidden) + norm, Part(len(projections) * dense(hidden, hidden).parameters)  # of no token


def modernbert(reader: ConfigReader) -> Blueprint:
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

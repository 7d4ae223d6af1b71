"""Our configuration as the `config.json` of the class of `transformers` that computes the same."""

from __future__ import annotations

from typing import Any

from tiedlm.config.model_config import ModelConfig
from tiedlm.errors import InputError
from tiedlm.exchange.transformers_names import CLASSES
from tiedlm.masked_batch import PAD_ID
from tiedlm.model.embeddings import TYPE_VOCAB_SIZE
from tiedlm.model.linear_and_norm import LAYER_NORM_EPS


def exported_config(config: ModelConfig, vocab_size: int, eos_id: int, is_tied: bool) -> dict[str, Any]:
    """Every key on which a logit depends, and the ids of special tokens, which must be below `vocab_size`.

    Raises:
        InputError: no class of theirs computes the same.
    """
    if not config.head_transform:
        raise InputError(
            f"model.head_transform=false: {CLASSES[config.encoder]} has dense → GELU → LayerNorm before its output "
            "matrix, which this model has not; export one that was trained with model.head_transform=true"
        )
    shared = {
        "architectures": [CLASSES[config.encoder]],
        "model_type": config.encoder,
        "vocab_size": vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "initializer_range": config.initializer_range,
        "tie_word_embeddings": is_tied,
        "pad_token_id": PAD_ID,
        **dict.fromkeys(("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"), eos_id),
        "dtype": "float32",
    }
    return shared | (_bert(config) if config.encoder == "bert" else _modernbert(config))


def _bert(config: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        "layer_norm_eps": LAYER_NORM_EPS["bert"],
        "type_vocab_size": TYPE_VOCAB_SIZE,
    }


def _modernbert(config: ModelConfig) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": config.rope_theta}
    return {
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "norm_eps": LAYER_NORM_EPS["modernbert"],
        **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False),
        "decoder_bias": True,
        "attention_dropout": config.attention_probs_dropout_prob,
        **dict.fromkeys(("embedding_dropout", "mlp_dropout"), config.hidden_dropout_prob),
        "layer_types": ["full_attention"] * config.num_hidden_layers,  # every layer global
        "rope_parameters": {"full_attention": rope, "sliding_attention": rope},
    }

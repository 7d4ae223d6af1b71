"""Our tensors by the names of `BertForMaskedLM` and `ModernBertForMaskedLM`.

The names are those of `transformers` 5 (`modeling_bert.py`, `modeling_modernbert.py`). A tied output matrix has one
name, as its `save_pretrained` writes it.
"""

from __future__ import annotations

import re

from torch import Tensor

from tiedlm.config.model_config import ModelConfig
from tiedlm.model.masked_lm import MaskedLM

CLASSES = {"bert": "BertForMaskedLM", "modernbert": "ModernBertForMaskedLM"}
# The start of our name → the starts of theirs; where there are several, ours is theirs one below the other.
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "bert": {
        r"embeddings\.norm\.": ("bert.embeddings.LayerNorm.",),
        r"embeddings\.": ("bert.embeddings.",),
        r"encoder\.layers\.(\d+)\.attention\.query_key_value\.": (
            r"bert.encoder.layer.\1.attention.self.query.",
            r"bert.encoder.layer.\1.attention.self.key.",
            r"bert.encoder.layer.\1.attention.self.value.",
        ),
        r"encoder\.layers\.(\d+)\.attention\.output\.": (r"bert.encoder.layer.\1.attention.output.dense.",),
        r"encoder\.layers\.(\d+)\.attention_norm\.": (r"bert.encoder.layer.\1.attention.output.LayerNorm.",),
        r"encoder\.layers\.(\d+)\.intermediate\.": (r"bert.encoder.layer.\1.intermediate.dense.",),
        r"encoder\.layers\.(\d+)\.output\.": (r"bert.encoder.layer.\1.output.dense.",),
        r"encoder\.layers\.(\d+)\.output_norm\.": (r"bert.encoder.layer.\1.output.LayerNorm.",),
        r"head\.transform\.dense\.": ("cls.predictions.transform.dense.",),
        r"head\.transform\.norm\.": ("cls.predictions.transform.LayerNorm.",),
        r"head\.decoder\.": ("cls.predictions.decoder.",),
    },
    "modernbert": {
        r"embeddings\.word_embeddings\.": ("model.embeddings.tok_embeddings.",),
        r"embeddings\.norm\.": ("model.embeddings.norm.",),
        r"encoder\.layers\.(\d+)\.attention\.query_key_value\.": (r"model.layers.\1.attn.Wqkv.",),
        r"encoder\.layers\.(\d+)\.attention\.output\.": (r"model.layers.\1.attn.Wo.",),
        r"encoder\.layers\.(\d+)\.attention_norm\.": (r"model.layers.\1.attn_norm.",),
        r"encoder\.layers\.(\d+)\.mlp_norm\.": (r"model.layers.\1.mlp_norm.",),
        r"encoder\.layers\.(\d+)\.intermediate\.": (r"model.layers.\1.mlp.Wi.",),
        r"encoder\.layers\.(\d+)\.output\.": (r"model.layers.\1.mlp.Wo.",),
        r"encoder\.final_norm\.": ("model.final_norm.",),
        r"head\.transform\.dense\.": ("head.dense.",),
        r"head\.transform\.norm\.": ("head.norm.",),
        r"head\.decoder\.": ("decoder.",),
    },
}
# BERT's head has its bias twice. Tied, the second name is an alias of the first; untied, `transformers` 5 reads both.
TABLE_AND_HEAD = ("embeddings.word_embeddings.", "embeddings.projection.", "head.projection.", "head.decoder.")
BERT_BIAS, BERT_BIAS_AGAIN = "cls.predictions.bias", "cls.predictions.decoder.bias"


def their_names(config: ModelConfig, name: str) -> list[str]:
    """What they call one of our tensors, in the order in which ours is theirs one below the other."""
    for pattern, theirs in NAMES[config.encoder].items():
        found = re.match(pattern, name)
        if found:
            return [found.expand(start) + name[found.end() :] for start in theirs]
    raise KeyError(name)


def their_tensors(model: MaskedLM) -> dict[str, Tensor]:
    """Every tensor of a model by their names, in fp32 on the CPU; one that is shared has one name.

    Where tokens are scored by others' rows, the rows are put where their tokens are.
    """
    weight, bias = model.head.rows_by_token()
    ours: dict[str, Tensor] = {
        name: tensor for name, tensor in model.named_parameters() if not name.startswith(TABLE_AND_HEAD)
    }
    ours |= {"embeddings.word_embeddings.weight": model.embeddings.rows_by_token(), "head.decoder.bias": bias}
    if not model.scores_by_input_rows:
        ours["head.decoder.weight"] = weight
    tensors: dict[str, Tensor] = {}
    for name, parameter in ours.items():
        names = their_names(model.config, name)
        for their_name, part in zip(names, parameter.detach().float().cpu().chunk(len(names)), strict=True):
            tensors[their_name] = part.contiguous()
    if BERT_BIAS_AGAIN in tensors:
        tensors[BERT_BIAS] = tensors[BERT_BIAS_AGAIN].clone()
        if model.scores_by_input_rows:
            del tensors[BERT_BIAS_AGAIN]
    return tensors

"""The models that people ask about: their configurations, and who says whether they tie.

The keys are those of each model's `config.json`; a key that is left out has the default of `transformers`.
Each row's source says whether the model ties; sizes are those of the `config.json` on the Hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KnownModel:
    """One row."""

    hub_name: str
    """Where its `config.json` and its weights are: `owner/name` on the Hugging Face Hub."""
    source: str
    """Where it is said whether the input and the output matrix are one."""
    config: dict[str, Any]


BERT = "google-research/bert, run_pretraining.py, get_masked_lm_output"
ROBERTA = "facebookresearch/fairseq, models/roberta/model.py: tied unless --untie-weights-roberta"
XLM_R = "transformers, XLMRobertaForMaskedLM; its first checkpoint stored both (transformers issue 2582)"
CAMEMBERT = "transformers, CamembertForMaskedLM; trained by fairseq as RoBERTa is"
DISTILBERT = "transformers, DistilBertForMaskedLM: vocab_projector; arXiv 1910.01108"
DISTILROBERTA = "transformers, RobertaForMaskedLM; arXiv 1910.01108"
ALBERT = "google-research/albert, run_pretraining.py, get_masked_lm_output"
ELECTRA = "google-research/electra, pretrain/pretrain_model.py, _get_masked_lm_output"
DEBERTA = "transformers, DebertaV2ForMaskedLM; the released weights are a discriminator's, without this head"
MODERNBERT = "AnswerDotAI/ModernBERT, FlexBertForMaskedLM; arXiv 2412.13663"
GPT2 = "openai/gpt-2, src/model.py: logits = matmul(h, wte)"
T5_V1_0 = "google-research/t5x, t5_1_0/base.gin: logits_via_embedding = True"
T5_V1_1 = "google-research/t5x, t5_1_1/base.gin: logits_via_embedding = False; T5's released_checkpoints.md"
MT5 = "google-research/t5x, mt5/*.gin on t5_1_1: logits_via_embedding = False"
PYTHIA = "EleutherAI/pythia, models/*.yml: no-weight-tying: true"
OPT = "transformers, OPTForCausalLM"
HUB = "its config.json on the Hub: tie_word_embeddings"
LLAMA_2 = "meta-llama/llama issue 138"
LLAMA_3_1 = "transformers, LlamaConfig: untied unless stated; meta-llama/llama issue 138"
LLAMA_3_2 = "meta-llama/llama-models issue 172; its config.json on the Hub"
QWEN3 = "huggingface/trl PR 7130; its config.json on the Hub"
QWEN3_TWICE = "huggingface/trl PR 7130; pytorch/torchtune PR 2669: its files store the matrix twice"
GEMMA = "google-deepmind/gemma issue 8; transformers, GemmaConfig: tied unless stated"
OLMO = "allenai/OLMo, configs/official*/*.yaml: weight_tying"


def _bert(hub_name: str, num_layers: int, hidden_size: int, source: str = BERT, **more: Any) -> KnownModel:
    config = {
        "model_type": "bert",
        "vocab_size": 30_522,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden_size // 64,
        "intermediate_size": 4 * hidden_size,
        "tie_word_embeddings": True,
    }
    return KnownModel(hub_name, source, config | more)


def _roberta(hub_name: str, num_layers: int, hidden_size: int, source: str = ROBERTA, **more: Any) -> KnownModel:
    roberta = {"model_type": "roberta", "vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1}
    return _bert(hub_name, num_layers, hidden_size, source, **(roberta | more))


def _distilbert(hub_name: str, vocab_size: int) -> KnownModel:
    config = {"model_type": "distilbert", "vocab_size": vocab_size, "dim": 768, "n_layers": 6, "n_heads": 12}
    return KnownModel(hub_name, DISTILBERT, config | {"hidden_dim": 3_072, "tie_word_embeddings": True})


def _albert(name: str, hidden_size: int, num_layers: int, num_heads: int) -> KnownModel:
    config = {
        "model_type": "albert",
        "vocab_size": 30_000,
        "embedding_size": 128,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "intermediate_size": 4 * hidden_size,
        "tie_word_embeddings": True,
    }
    return KnownModel(f"albert/{name}", ALBERT, config)


def _electra(name: str, embedding_size: int, hidden_size: int, num_layers: int) -> KnownModel:
    config = {
        "model_type": "electra",
        "vocab_size": 30_522,
        "embedding_size": embedding_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden_size // 64,
        "intermediate_size": 4 * hidden_size,
        "tie_word_embeddings": True,
    }
    return KnownModel(f"google/{name}", ELECTRA, config)


def _deberta(name: str, num_layers: int, hidden_size: int, vocab_size: int = 128_100) -> KnownModel:
    config = {
        "model_type": "deberta-v2",
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden_size // 64,
        "intermediate_size": 4 * hidden_size,
        "type_vocab_size": 0,
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "tie_word_embeddings": True,
    }
    return KnownModel(f"microsoft/{name}", DEBERTA, config)


def _modernbert(name: str, hidden_size: int, num_layers: int, num_heads: int, intermediate_size: int) -> KnownModel:
    config = {
        "model_type": "modernbert",
        "vocab_size": 50_368,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "intermediate_size": intermediate_size,
        "tie_word_embeddings": True,
    }
    return KnownModel(f"answerdotai/{name}", MODERNBERT, config)


def _gpt2(name: str, num_layers: int, hidden_size: int, num_heads: int, owner: str = "openai-community") -> KnownModel:
    config = {"model_type": "gpt2", "vocab_size": 50_257, "n_embd": hidden_size, "n_layer": num_layers}
    config |= {"n_head": num_heads, "n_positions": 1_024, "tie_word_embeddings": True}
    return KnownModel(f"{owner}/{name}", GPT2, config)


def _t5(
    hub_name: str, source: str, d_model: int, d_ff: int, num_layers: int, num_heads: int, gated: bool, **more: Any
) -> KnownModel:
    config = {
        "model_type": "t5",
        "vocab_size": 32_128,
        "d_model": d_model,
        "d_ff": d_ff,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "d_kv": 64,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "tie_word_embeddings": not gated,
    }
    return KnownModel(hub_name, source, config | more)


def _decoder(
    hub_name: str,
    model_type: str,
    vocab_size: int,
    hidden_size: int,
    intermediate_size: int,
    num_layers: int,
    heads: tuple[int, int],
    tied: bool,
    source: str = HUB,
    **more: Any,
) -> KnownModel:
    """`heads`: of the queries, and of the keys and values."""
    config = {
        "model_type": model_type,
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "tie_word_embeddings": tied,
    }
    return KnownModel(hub_name, source, config | more)


def _pythia(name: str, vocab_size: int, hidden_size: int, num_layers: int, num_heads: int) -> KnownModel:
    config = {
        "model_type": "gpt_neox",
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "intermediate_size": 4 * hidden_size,
        "tie_word_embeddings": False,
    }
    return KnownModel(f"EleutherAI/{name}", PYTHIA, config)


def _opt(name: str, num_layers: int, hidden_size: int, width: int, norm_first: bool) -> KnownModel:
    config = {
        "model_type": "opt",
        "vocab_size": 50_272,
        "hidden_size": hidden_size,
        "word_embed_proj_dim": width,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden_size // 64,
        "ffn_dim": 4 * hidden_size,
        "do_layer_norm_before": norm_first,
        "tie_word_embeddings": True,
    }
    return KnownModel(f"facebook/{name}", OPT, config)


KNOWN_MODELS = {
    "bert-tiny-uncased": _bert("google/bert_uncased_L-2_H-128_A-2", 2, 128),
    "bert-mini-uncased": _bert("google/bert_uncased_L-4_H-256_A-4", 4, 256),
    "bert-small-uncased": _bert("google/bert_uncased_L-4_H-512_A-8", 4, 512),
    "bert-medium-uncased": _bert("google/bert_uncased_L-8_H-512_A-8", 8, 512),
    "bert-base-uncased": _bert("google-bert/bert-base-uncased", 12, 768),
    "bert-base-cased": _bert("google-bert/bert-base-cased", 12, 768, vocab_size=28_996),
    "bert-large-uncased": _bert("google-bert/bert-large-uncased", 24, 1_024),
    "bert-large-cased": _bert("google-bert/bert-large-cased", 24, 1_024, vocab_size=28_996),
    "bert-base-multilingual-cased": _bert("google-bert/bert-base-multilingual-cased", 12, 768, vocab_size=119_547),
    "roberta-base": _roberta("FacebookAI/roberta-base", 12, 768),
    "roberta-large": _roberta("FacebookAI/roberta-large", 24, 1_024),
    "distilroberta-base": _roberta("distilbert/distilroberta-base", 6, 768, DISTILROBERTA),
    "xlm-roberta-base": _roberta("FacebookAI/xlm-roberta-base", 12, 768, XLM_R, vocab_size=250_002),
    "xlm-roberta-large": _roberta("FacebookAI/xlm-roberta-large", 24, 1_024, XLM_R, vocab_size=250_002),
    "camembert-base": _roberta(
        "almanach/camembert-base", 12, 768, CAMEMBERT, model_type="camembert", vocab_size=32_005
    ),
    "distilbert-base-uncased": _distilbert("distilbert/distilbert-base-uncased", 30_522),
    "distilbert-base-cased": _distilbert("distilbert/distilbert-base-cased", 28_996),
    "albert-base-v2": _albert("albert-base-v2", 768, 12, 12),
    "albert-large-v2": _albert("albert-large-v2", 1_024, 24, 16),
    "albert-xlarge-v2": _albert("albert-xlarge-v2", 2_048, 24, 16),
    "albert-xxlarge-v2": _albert("albert-xxlarge-v2", 4_096, 12, 64),
    "electra-small-generator": _electra("electra-small-generator", 128, 256, 12),
    "electra-base-generator": _electra("electra-base-generator", 768, 256, 12),
    "electra-large-generator": _electra("electra-large-generator", 1_024, 256, 24),
    "deberta-v3-xsmall": _deberta("deberta-v3-xsmall", 12, 384),
    "deberta-v3-small": _deberta("deberta-v3-small", 6, 768),
    "deberta-v3-base": _deberta("deberta-v3-base", 12, 768),
    "deberta-v3-large": _deberta("deberta-v3-large", 24, 1_024),
    "mdeberta-v3-base": _deberta("mdeberta-v3-base", 12, 768, 251_000),
    "modernbert-base": _modernbert("ModernBERT-base", 768, 22, 12, 1_152),
    "modernbert-large": _modernbert("ModernBERT-large", 1_024, 28, 16, 2_624),
    "distilgpt2": _gpt2("distilgpt2", 6, 768, 12, "distilbert"),
    "gpt2": _gpt2("gpt2", 12, 768, 12),
    "gpt2-medium": _gpt2("gpt2-medium", 24, 1_024, 16),
    "gpt2-large": _gpt2("gpt2-large", 36, 1_280, 20),
    "gpt2-xl": _gpt2("gpt2-xl", 48, 1_600, 25),
    "t5-small": _t5("google-t5/t5-small", T5_V1_0, 512, 2_048, 6, 8, gated=False),
    "t5-base": _t5("google-t5/t5-base", T5_V1_0, 768, 3_072, 12, 12, gated=False),
    "t5-large": _t5("google-t5/t5-large", T5_V1_0, 1_024, 4_096, 24, 16, gated=False),
    "t5-v1.1-small": _t5("google/t5-v1_1-small", T5_V1_1, 512, 1_024, 8, 6, gated=True),
    "t5-v1.1-base": _t5("google/t5-v1_1-base", T5_V1_1, 768, 2_048, 12, 12, gated=True),
    "t5-v1.1-large": _t5("google/t5-v1_1-large", T5_V1_1, 1_024, 2_816, 24, 16, gated=True),
    "flan-t5-small": _t5("google/flan-t5-small", T5_V1_1, 512, 1_024, 8, 6, gated=True),
    "flan-t5-base": _t5("google/flan-t5-base", T5_V1_1, 768, 2_048, 12, 12, gated=True),
    "mt5-small": _t5("google/mt5-small", MT5, 512, 1_024, 8, 6, gated=True, model_type="mt5", vocab_size=250_112),
    "mt5-base": _t5("google/mt5-base", MT5, 768, 2_048, 12, 12, gated=True, model_type="mt5", vocab_size=250_112),
    "opt-125m": _opt("opt-125m", 12, 768, 768, norm_first=True),
    "opt-350m": _opt("opt-350m", 24, 1_024, 512, norm_first=False),
    "opt-1.3b": _opt("opt-1.3b", 24, 2_048, 2_048, norm_first=True),
    "pythia-14m": _pythia("pythia-14m", 50_304, 128, 6, 4),
    "pythia-70m": _pythia("pythia-70m", 50_304, 512, 6, 8),
    "pythia-160m": _pythia("pythia-160m", 50_304, 768, 12, 12),
    "pythia-410m": _pythia("pythia-410m", 50_304, 1_024, 24, 16),
    "pythia-1b": _pythia("pythia-1b", 50_304, 2_048, 16, 8),
    "pythia-1.4b": _pythia("pythia-1.4b", 50_304, 2_048, 24, 16),
    "llama-2-7b": _decoder("meta-llama/Llama-2-7b-hf", "llama", 32_000, 4_096, 11_008, 32, (32, 32), False, LLAMA_2),
    "llama-3.1-8b": _decoder("meta-llama/Llama-3.1-8B", "llama", 128_256, 4_096, 14_336, 32, (32, 8), False, LLAMA_3_1),
    "llama-3.2-1b": _decoder(
        "meta-llama/Llama-3.2-1B", "llama", 128_256, 2_048, 8_192, 16, (32, 8), True, LLAMA_3_2, head_dim=64
    ),
    "llama-3.2-3b": _decoder(
        "meta-llama/Llama-3.2-3B", "llama", 128_256, 3_072, 8_192, 28, (24, 8), True, LLAMA_3_2, head_dim=128
    ),
    "tinyllama-1.1b": _decoder("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "llama", 32_000, 2_048, 5_632, 22, (32, 4), False),
    "smollm2-135m": _decoder("HuggingFaceTB/SmolLM2-135M", "llama", 49_152, 576, 1_536, 30, (9, 3), True),
    "smollm2-360m": _decoder("HuggingFaceTB/SmolLM2-360M", "llama", 49_152, 960, 2_560, 32, (15, 5), True),
    "smollm2-1.7b": _decoder("HuggingFaceTB/SmolLM2-1.7B", "llama", 49_152, 2_048, 8_192, 24, (32, 32), True),
    "mistral-7b-v0.1": _decoder("mistralai/Mistral-7B-v0.1", "mistral", 32_000, 4_096, 14_336, 32, (32, 8), False),
    "qwen2.5-0.5b": _decoder("Qwen/Qwen2.5-0.5B", "qwen2", 151_936, 896, 4_864, 24, (14, 2), True),
    "qwen2.5-1.5b": _decoder("Qwen/Qwen2.5-1.5B", "qwen2", 151_936, 1_536, 8_960, 28, (12, 2), True),
    "qwen2.5-3b": _decoder("Qwen/Qwen2.5-3B", "qwen2", 151_936, 2_048, 11_008, 36, (16, 2), True),
    "qwen2.5-7b": _decoder("Qwen/Qwen2.5-7B", "qwen2", 152_064, 3_584, 18_944, 28, (28, 4), False),
    "qwen3-0.6b": _decoder(
        "Qwen/Qwen3-0.6B", "qwen3", 151_936, 1_024, 3_072, 28, (16, 8), True, QWEN3_TWICE, head_dim=128
    ),
    "qwen3-1.7b": _decoder(
        "Qwen/Qwen3-1.7B", "qwen3", 151_936, 2_048, 6_144, 28, (16, 8), True, QWEN3_TWICE, head_dim=128
    ),
    "qwen3-4b": _decoder("Qwen/Qwen3-4B", "qwen3", 151_936, 2_560, 9_728, 36, (32, 8), True, QWEN3, head_dim=128),
    "qwen3-8b": _decoder("Qwen/Qwen3-8B", "qwen3", 151_936, 4_096, 12_288, 36, (32, 8), False, QWEN3, head_dim=128),
    "gemma-2b": _decoder("google/gemma-2b", "gemma", 256_000, 2_048, 16_384, 18, (8, 1), True, GEMMA, head_dim=256),
    "gemma-7b": _decoder("google/gemma-7b", "gemma", 256_000, 3_072, 24_576, 28, (16, 16), True, GEMMA, head_dim=256),
    "gemma-2-2b": _decoder("google/gemma-2-2b", "gemma2", 256_000, 2_304, 9_216, 26, (8, 4), True, GEMMA, head_dim=256),
    "gemma-2-9b": _decoder(
        "google/gemma-2-9b", "gemma2", 256_000, 3_584, 14_336, 42, (16, 8), True, GEMMA, head_dim=256
    ),
    "gemma-3-270m": _decoder(
        "google/gemma-3-270m", "gemma3_text", 262_144, 640, 2_048, 18, (4, 1), True, GEMMA, head_dim=256
    ),
    "gemma-3-1b": _decoder(
        "google/gemma-3-1b-pt", "gemma3_text", 262_144, 1_152, 6_912, 26, (4, 1), True, GEMMA, head_dim=256
    ),
    "olmo-1b": _decoder("allenai/OLMo-1B-hf", "olmo", 50_304, 2_048, 8_192, 16, (16, 16), True, OLMO),
    "olmo-7b": _decoder("allenai/OLMo-7B-hf", "olmo", 50_304, 4_096, 11_008, 32, (32, 32), False, OLMO),
    "olmo-2-1b": _decoder("allenai/OLMo-2-0425-1B", "olmo2", 100_352, 2_048, 8_192, 16, (16, 16), False, OLMO),
}

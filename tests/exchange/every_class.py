"""Every masked-LM class of `transformers`, small, with random weights: scored as a plain loop scores it, or refused.

    python -m tests.exchange.every_class

says of each how far the two are from each other, in nats a token, both computed in float64.
"""

from __future__ import annotations

import argparse
import functools
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import BertProcessing

from tests.exchange.plain_loop import plain_score
from tests.exchange.test_evaluate import WORDS
from tests.exchange.test_export import wordpiece
from tiedlm.api.foreign_work import evaluate_foreign
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.errors import InputError
from tiedlm.exchange import foreign_loading, foreign_model
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.processes.guarded_process import NoGuard

transformers = pytest.importorskip("transformers")

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "dim", "emb_dim", "embedding_size"), 32),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layers", "n_layer", "encoder_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_key_value_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim"), 48),
    **{"vocab_size": 30, "n_words": 30, "max_position_embeddings": 64, "head_dim": 16, "pad_index": 11},
    **{"pad_token_id": 11, "bos_token_id": 1, "eos_token_id": 6, "cls_token_id": 1, "sep_token_id": 6},
}
LEFT_OUT = (
    (),
    ("head_dim",),
    ("num_key_value_heads",),
    ("head_dim", "num_key_value_heads"),
    ("max_position_embeddings",),
)
"""What some families derive themselves."""
OTHERS: dict[str, dict[str, Any]] = {
    "big_bird": {"attention_type": "original_full"},
    "convbert": {"head_ratio": 1, "conv_kernel_size": 3},
    "funnel": {"block_sizes": [1, 1], "d_head": 16, "d_inner": 48, "num_decoder_layers": 1, "hidden_act": None},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 5, "entity_emb_size": 8},
    "mobilebert": {"intra_bottleneck_size": 16, "true_hidden_size": 16, "num_feedforward_networks": 2},
    "nystromformer": {"segment_means_seq_len": 8, "num_landmarks": 8, "conv_kernel_size": 3},
    "perceiver": {
        **{"num_latents": 4, "d_latents": 8, "d_model": 8, "num_blocks": 1, "num_self_attends_per_block": 1},
        **{"num_self_attention_heads": 2, "num_cross_attention_heads": 2},
    },
    "reformer": {
        **{"attention_head_size": 16, "axial_pos_embds": False, "is_decoder": False, "attn_layers": ["local", "lsh"]},
        **{"num_buckets": 2, "num_hashes": 1, "lsh_attn_chunk_length": 8, "local_attn_chunk_length": 8, "hash_seed": 0},
        **{"feed_forward_size": 48, "lsh_num_chunks_after": 0, "lsh_num_chunks_before": 1},
    },
    "roc_bert": {"enable_pronunciation": False, "enable_shape": False},
    "squeezebert": {
        **dict.fromkeys(("q_groups", "k_groups", "v_groups", "intermediate_groups", "output_groups"), 2),
        "post_attention_groups": 1,
    },
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": {"use_expectation": True},
}
FP32_ALONE = ("mra",)
"""Classes that compute in no other precision."""


def families() -> list[str]:
    """By the library's own table."""
    return list(transformers.models.auto.modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)


def build(family: str) -> Any:
    """A model of the family, as small as it goes."""
    usual = transformers.CONFIG_MAPPING[family]()
    keys = {key: size for key, size in SMALL.items() if key in (*vars(usual), *usual.attribute_map)}
    keys |= OTHERS.get(family, {})
    keys = {key: value for key, value in keys.items() if value is not None}
    if family == "funnel":
        keys.pop("num_hidden_layers", None)  # the sum of its blocks
    if family == "ultravbert":
        inner = vars(transformers.CONFIG_MAPPING["ultrabert"]())
        vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
        keys["text_config"] = {key: size for key, size in SMALL.items() if key in inner}
        keys["text_config"]["layer_types"] = ["full_attention"] * 2
        keys["vision_config"] = {**vision, "image_size": 32, "patch_size": 16}
    if vars(usual).get("layer_types") is not None:
        keys["layer_types"] = ["full_attention"] * 2
    for left_out in LEFT_OUT:
        try:
            config = type(usual)(**{key: value for key, value in keys.items() if key not in left_out})
            torch.manual_seed(0)
            model = transformers.AutoModelForMaskedLM.from_config(config)
            break
        except Exception as error:
            failed = error
    else:
        raise failed
    for parameter in model.parameters():
        parameter.data.normal_(std=0.2)
    return model.eval()


def save(family: str, folder: Path) -> Any:
    """Save a model of the family with a tokenizer; return the tokenizer."""
    backend = wordpiece()
    backend.post_processor = BertProcessing(("[SEP]", 6), ("[CLS]", 1))
    names = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": name for role, name in names.items()}
    )
    build(family).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def difference(family: str, folder: Path, text: Path) -> float:
    """How far `evaluate` is from a plain loop, in nats a token; the last block is a short one.

    Raises:
        InputError: the model is refused.
    """
    tokenizer = save(family, folder)
    as_double = family not in FP32_ALONE
    original = foreign_loading.load_foreign

    @functools.wraps(original)
    def doubled(*given: Any) -> tuple[Any, Any]:
        model, tokenizer = original(*given)
        return (model.double() if as_double else model), tokenizer

    foreign_model.load_foreign = doubled
    try:
        asked = Asked(("valid",), None, 16, "cpu", "fp32")
        scored = evaluate_foreign(open_foreign(str(folder)), load_corpus(str(text)), asked, NoGuard())
        (split,) = scored.evaluation.splits
    finally:
        foreign_model.load_foreign = original
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    lines = (text / "valid.txt").read_text().splitlines()
    plain = plain_score(model.double() if as_double else model, tokenizer, lines, 16 - 2, [1], [6])
    assert split.num_tokens == len(plain.ids)
    return abs(split.masked_lm_loss_nats - plain.loss_nats)


def write_text(folder: Path) -> Path:
    """Words that the tokenizer knows, cuts in two, or does not know."""
    generator = random.Random(0)
    folder.mkdir()
    for split, num_lines in (("train", 40), ("valid", 13), ("test", 9)):
        lines = [" ".join(generator.choices(WORDS, k=generator.randint(1, 9))) for _ in range(num_lines)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def main() -> None:
    """See the module's head."""
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*", default=families())
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        text = write_text(Path(temporary, "text"))
        for family in parser.parse_args().families:
            try:
                told = f"{difference(family, Path(temporary, family), text):.1e}"
            except InputError as refusal:
                told = str(refusal)
            print(f"{family:24} {told}", flush=True)


if __name__ == "__main__":
    main()

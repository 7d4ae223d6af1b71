"""Models in: a masked LM of `transformers`, scored as ours are, against the same in a few plain lines."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import torch
from tokenizers.processors import BertProcessing

from tests.cli.test_bad_input import run_tiedlm
from tests.exchange.plain_loop import plain_score
from tests.exchange.test_export import wordpiece
from tiedlm import InputError, count_params, evaluate

transformers = pytest.importorskip("transformers")
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
WORDS = ("the", "dog", "likes", "a", "bone", "today", "to", "cat")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A corpus with words that the tokenizer knows, cuts in two, and does not know."""
    folder, generator = tmp_path / "text", random.Random(0)
    folder.mkdir()
    for split, num_lines in (("train", 60), ("valid", 20), ("test", 9)):
        lines = [" ".join(generator.choices(WORDS, k=generator.randint(0, 9))) for _ in range(num_lines)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def saved_model(
    kind: str, folder: Path, tie: bool, **keys: object
) -> tuple[torch.nn.Module, transformers.PreTrainedTokenizerFast]:
    """A model with random weights and more rows than its tokenizer has tokens, as many on the Hub have."""
    names = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
    backend = wordpiece()
    ids = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = BertProcessing(*ids[::-1])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": name for role, name in names.items()}
    )
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=20,
        max_position_embeddings=40,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=tie,
        **SIZES,
        **keys,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForMaskedLM")(config).eval()
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_a_model_of_transformers_has_the_score_of_a_plain_loop(
    kind: str, tie: bool, text: Path, tmp_path: Path
) -> None:
    model, tokenizer = saved_model(kind, tmp_path / "model", tie)
    found = evaluate(tmp_path / "model", str(text), ["valid"], seq_length=12)
    (split,) = found.splits
    valid = (text / "valid.txt").read_text().splitlines()
    plain = plain_score(model, tokenizer, valid, 12 - 2, [tokenizer.cls_token_id], [tokenizer.sep_token_id])
    assert len(plain.ids) == split.num_tokens
    assert split.masked_lm_loss_nats == pytest.approx(plain.loss_nats, abs=1e-5)
    assert split.masked_lm_accuracy == pytest.approx(plain.num_correct / len(plain.ids))
    num_bytes = sum(len(line.encode()) for line in valid)
    num_bits = plain.loss_nats * len(plain.ids) / math.log(2)
    assert split.bits_per_byte == pytest.approx(num_bits / num_bytes, rel=1e-5)
    assert split.num_unk == plain.ids.count(tokenizer.unk_token_id)
    assert found.is_tied is tie
    assert found.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.num_parameters == count_params(str(tmp_path / "model")).count.total


@pytest.mark.parametrize(
    ("kind", "num_skipped", "keys"),
    [
        ("Bert", 0, {}),
        ("MPNet", 2, {}),
        ("Data2VecText", 12, {}),
        ("RobertaPreLayerNorm", 12, {}),
        ("Longformer", 12, {"attention_window": 4}),
        ("IBert", 12, {}),
        ("Luke", 12, {"entity_vocab_size": 5, "entity_emb_size": 8}),
        ("Xmod", 12, {"default_language": "en_XX"}),
    ],
)
def test_the_longest_block_is_as_long_as_the_model_reads(
    kind: str, num_skipped: int, keys: dict[str, object], text: Path, tmp_path: Path
) -> None:
    """Positions of most of these begin after the row of the padding, of which MPNet has an idea of its own."""
    saved_model(kind, tmp_path / "model", tie=True, **keys)
    found = evaluate(tmp_path / "model", str(text), ["valid"])
    assert found.seq_length == 40 - num_skipped - 2  # [CLS] and [SEP]
    assert found.splits[0].masked_lm_loss_nats > 0.0


@pytest.mark.usefixtures("text")
def test_the_command_scores_a_part_and_says_of_what(tmp_path: Path) -> None:
    saved_model("Bert", tmp_path / "model", tie=True)
    answer = run_tiedlm(tmp_path, "evaluate model --corpus text --max-tokens 30 --seq-length 12 --split valid")
    assert answer.returncode == 0, answer.stderr
    assert "BertForMaskedLM" in answer.stdout
    assert "tied as measured on its tensors" in answer.stdout
    document = json.loads(
        run_tiedlm(tmp_path, "evaluate model --corpus text --max-tokens 30 --seq-length 12 --json").stdout
    )
    assert all(12 < split["num_tokens"] <= 30 for split in document["splits"])
    assert all(0 < split["share"] < 1 for split in document["splits"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "does not say on what it was trained; give --corpus"),
        ("--corpus text --split train", "--split train: is not of valid and test"),
        ("--corpus text --max-tokens 0", "--max-tokens 0: is no number of tokens"),
        ("--corpus text --seq-length 41", "blocks of 41 tokens: model reads 40 at most"),
        ("--corpus text --seq-length 3", "--seq-length 3: is below 8 tokens"),
        ("--corpus short", "its valid split has 1 tokens, fewer than one block of 38"),
        ("--corpus nowhere", "nowhere"),
    ],
)
@pytest.mark.usefixtures("text")
def test_what_cannot_be_scored_is_refused(options: str, sentence: str, tmp_path: Path) -> None:
    saved_model("Bert", tmp_path / "model", tie=True)
    (tmp_path / "short").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / f"short/{split}.txt").write_text("dog\n")
    arguments = options.split()
    named = dict(zip(arguments[::2], arguments[1::2], strict=True))
    corpus = named.get("--corpus")
    with pytest.raises(InputError) as refused:
        evaluate(
            tmp_path / "model",
            corpus and str(tmp_path / corpus),
            named.get("--split", "valid,test").split(","),
            max_tokens=int(named["--max-tokens"]) if "--max-tokens" in named else None,
            seq_length=int(named["--seq-length"]) if "--seq-length" in named else None,
        )
    assert sentence in str(refused.value).replace(f"{tmp_path}/", "")


def test_a_model_that_masks_nothing_is_refused(text: Path, tmp_path: Path) -> None:
    saved_model("Bert", tmp_path / "model", tie=True)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = tmp_path / "model" / name
        if path.exists():
            document = json.loads(path.read_text())
            document.pop("mask_token", None)
            path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="its tokenizer has no mask token"):
        evaluate(tmp_path / "model", str(text))
    with pytest.raises(InputError, match=r"has no config\.json"):
        evaluate(text, str(text))

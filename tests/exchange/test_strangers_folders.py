"""What the commands say of folders with a fault: one sentence, exit status 2, nothing on stdout, no traceback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.test_bad_input import run_tiedlm
from tests.exchange.foreign_fuzz import make_bases, try_one
from tests.exchange.test_evaluate import saved_model
from tests.exchange.test_evaluate import text as text
from tests.exchange.test_foreign_loading import change_json, change_tokenizer, change_weights, remove, write

pytest.importorskip("transformers")

NORM = "bert.embeddings.LayerNorm.bias"
LAST_NORM = "cls.predictions.transform.LayerNorm.weight"
EVALUATE = "evaluate model --corpus text --split valid --seq-length 12 --json"
EXPLAIN = 'explain model "the dog likes a [MASK]" --json'
PHASES = ("loading the model", "reading train", "evaluating valid")
Damage = Callable[[Path], object]


def weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    return lambda folder: change_weights(folder, change)


def configuration(**keys: Any) -> Damage:
    return lambda folder: change_json(folder / "config.json", **keys)


def tokenizer(**parts: Any) -> Damage:
    return lambda folder: change_tokenizer(folder, lambda document: document.update(parts))


def far(folder: Path) -> None:
    change_tokenizer(folder, lambda document: document["model"]["vocab"].update(zz=10**9))


def sparse(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 40 << 30)


def pipe(folder: Path) -> None:
    (folder / "vocab.txt").unlink(missing_ok=True)
    os.mkfifo(folder / "vocab.txt")


def absolute(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    document = {"weight_map": {NORM: str(folder.resolve() / "other.safetensors")}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


def nested(folder: Path) -> None:
    path, depth = folder / "tokenizer.json", 100_000
    inner = '{"type":"Sequence","normalizers":[' * depth + "]}" * depth
    document = json.loads(path.read_text()) | {"normalizer": "HERE"}
    path.write_text(json.dumps(document).replace('"HERE"', inner))


GROWS = {"type": "Replace", "pattern": {"Regex": "."}, "content": "abcdefgh" * 4}
ROWS: dict[str, tuple[str, Damage, str]] = {
    "a norm is missing": (
        EXPLAIN,
        weights(lambda all_: {k: v for k, v in all_.items() if k != NORM}),
        "would be random",
    ),
    "8-bit floats": (
        EVALUATE,
        weights(lambda all_: all_ | {NORM: all_[NORM].to(torch.float8_e4m3fn)}),
        f"{NORM} is stored as F8_E4M3",
    ),
    "minus infinity": (EXPLAIN, weights(lambda all_: all_ | {NORM: all_[NORM] - torch.inf}), "not finite"),
    "huge": (
        EVALUATE,
        weights(lambda all_: all_ | {LAST_NORM: all_[LAST_NORM] * 1e30}),
        "nats a token, of which no perplexity can be told",
    ),
    "a mask of 10,000 letters": (
        EXPLAIN,
        lambda folder: change_json(folder / "tokenizer_config.json", mask_token="a" * 10_000),
        f"its mask token {'a' * 60} is not in its tokenizer.json",
    ),
    "sparse weights": (EVALUATE, sparse, "its tensors end at byte"),
    "half a header": (
        EXPLAIN,
        lambda folder: os.truncate(folder / "model.safetensors", 40),
        "no sound .safetensors file",
    ),
    "an absolute path": (EVALUATE, absolute, "which is no .safetensors file beside it"),
    "a pickle alone": (
        EVALUATE,
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        "has no model.safetensors and no model.safetensors.index.json",
    ),
    "a pipe": (EVALUATE, pipe, "is no regular file"),
    "300,000,000 words": (EXPLAIN, configuration(vocab_size=300_000_000), "vocab_size=300,000,000, but no tensor"),
    "5,000 layers": (EVALUATE, configuration(num_hidden_layers=5_000), "too many to build"),
    "1,500 layers": (EVALUATE, configuration(num_hidden_layers=1_500), "its weights hold"),
    "a flag in words": (EVALUATE, configuration(use_cache="no"), "use_cache='no' is not true or false"),
    "a list for a number": (EXPLAIN, configuration(layer_norm_eps=["x"]), "layer_norm_eps=['x'] is not a number"),
    "a negative chunk": (
        EVALUATE,
        configuration(chunk_size_feed_forward=7),
        "has to be a multiple of the chunk size 7",
    ),
    "an unknown activation": (EVALUATE, configuration(hidden_act="gelo"), "gelo"),
    "a catastrophic normalizer": (
        EVALUATE,
        tokenizer(normalizer={"type": "Replace", "pattern": {"Regex": "(([a-z])+.)+[A-Z]"}, "content": "b"}),
        "its tokenizer cannot read the text",
    ),
    "an invalid regex": (
        EXPLAIN,
        tokenizer(normalizer={"type": "Replace", "pattern": {"Regex": "a)"}, "content": "b"}),
        "its tokenizer cannot be used",
    ),
    "text that grows": (
        EVALUATE,
        tokenizer(normalizer={"type": "Sequence", "normalizers": [GROWS] * 6}),
        "takes more than 1.1 GB of memory",
    ),
    "normalizers in normalizers": (EVALUATE, nested, "tokenizer"),
    "merges of no tokens": (
        EVALUATE,
        tokenizer(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}),
        "its tokenizer cannot be used",
    ),
    "scores that are none": (
        EVALUATE,
        tokenizer(model={"type": "Unigram", "unk_id": 0, "vocab": [["a", float("inf")]]}),
        "its tokenizer cannot be used",
    ),
    "an empty file": (EXPLAIN, write("tokenizer.json", b""), "its tokenizer cannot be used"),
    "a class as a list": (
        EVALUATE,
        lambda folder: change_json(folder / "tokenizer_config.json", tokenizer_class=["BertTokenizer"]),
        "its tokenizer cannot be used",
    ),
    "a length in words": (
        EXPLAIN,
        lambda folder: change_json(folder / "tokenizer_config.json", model_max_length="long", padding_side=3),
        "its tokenizer cannot be used",
    ),
    "an id of 10^9": (EVALUATE, far, "gives the id 1,000,000,000"),
    "a frame beyond the table": (
        EVALUATE,
        tokenizer(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 9_999], "cls": ["[CLS]", 1]}),
        "gives the id 9,999, but its embeddings have 20 rows",
    ),
    "a mask that is a number": (
        EXPLAIN,
        lambda folder: change_json(folder / "tokenizer_config.json", mask_token=7),
        "its tokenizer cannot be used",
    ),
    "a mask with escape codes": (
        EVALUATE,
        lambda folder: change_json(folder / "tokenizer_config.json", mask_token="\x1b[31mred"),
        "its mask token \\x1b[31mred is not in its tokenizer.json",
    ),
    "no tokenizer": (EXPLAIN, remove("tokenizer.json", "tokenizer_config.json"), "has no tokenizer"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that loads."""
    folder = tmp_path_factory.mktemp("sound")
    saved_model("Bert", folder, tie=True)
    return folder


@pytest.mark.parametrize("row", ROWS)
def test_a_folder_with_a_fault_is_told_in_one_sentence(row: str, sound: Path, text: Path, tmp_path: Path) -> None:
    command, damage, sentence = ROWS[row]
    (text / "valid.txt").write_text((text / "valid.txt").read_text() + "a" * 300 + "\n")
    damage(Path(shutil.copytree(sound, tmp_path / "model")))
    answer = run_tiedlm(tmp_path, command)
    assert (answer.returncode, answer.stdout) == (2, ""), answer.stderr
    said = [line for line in answer.stderr.splitlines() if line not in PHASES]
    assert len(said) == 1
    assert said[0].startswith("tiedlm: ")
    assert said[0].isprintable()
    assert sentence in said[0]


@pytest.mark.usefixtures("text")
def test_a_model_in_the_hubs_cache_is_held_to_the_same(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are links out of the folder there, which is how the Hub's client keeps them."""
    kept, snapshot = tmp_path / "hub/models--some--bert", tmp_path / "hub/models--some--bert/snapshots/abc"
    snapshot.mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text("abc")
    shutil.copytree(sound, kept / "blobs")
    for path in (kept / "blobs").iterdir():
        (snapshot / path.name).symlink_to(path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    command = EVALUATE.replace("model", "{}")
    found, here = run_tiedlm(tmp_path, command.format("hub:some/bert")), run_tiedlm(tmp_path, command.format(sound))
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["splits"] == json.loads(here.stdout)["splits"]
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}')
    refused = run_tiedlm(tmp_path, command.format("some/bert"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "names 'pytorch_model.bin', which is no .safetensors file beside it" in refused.stderr


def test_mutated_folders_are_scored_rightly_or_refused(tmp_path: Path) -> None:
    """A slice of `foreign_fuzz`, another than the last ones tried."""
    bases = make_bases(tmp_path)
    outcomes = [try_one(number, bases, tmp_path / "place") for number in range(1_000_000, 1_000_012)]
    assert [outcome for outcome in outcomes if outcome.ended not in ("scored", "refused")] == []
    assert sum(outcome.ended == "scored" for outcome in outcomes) >= 1

"""A stranger's model is loaded whole or refused in a sentence: missing, wrong and damaged parts, one at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.test_bad_input import run_tiedlm
from tests.exchange.test_evaluate import SIZES, saved_model
from tests.exchange.test_evaluate import text as text
from tiedlm import InputError, evaluate
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.exchange.foreign_loading import is_tied, load_foreign, word_embeddings
from tiedlm.processes.guarded_process import NoGuard

transformers = pytest.importorskip("transformers")

Tensors = dict[str, torch.Tensor]
LAYER = "bert.encoder.layer.1.intermediate.dense.weight"
TABLE = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"
FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
"""Of an added token."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that loads."""
    folder = tmp_path_factory.mktemp("sound")
    saved_model("Bert", folder, tie=True)
    return folder


@pytest.fixture
def model(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(sound, tmp_path / "model"))


def load(folder: Path) -> tuple[Any, Any]:
    return load_foreign(open_foreign(str(folder)), NoGuard())


def change_weights(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})


def change_json(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def change_tokenizer(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def with_nan(tensors: Tensors) -> Tensors:
    tensors[LAYER][1, 2] = float("nan")
    return tensors


WRONG_WEIGHTS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "a tensor is missing": (
        lambda all_: {name: tensor for name, tensor in all_.items() if name != LAYER},
        rf"1 of \d+ tensors of BertForMaskedLM are not in its weights, e\.g\. {LAYER}, and would be random",
    ),
    "the encoder alone": (
        lambda all_: {name: tensor for name, tensor in all_.items() if name.startswith("bert.")},
        r"\d of \d+ tensors of BertForMaskedLM are not in its weights, e\.g\. cls\.predictions",
    ),
    "no tensors": (lambda _: {}, "holds no tensors; give the weights of a masked LM"),
    "another model's names": (
        lambda all_: {name.replace("bert.", "electra."): tensor for name, tensor in all_.items()},
        "tensors of BertForMaskedLM are not in its weights",
    ),
    "a compiled model's prefix": (
        lambda all_: {f"_orig_mod.{name}": tensor for name, tensor in all_.items()},
        "tensors of BertForMaskedLM are not in its weights",
    ),
    "another shape": (
        lambda all_: all_ | {LAYER: torch.ones(3, 16)},
        rf"1 of its tensors are not as BertForMaskedLM and its config\.json have them, e\.g\. {LAYER}; give",
    ),
    "whole numbers": (lambda all_: all_ | {LAYER: all_[LAYER].to(torch.int16)}, f"{LAYER} is stored as I16"),
    "truth values": (lambda all_: all_ | {TABLE: all_[TABLE] > 0}, f"{TABLE} is stored as BOOL"),
    "not a number": (with_nan, f"{LAYER} has numbers that are not finite"),
    "infinite": (lambda all_: all_ | {TABLE: all_[TABLE] / 0}, f"{TABLE} has numbers that are not finite"),
    "a layer more": (
        lambda all_: all_ | {LAYER.replace("layer.1", "layer.2"): all_[LAYER] + 1},
        r"1 of its tensors have no place in BertForMaskedLM as its config\.json describes it, e\.g\. .*layer\.2\.inter",
    ),
    "a bias more": (lambda all_: all_ | {TABLE.replace("weight", "bias"): torch.ones(16)}, "and would be left out"),
    "another output matrix": (
        lambda all_: all_ | {DECODER: all_[TABLE] + 1},
        f"is tied by its configuration, but {TABLE} and {DECODER} differ",
    ),
}


@pytest.mark.parametrize("fault", WRONG_WEIGHTS)
def test_weights_that_do_not_fill_the_model_are_refused(fault: str, model: Path) -> None:
    change, sentence = WRONG_WEIGHTS[fault]
    change_weights(model, change)
    with pytest.raises(InputError, match=sentence):
        load(model)


def test_an_equal_output_matrix_and_tensors_of_other_heads_are_taken(sound: Path, model: Path) -> None:
    change_weights(model, lambda all_: all_ | {DECODER: all_[TABLE].clone(), "bert.pooler.dense.bias": torch.ones(16)})
    one, other = (load(folder)[0] for folder in (sound, model))
    ids = torch.arange(12).view(1, -1)
    assert torch.equal(one(input_ids=ids).logits, other(input_ids=ids).logits)


def test_of_a_perceiver_and_a_luke_the_word_embeddings_are_found(sound: Path, tmp_path: Path) -> None:
    """The one names its latents as input embeddings, the other ties its entities alone, whatever its flag says."""
    sizes = {"num_latents": 4, "d_latents": 8, "d_model": 8, "num_self_attention_heads": 2, "num_blocks": 1}
    perceiver = transformers.PerceiverConfig(
        vocab_size=30, max_position_embeddings=20, num_cross_attention_heads=2, num_self_attends_per_block=1, **sizes
    )
    luke = transformers.LukeConfig(vocab_size=30, entity_vocab_size=5, entity_emb_size=8, **SIZES)
    for config, ties in ((perceiver, True), (luke, False)):
        folder = tmp_path / config.model_type
        shutil.copytree(sound, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
        transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
        loaded, _ = load(folder)
        assert word_embeddings(loaded).num_embeddings == 30
        assert is_tied(loaded) is ties


def test_a_tokenizer_with_dropout_reads_a_text_alike_each_time(model: Path) -> None:
    tokens = [*"[MASK] [PAD] [UNK] [CLS] [SEP]".split(), *"dog", "do", "dog"]
    pieces = {token: place for place, token in enumerate(tokens)}
    bpe = {"type": "BPE", "dropout": 0.5, "unk_token": "[UNK]", "vocab": pieces, "merges": [["d", "o"], ["do", "g"]]}
    added = [{"id": pieces[name], "content": name, "special": True} | FLAGS for name in ("[MASK]", "[PAD]", "[UNK]")]
    change_tokenizer(
        model, lambda document: document.update(model=bpe, added_tokens=added, normalizer=None, post_processor=None)
    )
    _, tokenizer = load(model)
    assert tokenizer(["dog"] * 50, add_special_tokens=False)["input_ids"] == [[pieces["dog"]]] * 50


def index(folder: Path, file_name: str) -> None:
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    document = {"metadata": {}, "weight_map": dict.fromkeys(names, file_name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def remove(*names: str) -> Callable[[Path], None]:
    def remove_them(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return remove_them


def give_id(folder: Path) -> None:
    def add(document: dict[str, Any]) -> None:
        document["added_tokens"].append({"id": 300, "content": "<far>", "special": False, **FLAGS})
        document["model"]["vocab"]["<far>"] = 300

    change_tokenizer(folder, add)


def panic(folder: Path) -> None:
    change_tokenizer(folder, lambda document: document.update(normalizer={"type": "Precompiled"}))


def configure(**keys: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "config.json", **keys)


WRONG_FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut off": (cut, "no sound .safetensors file"),
    "weights empty": (write("model.safetensors", b""), "no sound .safetensors file"),
    "a pointer of Git LFS": (
        write("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        r"no sound .safetensors file \(it is a Git-LFS pointer, for which git lfs pull gets the file\)",
    ),
    "an index of a pickle": (lambda folder: index(folder, "pytorch_model.bin"), "is no .safetensors file beside it"),
    "an index out of the folder": (
        lambda folder: index(folder, "../other.safetensors"),
        "is no .safetensors file beside it",
    ),
    "no weights": (remove("model.safetensors"), "has no model.safetensors and no model.safetensors.index.json"),
    "no configuration": (remove("config.json"), r"has no config\.json"),
    "no tokenizer": (remove("tokenizer.json", "tokenizer_config.json"), "has no tokenizer"),
    "no heads": (
        lambda folder: change_json(folder / "config.json", num_attention_heads=0),
        "num_attention_heads=0 is not a whole number from 1",
    ),
    "a size in words": (
        lambda folder: change_json(folder / "config.json", hidden_size="big"),
        "hidden_size='big' is not a whole number",
    ),
    "a configuration of another model": (
        configure(model_type="gpt2", architectures=["GPT2LMHeadModel"]),
        "cannot load it as a masked LM .*; correct its config.json, or give a masked LM",
    ),
    "a tokenizer of a number": (write("tokenizer.json", b"7"), "its tokenizer cannot be used"),
    "an id beyond the embeddings": (give_id, r"gives the id 300, but its embeddings have 20 rows"),
    "a normalizer that is none": (panic, "its tokenizer cannot be used"),
    "padding is the mask": (
        lambda folder: change_json(folder / "tokenizer_config.json", pad_token="[MASK]"),
        r"its mask token \[MASK\] is its padding too",
    ),
}


@pytest.mark.parametrize("fault", WRONG_FOLDERS)
def test_folders_with_a_fault_are_refused(fault: str, model: Path) -> None:
    damage, sentence = WRONG_FOLDERS[fault]
    damage(model)
    with pytest.raises(InputError, match=sentence):
        load(model)


def test_a_text_of_unknown_tokens_alone_is_refused(text: Path, model: Path) -> None:
    (text / "valid.txt").write_text("это не тот язык\n" * 60)
    with pytest.raises(InputError, match=r"knows no token of the valid split .*, all are unknown"):
        evaluate(model, str(text), ["valid"], seq_length=12)


def test_a_block_that_what_stands_around_a_text_fills_is_refused(text: Path, model: Path) -> None:
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 6
    single = [*around, {"Sequence": {"id": "A", "type_id": 0}}, *around]
    special = {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}}
    template = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}
    change_tokenizer(model, lambda document: document.update(post_processor=template))
    with pytest.raises(InputError, match=r"puts 12 tokens around a text, so a block of 12 has no room for one; give a"):
        evaluate(model, str(text), ["valid"], seq_length=12)


def test_a_file_of_a_folder_is_not_looked_for_on_the_hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    with pytest.raises(InputError, match=r"^model/model\.safetensors: is no run, no folder and no owner/name"):
        open_foreign("model/model.safetensors")


@pytest.mark.usefixtures("text")
def test_the_command_says_it_in_one_sentence(model: Path, tmp_path: Path) -> None:
    change_weights(model, lambda all_: {name: all_[name] for name in all_ if not name.startswith("cls.")})
    answer = run_tiedlm(tmp_path, "evaluate model --corpus text")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "would be random" in answer.stderr
    assert "Traceback" not in answer.stderr

"""A model in several files: by its index, of either format, by its parts without one, and one part alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.counting.stored_llama import LLAMA, TIED_TOTAL, H, V, llama, refusal, stored
from tests.counting.test_families import torch
from tests.counting.test_stored_weights import LIBRARY
from tiedlm.api.count import count_params

SAFETENSORS, PICKLES = "model-{:05}-of-00002.safetensors", "pytorch_model-{:05}-of-00002.bin"


def in_parts(folder: Path, pattern: str = SAFETENSORS, tied: bool = True, **change: str) -> dict[str, str]:
    """A Llama in two files with its configuration; and the `weight_map`, which `change` adds to."""
    tensors = llama(tied)
    names = sorted(tensors)
    weight_map = {}
    folder.mkdir(exist_ok=True)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = folder / pattern.format(number)
        held = {name: tensors[name] for name in part}
        if file.suffix == ".bin":
            torch.save(held, file)
        else:
            stored(file, held)
        weight_map |= dict.fromkeys(part, file.name)
    (folder / "config.json").write_text(json.dumps(LLAMA | {"tie_word_embeddings": tied}))
    return weight_map | change


def indexed(folder: Path, weight_map: dict[str, Any], ending: str = "safetensors") -> Path:
    """The index of a folder."""
    path = folder / ("model.safetensors.index.json" if ending == "safetensors" else "pytorch_model.bin.index.json")
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("pattern", [SAFETENSORS, PICKLES])
def test_an_index_is_read_with_its_files(pattern: str, tied: bool, tmp_path: Path) -> None:
    weight_map = in_parts(tmp_path, pattern, tied)
    index = indexed(tmp_path, weight_map, pattern.rpartition(".")[2])
    for given in (tmp_path, index):
        answer = count_params(given)
        assert answer.count.total == TIED_TOTAL + (0 if tied else V * H)
        assert answer.count.tie_word_embeddings == tied
        assert answer.notes == (f"as many parameters as LlamaForCausalLM of {LIBRARY}",)


@pytest.mark.parametrize("pattern", [SAFETENSORS, PICKLES])
@pytest.mark.parametrize("has_index", [True, False])
def test_one_part_names_the_whole(has_index: bool, pattern: str, tmp_path: Path) -> None:
    weight_map = in_parts(tmp_path, pattern)
    ending = pattern.rpartition(".")[2]
    index = indexed(tmp_path, weight_map, ending) if has_index else None
    said = refusal(tmp_path / pattern.format(1))
    assert "is one of 2 parts of a model" in said
    assert said.endswith(f"tiedlm count-params {index if index else tmp_path}")


def test_parts_without_an_index_are_read_where_none_is_missing(tmp_path: Path) -> None:
    in_parts(tmp_path)
    answer = count_params(tmp_path)
    assert (answer.count.total, answer.count.tie_word_embeddings) == (TIED_TOTAL, True)
    assert answer.notes[-1] == "its 2 parts were read without an index, which lacks"
    (tmp_path / SAFETENSORS.format(2)).unlink()
    answer = count_params(tmp_path)  # by its configuration
    assert answer.notes == (f"beside it lie weights that were not read: {SAFETENSORS.format(1)}",)
    (tmp_path / "config.json").unlink()
    assert f"only {SAFETENSORS.format(1)} lies here, and no index" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "model_00001-of-00002.safetensors",
        "pytorch_model_00001-of-00002.bin",
        "model-00001-of-00002.fp16.safetensors",
        "model.00-of-02.safetensors",
        "model_part_1_of_2.pt",
        "model_shard1_of_2.pt",
        "layer_00-model_00-model_states.pt",
        "hf_model_0002_1.pt",
    ],
)
def test_one_part_is_no_model_however_it_is_numbered(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        stored(path, llama())
    else:
        torch.save(llama(), path)
    said = refusal(path)
    assert "parts of a model; " in said or "is one layer of" in said


def test_the_first_of_torchtunes_files_is_a_whole_where_it_is_alone(tmp_path: Path) -> None:
    for epoch in (0, 1):
        torch.save(llama(), tmp_path / f"hf_model_0001_{epoch}.pt")
    assert count_params(tmp_path / "hf_model_0001_0.pt").count.total == TIED_TOTAL
    torch.save(llama(), tmp_path / "hf_model_0002_0.pt")
    assert "is one of several parts of a model" in refusal(tmp_path / "hf_model_0001_0.pt")


def test_a_model_of_a_fold_is_a_whole(tmp_path: Path) -> None:
    torch.save(llama(), tmp_path / "model_fold_1_of_5.pt")
    assert count_params(tmp_path / "model_fold_1_of_5.pt").count.total == TIED_TOTAL


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_a_part_names_the_index_of_its_variant(variant: str, tmp_path: Path) -> None:
    for each in ("", ".fp16"):
        weight_map = in_parts(tmp_path, "model-{:05}-of-00002" + f"{each}.safetensors")
        (tmp_path / f"model.safetensors.index{each}.json").write_text(json.dumps({"weight_map": weight_map}))
    said = refusal(tmp_path / f"model-00001-of-00002{variant}.safetensors")
    assert said.endswith(f"model.safetensors.index{variant}.json")


def test_one_part_of_one_is_a_whole(tmp_path: Path) -> None:
    assert count_params(stored(tmp_path / "model-00001-of-00001.safetensors", llama())).count.total == TIED_TOTAL


@pytest.mark.parametrize("name", ["consolidated.{:02}.pth", "rank{}.safetensors"])
def test_slices_of_every_matrix_are_no_model(name: str, tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / name.format(number)
        if path.suffix == ".pth":
            torch.save(llama(), path)
        else:
            stored(path, llama())
    assert "is one of 3 parts of" in refusal(tmp_path / name.format(1))
    for number in (1, 2):
        (tmp_path / name.format(number)).unlink()
    assert count_params(tmp_path / name.format(0)).count.total == TIED_TOTAL


def test_an_index_that_names_more_than_its_files_hold_is_read(tmp_path: Path) -> None:
    """As CodeShell's: `transformers` reads what the files hold, and ties what lacks."""
    weight_map = in_parts(tmp_path)
    indexed(tmp_path, weight_map | {"lm_head.weight": SAFETENSORS.format(1)})
    answer = count_params(tmp_path)
    assert (answer.count.total, answer.count.tie_word_embeddings) == (TIED_TOTAL, True)
    assert answer.notes[-1] == "model.safetensors.index.json names tensors that no file holds: lm_head.weight"


def test_tensors_that_an_index_does_not_name_are_read(tmp_path: Path) -> None:
    weight_map = in_parts(tmp_path, tied=False)
    del weight_map["lm_head.weight"]
    indexed(tmp_path, weight_map)
    answer = count_params(tmp_path)
    assert (answer.count.total, answer.count.tie_word_embeddings) == (TIED_TOTAL + V * H, False)
    said = "model.safetensors.index.json does not name tensors that its files hold: lm_head.weight"
    assert answer.notes[-1] == said


def test_a_tensor_in_two_files_counts_once(tmp_path: Path) -> None:
    weight_map = in_parts(tmp_path)
    again = {"model.norm.weight": torch.ones(H)}
    stored(tmp_path / "overlay.safetensors", again)
    indexed(tmp_path, weight_map | {"model.norm.weight": "overlay.safetensors"})
    answer = count_params(tmp_path)
    assert answer.count.total == TIED_TOTAL
    assert answer.notes[-1] == "several files hold the same tensors, of which the last counts: model.norm.weight"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.safetensors", "do not lie beside it: gone.safetensors; get them too"),
        ("pytorch_model.bin", "names 'pytorch_model.bin', which is no .safetensors file beside it"),
        ("../x.safetensors", "which is no .safetensors file beside it"),
    ],
)
def test_what_loaders_refuse_is_refused(name: str, words: str, tmp_path: Path) -> None:
    weight_map = in_parts(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    indexed(tmp_path, weight_map | {"lm_head.weight": name})
    assert words in refusal(tmp_path)


def test_empty_tensors_are_told(tmp_path: Path) -> None:
    """As ZeRO-3 leaves what one process does not hold; large matrices first, the embeddings too."""
    tensors = llama()
    tensors |= {name: torch.zeros(0) for name in tensors if name.endswith("proj.weight")}
    for is_empty in (False, True):
        if is_empty:
            tensors["model.embed_tokens.weight"] = torch.zeros(0)
        (tmp_path / "config.json").write_text(json.dumps(LLAMA))
        said = refusal(stored(tmp_path / "model.safetensors", tensors))
        assert f"{14 + is_empty} of its 20 tensors are empty (shape [0]" in said
        assert "ZeRO-3" in said
        assert "zero_to_fp32.py" in said
    tensors = llama() | {"model.soft_prompt": torch.zeros(0)}  # no weight
    assert count_params(stored(tmp_path / "model.safetensors", tensors)).count.total == TIED_TOTAL

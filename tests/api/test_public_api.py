"""What `from tiedlm import …` gives, used as a script would use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import tiedlm
from tests.conftest import HANG_SECONDS, toy_model
from tiedlm import InputError, RunOptions, load_model
from tiedlm.model.masked_lm import build_model
from tiedlm.model.saved_model import save_model


def test_importing_the_package_loads_neither_torch_nor_pydantic() -> None:
    code = "import sys, tiedlm; sys.exit(', '.join({'torch', 'pydantic'} & set(sys.modules)) or 0)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_every_public_name_is_there_and_no_other() -> None:
    for name in tiedlm.__all__:
        assert getattr(tiedlm, name).__doc__, name
    assert dir(tiedlm) == tiedlm.__all__
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        _ = tiedlm.nosuch


def test_no_public_name_is_that_of_a_module() -> None:
    """An imported module would take its place: the function would be there for one call."""
    modules = {path.stem for path in Path(tiedlm.__file__).parent.iterdir()}
    assert not modules & set(tiedlm.__all__)


@pytest.mark.slow
def test_a_script_needs_no_guard(corpus_folder: Path) -> None:
    """Workers do not run the script again, which `multiprocessing` would have them do."""
    script = corpus_folder.parent / "script.py"
    script.write_text(
        "from tiedlm import compare, load_experiment, load_model, train\n"
        "print('once')\n"
        "settings = ['model.hidden_size=16', 'model.num_attention_heads=2', 'model.intermediate_size=16',\n"
        "            'corpus.tokenizer=word', 'corpus.seq_length=8', 'train.num_steps=2']\n"
        "experiment = load_experiment(settings=settings, corpus='corpus')\n"
        "comparison = compare(experiment, seeds=1, out='out')\n"
        "again = train(experiment, 'untied', out='out')\n"
        "assert comparison.arms['untied'].metrics['valid'].masked_lm_loss_nats.values == [\n"
        "    again.metrics['valid'].masked_lm_loss_nats]\n"
        "print(comparison.saved.parameters, load_model('out/tied-seed0.safetensors').is_tied)\n"
    )
    finished = subprocess.run(
        [sys.executable, script.name], cwd=script.parent, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert finished.returncode == 0, finished.stderr
    once, figures = finished.stdout.splitlines()
    saved, is_tied = figures.split()
    vocab_size = json.loads((script.parent / "out/tied-seed0.json").read_text())["data"]["vocab_size"]
    assert (once, int(saved), is_tied) == ("once", vocab_size * 16, "True")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as .safetensors"),
        (b"junk" * 100, "cannot be read as .safetensors"),
        (None, "cannot be read as .safetensors"),
        ({"x": torch.zeros(2)}, "has no model of tiedlm in its header"),
    ],
)
def test_what_is_no_model_is_refused(
    content: bytes | dict[str, torch.Tensor] | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    if isinstance(content, dict):
        save_file(content, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_model(path)


def test_a_pipe_or_a_file_larger_than_memory_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    with pytest.raises(InputError, match="it is no regular file"):
        load_model(path)
    path.unlink()
    path.touch()
    os.truncate(path, 1 << 40)  # of zeros, which take no disk
    with pytest.raises(InputError, match=r"cannot be read as \.safetensors"):
        load_model(path)

    def without_memory(_: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr("tiedlm.model.saved_model.load", without_memory)
    with pytest.raises(InputError, match="is larger than the memory here"):
        load_model(path)


def test_a_model_of_other_shapes_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(build_model(toy_model(), 17, seed=0), 18, path)
    with pytest.raises(InputError, match=r"has shape \(17, 32\), its header asks for \(18, 32\)"):
        load_model(path)


@pytest.mark.parametrize("options", [{"device": "gpu"}, {"precision": "fp16"}])
def test_options_that_do_not_exist_are_refused(options: dict[str, str], corpus_folder: Path) -> None:
    experiment = tiedlm.load_experiment("pydoc", ["corpus.tokenizer=word", "corpus.seq_length=8"], str(corpus_folder))
    (field,) = options
    with pytest.raises(InputError, match=f"--{field} '.*' is not one of auto"):
        tiedlm.compare(experiment, out=corpus_folder / "out", options=RunOptions(**options))  # type: ignore[arg-type]
    assert not (corpus_folder / "out").exists()

"""What lies where a file is expected, and is none: a sentence, and no waiting for what never comes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.test_bad_input import GOOD, run_tiedlm, write
from tests.comparison.test_compare import pairs
from tests.conftest import HANG_SECONDS, REPOSITORY, toy_model
from tiedlm import count_params, load_model
from tiedlm.config.experiment_file import read_experiment, shipped_experiments
from tiedlm.errors import InputError
from tiedlm.model.masked_lm import MaskedLM
from tiedlm.model.saved_model import save_model
from tiedlm.record.record_file import save_record
from tiedlm.reporting.write import update_report
from tiedlm.training.device import available_memory_bytes
from tiedlm.training.provenance import present_code

pytestmark = pytest.mark.slow
KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": lambda path: os.mkfifo(path),
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
}
PLACES = {  # what is strange, and the command that comes upon it
    "experiment.toml": "compare experiment.toml",
    "corpus/train.txt": "train --tied --corpus corpus",
    "tokenizer.json": "train --tied --corpus corpus --tokenizer tokenizer.json",
    "config.json": "count-params config.json",
    "model.safetensors": "count-params model.safetensors",
    "records/tied-seed0.json": "report records",
    "records/two-stage.json": "report records",
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [*((place, kind) for place in PLACES for kind in ("pipe", "folder")), ("records/tied-seed0.json", "device")],
)
def test_what_is_no_file_is_not_waited_for(place: str, kind: str, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "records").mkdir()
    for record in pairs([4.0, 4.1], [4.2, 4.3]):
        save_record(record, tmp_path / "records")
    (tmp_path / place).unlink(missing_ok=True)
    KINDS[kind](tmp_path / place)
    finished = run_tiedlm(tmp_path, PLACES[place])
    assert finished.returncode == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("tiedlm: ")


@pytest.mark.parametrize("name", ["comparison.json", "REPORT.md", "learning_curves.png", "plots.sha256"])
def test_what_lies_in_a_report_s_place_is_replaced_or_told(name: str, tmp_path: Path) -> None:
    for record in pairs([4.0, 4.1], [4.2, 4.3]):
        save_record(record, tmp_path)
    os.mkfifo(tmp_path / name)
    update_report(tmp_path)
    assert (tmp_path / name).is_file()
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="the report cannot be written"):
        update_report(tmp_path)


def run_started_by(prefix: list[str], folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The command, started by another one that changes what it may do."""
    command = [*prefix, sys.executable, "-m", "tiedlm", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / ".cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv of util-linux takes a right from the tests' user")
@pytest.mark.parametrize("place", [*PLACES, "corpus", "records"])
def test_what_may_not_be_read_is_told_wherever_it_is(place: str, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "records").mkdir()
    for record in pairs([4.0, 4.1], [4.2, 4.3]):
        save_record(record, tmp_path / "records")
    (tmp_path / place).touch()
    (tmp_path / place).chmod(0)
    command = PLACES.get(place, "train --tied --corpus corpus" if place == "corpus" else "report records")
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    finished = run_started_by(as_others, tmp_path, command.split())
    (tmp_path / place).chmod(0o700)
    assert finished.returncode == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    assert re.search("ermission denied|is not readable", finished.stderr)


NO_HOME = """
import os, pwd, sys
def nobody(*_): raise KeyError("uid not found")
pwd.getpwuid = nobody
for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"): os.environ.pop(name, None)
from tiedlm.cli.main import main
main()
"""


@pytest.mark.parametrize("arguments", ["compare", "doctor", "count-params someone/model"])
def test_a_user_without_a_home_is_asked_for_a_cache(arguments: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_HOME, *arguments.split()]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert finished.returncode == 2, finished.stderr
    words = "tiedlm: the cache: this user has no home folder; set XDG_CACHE_HOME to a folder"
    assert " ".join(finished.stderr.split()).endswith(words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="workers of other systems need no socket")
def test_surroundings_in_which_no_process_can_start_are_told(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    folder = tmp_path / ("t" * 100)
    folder.mkdir()
    arguments = "train --tied --corpus corpus --set corpus.tokenizer=word --out out".split()
    finished = run_started_by(["env", f"TMPDIR={folder}"], tmp_path, arguments)
    assert finished.returncode == 2, finished.stderr
    assert "is too long for a socket's path; set TMPDIR to a shorter one" in finished.stderr
    finished = run_started_by(["sh", "-c", 'ulimit -n 16; exec "$@"', "sh"], tmp_path, arguments)
    assert finished.returncode == 2, finished.stderr
    assert "only 16 files may be open at a time" in finished.stderr


@pytest.mark.parametrize("vocab_size", ["Infinity", "1e999", "-5", "0", "true", "1e30", "12.5", "null"])
def test_a_vocabulary_of_no_size_is_no_model_s(vocab_size: str, tmp_path: Path) -> None:
    model = MaskedLM(toy_model(), 20)
    save_model(model, 20, tmp_path / "good.safetensors")
    with safe_open(tmp_path / "good.safetensors", "pt") as file:
        text = file.metadata()["tiedlm"].replace('"vocab_size":20', f'"vocab_size":{vocab_size}')
    assert vocab_size in text
    path = tmp_path / "model.safetensors"
    save_file({name: parameter.detach() for name, parameter in model.named_parameters()}, path, {"tiedlm": text})
    for read in (count_params, load_model):
        with pytest.raises(InputError, match=r"model\.safetensors: (its tiedlm metadata is damaged|has no model of)"):
            read(str(path))


def test_the_smallest_limit_of_memory_counts(tmp_path: Path) -> None:
    whole = available_memory_bytes(tmp_path)
    assert whole is not None
    for name, text in {
        "proc/self/cgroup": "4:memory:/a\n0::/b\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/b/memory.max": f"{whole // 2}\n",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{whole // 4}\n",
    }.items():
        write(tmp_path, {name: text.encode()})
        assert available_memory_bytes(tmp_path) == (int(text) if text.strip().isdecimal() else whole)


def test_a_setting_is_one_key() -> None:
    with pytest.raises(InputError, match=r"^--set .*: holds a line break; give one key each$"):
        read_experiment(shipped_experiments()["pydoc"], ['train.num_steps=10\nname="x"'])


@pytest.mark.parametrize("name", ["ergebnisse-ä \U0001f600", 'a"b\\c'])
def test_a_text_and_a_folder_of_records_may_have_any_name(name: str, tmp_path: Path) -> None:
    write(tmp_path, {path.replace("corpus", name): content for path, content in GOOD.items()})
    small = "--steps 1 --set model.hidden_size=16 --set model.intermediate_size=16 --set model.num_hidden_layers=1"
    small += " --set model.num_attention_heads=1 --set train.num_evaluations=1 --set corpus.seq_length=8"
    arguments = f"compare --seeds 1 --corpus {shlex.quote(name)} --out {shlex.quote(f'{name}-out')} {small}"
    finished = run_tiedlm(tmp_path, arguments)
    assert finished.returncode == 0, finished.stderr
    assert run_tiedlm(tmp_path, f"report {shlex.quote(f'{name}-out')}").returncode == 0


def test_a_name_that_no_record_can_hold_is_refused_before_training(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    shutil.move(tmp_path / "corpus", os.fsencode(tmp_path) + b"/caf\xe9")
    finished = run_tiedlm(tmp_path, "compare --corpus caf\udce9 --out out")
    assert finished.returncode == 2
    assert "is not UTF-8, which a record needs" in finished.stderr


def test_an_output_folder_with_bytes_that_are_no_text_is_recorded_in_print(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    small = "--steps 1 --set model.hidden_size=16 --set model.intermediate_size=16 --set model.num_hidden_layers=1"
    small += " --set model.num_attention_heads=1 --set train.num_evaluations=1 --set corpus.seq_length=8"
    finished = run_tiedlm(tmp_path, f"compare --seeds 1 --corpus corpus --out caf\udce9 {small}")
    assert finished.returncode == 0, finished.stderr
    assert run_tiedlm(tmp_path, "report caf\udce9").returncode == 0


def test_a_record_has_the_commit_of_its_own_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever repository a hook's variables name."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout")
    expected = present_code()
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert present_code() == expected

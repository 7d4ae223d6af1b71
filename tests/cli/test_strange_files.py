"""What lies where a file is expected, and is none: a sentence, and no waiting for what never comes."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_bad_input import GOOD, run_tiedlm, write
from tests.comparison.test_compare import pairs
from tests.conftest import REPOSITORY
from tiedlm.cli import main as main_module
from tiedlm.errors import InputError
from tiedlm.experiment_file import read_experiment, shipped_experiments
from tiedlm.record import save_record
from tiedlm.report.write import update_report
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


def test_a_file_that_may_not_be_read_is_told_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the one place that hears of everything: who runs the tests may read all files."""

    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/somewhere/a file\x1b[2J")

    monkeypatch.setattr(main_module, "app", refuse)
    monkeypatch.setattr("sys.argv", ["tiedlm", "doctor"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 2
    words = " ".join(capsys.readouterr().err.split())
    assert "file\\x1b[2J: cannot be used (Permission denied); check that it is there, and its permissions" in words


def test_a_setting_is_one_key() -> None:
    with pytest.raises(InputError, match="holds a line break; give one key each"):
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

"""What goes wrong while a run trains, done to real processes; afterwards the same command gives the same record.

`pytest tests/test_faults.py tests/test_interruption.py` ends with the fault table: what was done, how often, how many
steps were lost at most, and how many records were damaged. `TIEDLM_KILLED_RUNS=200` kills more.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.forked_command import run_forked
from tests.cli.test_bad_input import run_tiedlm
from tests.conftest import HANG_SECONDS, TOY, NoteFault, toy_experiment, train_arm
from tests.training.test_run import FP32, outcome, run_toy, tokenized
from tiedlm.atomic_file import PARTIAL_SUFFIX, write_atomically
from tiedlm.errors import InputError
from tiedlm.execution.folder_lock import locked
from tiedlm.execution.output_folder import clear_leftovers
from tiedlm.processes.start_method import CONTEXT, start_server
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.training.checkpoint import CheckpointFiles, DamagedCheckpoint, load_checkpoint
from tiedlm.training.loop import RunFailed
from tiedlm.training.resume import CheckpointPolicy

Answer = subprocess.CompletedProcess[str]
GoOn = Callable[..., None]
pytestmark = pytest.mark.slow
NUM_KILLED_RUNS = int(os.environ.get("TIEDLM_KILLED_RUNS", "8"))
RECORDS = ("tied-seed0.json", "untied-seed0.json")
EXPERIMENT = toy_experiment(
    **{"model.hidden_dropout_prob": 0.1, "train.num_steps": 30, "train.num_evaluations": 3, "train.batch_size": 50}
)


# ---- kill -9, by the hundred: a run in a forked process, a checkpoint after every step


def train_in_a_process(folder: Path, out: Path, sender: Any) -> None:
    """The body of a process that will be killed; it tells of every step."""
    torch.set_num_threads(1)
    policy = CheckpointPolicy(checkpoint_seconds=0.0)
    corpus = tokenized(EXPERIMENT, folder)
    train_arm(EXPERIMENT, "tied", 0, corpus, FP32, out, "tiedlm train", lambda news: sender.send(news.step), policy)


def saved_step(out: Path, arm: str = "tied") -> int:
    """Where the newest whole checkpoint stands."""
    for path in CheckpointFiles(out, RunId(arm, 0)).candidates():
        try:
            return load_checkpoint(path)[0].step
        except DamagedCheckpoint:
            continue
    return 0


def has_partial_file(out: Path) -> bool:
    """Whether a file is being written, or was when its writer was killed."""
    return any(out.rglob(f".*{PARTIAL_SUFFIX}"))


def test_killed_runs_end_with_the_record_of_an_undisturbed_one(
    corpus_folder: Path, tmp_path: Path, note_fault: NoteFault
) -> None:
    start_server()
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    model = (tmp_path / "whole" / "tied-seed0.safetensors").read_bytes()
    generator = random.Random(0)
    num_in_a_save = 0
    for attempt in range(NUM_KILLED_RUNS):
        out = tmp_path / f"killed{attempt}"
        out.mkdir()
        lost = 0
        for _ in range(generator.randint(1, 2)):
            receiver, sender = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(target=train_in_a_process, args=(corpus_folder, out, sender))
            process.start()
            sender.close()
            receiver.poll(HANG_SECONDS)  # the first step; then at any moment until after the end
            until = time.monotonic() + generator.random() * 0.6
            while time.monotonic() < until or (attempt % 2 and process.is_alive() and not has_partial_file(out)):
                time.sleep(0.0 if attempt % 2 else 0.01)  # every other kill waits for a file that is being written
            process.kill()
            process.join()
            told = 0
            while True:
                try:
                    told = receiver.recv()
                except EOFError:
                    break
            if (out / "tied-seed0.json").exists():
                break
            num_in_a_save += has_partial_file(out)
            lost = max(lost, told - saved_step(out))
        record = run_toy(EXPERIMENT, corpus_folder, out)
        is_damaged = outcome(record) != outcome(whole) or (out / "tied-seed0.safetensors").read_bytes() != model
        note_fault("kill -9 at a random moment, resumed", lost, is_damaged)
        assert not is_damaged
        assert lost <= 1  # the step under way
        shutil.rmtree(out)
    assert num_in_a_save > 0 or NUM_KILLED_RUNS < 8, "no kill fell into the writing of a file"


# ---- the command itself


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, an experiment and, in `whole`, what it gives when nothing happens."""
    folder = tmp_path_factory.mktemp("faults")
    generator = random.Random(0)
    words = [f"w{number}" for number in range(60)]
    (folder / "text").mkdir()
    for split, num_lines in (("train", 400), ("valid", 60), ("test", 60)):
        lines = [" ".join(generator.choices(words, k=12)) for _ in range(num_lines)]
        (folder / "text" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    sections = {**TOY, "name": "faults", "corpus": {**TOY["corpus"], "name": "text"}}  # type: ignore[dict-item]
    sections["train"] = {**TOY["train"], "num_steps": 500}  # type: ignore[dict-item]
    lines = [f"{key} = {json.dumps(value)}" for key, value in sections.items() if not isinstance(value, dict)]
    for name, section in sections.items():
        if isinstance(section, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    (folder / "faults.toml").write_text("\n".join(lines) + "\n")
    answer = tiedlm(folder, "whole")
    assert answer.returncode == 0, answer.stderr
    return folder


def command(out: str, *more: str) -> list[str]:
    """A comparison of two runs of a few seconds that save ten times a second."""
    options = ["--out", out, "--precision", "fp32", "--save-every", "0.1"]
    return [sys.executable, "-m", "tiedlm", "compare", "faults.toml", *options, *more]


def environment(folder: Path, **changes: str | None) -> dict[str, str]:
    """Without colours, and with a cache of its own."""
    variables = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "200", **changes}
    return {name: value for name, value in variables.items() if value is not None and name != "FORCE_COLOR"}


def tiedlm(folder: Path, out: str, *more: str, **changes: str | None) -> Answer:
    """Run the command to its end."""
    return subprocess.run(
        command(out, *more),
        cwd=folder,
        env=environment(folder, **changes),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )


def again(folder: Path, out: str) -> Answer:
    """The same command, in a process that need not import anything."""
    return run_forked(folder, shlex.join(command(out)[3:]), environment(folder))


def heed_interrupts() -> None:
    """Of a background job, which the tests may be, some are ignored, and its children inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(folder: Path, out: str) -> subprocess.Popen[str]:
    """Run the command until both runs train."""
    process = subprocess.Popen(
        command(out),
        cwd=folder,
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stderr is not None
    begun: set[str] = set()
    for line in process.stderr:
        if "  step " in line:
            begun.add(line.partition(" ")[0])
        if begun == {"tied", "untied"}:
            break
    return process


def wait_for(condition: Callable[[], bool]) -> None:
    """Or fail after a minute."""
    for _ in range(100 * HANG_SECONDS):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("waited for a minute")


def has_checkpoints(folder: Path) -> bool:
    """Of both arms."""
    return len(list(folder.glob("checkpoints/*seed0.safetensors"))) == 2


def lost_steps(words: str, folder: Path) -> int:
    """Of the arms that ended early: steps that the command has told of and that are in no checkpoint."""
    told = re.findall(r"(\w+) seed 0.* at step ([\d,]+)", words)
    assert told, words
    return max(int(step.replace(",", "")) - saved_step(folder, arm) for arm, step in told)


def differing(place: Path, out: Path) -> bool:
    """Whether a record differs from that of the undisturbed command in more than times."""
    return any(outcome(load_record(out / name)) != outcome(load_record(place / "whole" / name)) for name in RECORDS)


@pytest.fixture
def goes_on(place: Path, tmp_path: Path, note_fault: NoteFault) -> GoOn:
    """Give the command again and hold what it ends with to the undisturbed records.

    In a forked process, which is spared the imports; a fresh one goes on in `test_the_command_killed`.
    """

    def go_on(fault: str, lost: int | None, run: Callable[[Path, str], Answer] = again) -> None:
        answer = run(place, str(tmp_path / "out"))
        assert answer.returncode == 0, answer.stderr
        is_damaged = differing(place, tmp_path / "out")
        note_fault(fault, lost, is_damaged)
        assert not is_damaged
        assert [*(tmp_path / "out").rglob("checkpoints*"), *(tmp_path / "out").glob("checkpoints/.*")] == []
        assert [path.name for path in (tmp_path / "out").glob(".*")] == [".lock"]  # which nobody holds any more

    return go_on


@pytest.mark.parametrize(
    ("signal_name", "receivers"),
    [("SIGINT", "group"), ("SIGTERM", "command and group"), ("SIGHUP", "group")],
)
def test_a_signal_finishes_the_step_and_saves(
    place: Path, tmp_path: Path, goes_on: GoOn, signal_name: str, receivers: str
) -> None:
    """`timeout`, for one, tells the command and then its group: that is one wish, not a second one to stop at once."""
    process = start(place, str(tmp_path / "out"))
    number = getattr(signal, signal_name)
    if "command" in receivers:
        os.kill(process.pid, number)
        time.sleep(0.05)
    if "group" in receivers:
        os.killpg(process.pid, number)
    _, rest = process.communicate()
    assert process.returncode == 128 + number, rest
    assert "Traceback" not in rest
    assert "the same command goes on from there" in rest
    assert rest.count("stands at step") == 2
    lost = lost_steps(rest, tmp_path / "out")
    assert lost == 0
    goes_on(f"{signal_name} to the {receivers}", lost)


def test_the_command_killed(place: Path, tmp_path: Path, goes_on: GoOn, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="t") as folder:  # of a short name, as a socket's path must be
        monkeypatch.setenv("TMPDIR", folder)
        process = start(place, str(tmp_path / "out"))
        wait_for(lambda: has_checkpoints(tmp_path / "out"))
        assert list(Path(folder).glob("pymp-*"))
        process.kill()
        process.communicate()
        wait_for(lambda: not list(Path(folder).glob("pymp-*")))
        assert (tmp_path / "out" / ".lock").exists()  # of a process that is gone
        goes_on("kill -9 of the command", None, run=tiedlm)


def test_a_whole_process_group_killed(
    place: Path, tmp_path: Path, goes_on: GoOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to remove the folder of the socket, but the next command; that of another program stays."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        (Path(folder) / "pymp-others").mkdir()
        process = start(place, str(tmp_path / "out"))
        wait_for(lambda: has_checkpoints(tmp_path / "out"))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        (tmp_path / "out" / f".curves.png.{process.pid}-abcd_123.partial").touch()
        assert len(list(Path(folder).glob("pymp-*"))) == 2
        goes_on("kill -9 of all", None, run=tiedlm)
        assert list(Path(folder).glob("pymp-*")) == [Path(folder) / "pymp-others"]


def test_what_a_killed_command_left_is_removed_by_whoever_writes_there(place: Path, tmp_path: Path) -> None:
    """A report in a folder of records that are all there, and a plot to a folder of one's own."""
    (gone := subprocess.Popen(["true"])).wait()
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its number stays
    shutil.copytree(place / "whole", tmp_path / "out")
    partial = f".{gone.pid}-abcd_123.partial"
    left = [tmp_path / f".plot.svg{partial}", tmp_path / "out" / f".parameters.png.{zombie.pid}-abcd_123.partial"]
    others = [tmp_path / f".other.svg{partial}", tmp_path / f".plot.svg.{os.getppid()}-abcd_123.partial"]
    for path in (*left, *others):
        path.touch()
    assert run_tiedlm(tmp_path, "report out").returncode == 0
    assert run_tiedlm(tmp_path, "count-params bert-base-uncased --plot plot.svg").returncode == 0
    assert [path.exists() for path in (*left, *others)] == [False, False, True, True]
    zombie.wait()


def test_a_second_command_waits_and_takes_over_what_a_killed_one_held(
    place: Path, tmp_path: Path, note_fault: NoteFault
) -> None:
    out = tmp_path / "out"
    process = start(place, str(out))
    wait_for(lambda: has_checkpoints(out))
    os.killpg(process.pid, signal.SIGSTOP)  # else it may end before the second one begins
    holder = f"process {process.pid} on host {os.uname().nodename}"
    otherwise = command(str(out), "--no-resume", "--set", "train.learning_rate=0.02")[3:]
    other = run_forked(place, shlex.join(otherwise), environment(place))
    states = run_forked(place, f"status {out} --json", environment(place))
    variables = environment(place)
    second = subprocess.Popen(command(str(out)), cwd=place, env=variables, stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    begun = ""
    while "waiting for" not in begun and (line := second.stderr.readline()):
        begun += line
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert begun.endswith(f"waiting for tied seed 0 and 1 more, which {holder} trains\n")
    assert other.returncode == 2
    assert f"{holder} is training tied seed 0 there with train.learning_rate=0.01, now it is 0.02; " in other.stderr
    assert states.returncode == 1
    runs = json.loads(states.stdout)["runs"]
    assert {(run["arm"], run["state"], run["pid"]) for run in runs} == {
        (arm, "running", process.pid) for arm in ("tied", "untied")
    }
    assert all(0 < run["step"] <= run["num_steps"] == 500 for run in runs)
    _, rest = second.communicate()
    assert second.returncode == 0, rest
    is_damaged = differing(place, out)
    note_fault("kill -9 of a command, and another takes over", None, is_damaged)
    assert not is_damaged
    assert not (out / "checkpoints").exists()
    assert not (out / "locks").exists()
    assert run_forked(place, f"status {out}", environment(place)).returncode == 0


def test_a_lock_without_a_holder_is_none(tmp_path: Path) -> None:
    """As a container leaves it that was killed, in which the holder had the number that now another process has."""
    for name in (".lock", ".lock-holder"):
        (tmp_path / name).write_text(f"{os.getppid()}\n{os.uname().nodename}\n")
    with locked(tmp_path), pytest.raises(InputError, match=f"process {os.getpid()} on host"), locked(tmp_path):
        pass
    assert not (tmp_path / ".lock-holder").exists()


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")], ids=["pipe", "folder", "link"]
)
def test_what_is_no_file_is_no_lock(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / ".lock")
    with pytest.raises(InputError, match=r"\.lock: is no regular file"), locked(tmp_path):
        pass


def test_files_that_are_not_ours_stay_and_new_ones_heed_the_umask(tmp_path: Path) -> None:
    theirs = tmp_path / ".precious.partial"
    running = tmp_path / f".REPORT.md.{os.getppid()}-abcdefgh.partial"  # of a report that is being written now
    ours = tmp_path / ".untied-seed0.json.999999999-abcdefgh.partial"
    for path in (theirs, running, ours):
        path.write_text("half")
    clear_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([theirs, running])
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "record.json", "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The command's training processes: children of its fork server."""

    def children(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    return [worker for server in children(process.pid) for worker in children(server)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_worker_killed_by_the_kernel_leaves_the_other_alone(place: Path, tmp_path: Path, goes_on: GoOn) -> None:
    process = start(place, str(tmp_path / "out"))
    wait_for(lambda: has_checkpoints(tmp_path / "out"))
    os.kill(workers(process)[0], signal.SIGKILL)
    _, rest = process.communicate()
    assert process.returncode == 1
    assert re.search(r"its process was ended by SIGKILL at step [\d,]+; the kernel does so when memory runs out", rest)
    assert "1 of 2 runs failed and are missing; the same command trains only what is missing" in rest
    assert len(list((tmp_path / "out").glob("*-seed0.json"))) == 1
    goes_on("a worker killed by the kernel", lost_steps(rest, tmp_path / "out"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_worker_stopped_alone_is_missing_and_said_to_be(place: Path, tmp_path: Path, goes_on: GoOn) -> None:
    process = start(place, str(tmp_path / "out"))
    os.kill(workers(process)[0], signal.SIGTERM)
    _, rest = process.communicate()
    assert process.returncode == 1
    assert re.search(r"was stopped at step [\d,]+; the same command goes on with it", rest)
    lost = lost_steps(rest, tmp_path / "out")
    assert lost == 0
    goes_on("SIGTERM to one worker", lost)


def test_an_output_folder_that_is_gone_ends_the_training(place: Path, tmp_path: Path, note_fault: NoteFault) -> None:
    process = start(place, str(tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    _, rest = process.communicate()
    assert process.returncode == 1
    assert rest.count("is gone, where the record was to be written") == 2
    assert "Traceback" not in rest
    note_fault("the output folder is moved away", None, False)


def test_out_of_memory_is_a_sentence(place: Path, tmp_path: Path, note_fault: NoteFault) -> None:
    """Of the address space, 3 GB are given; a batch of a million blocks takes more."""
    shell = ["sh", "-c", 'ulimit -v 3000000; exec "$@"', "-"]
    answer = subprocess.run(
        [*shell, *command(str(tmp_path / "out"), "--jobs", "1", "--set", "train.batch_size=1000000")],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "memory ran out; lower" in answer.stderr
    is_damaged = any((tmp_path / "out").glob("*seed*"))
    note_fault("out of memory in a worker", None, is_damaged)
    assert not is_damaged


def skip_without_small_disks(folder: Path) -> None:
    """They need a file system of one's own, mounted in a namespace of one's own."""
    probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True)
    if probe.returncode:
        pytest.skip(f"no small disk can be made here: {probe.stderr.decode()}")


SCRIPT = """
mount -t tmpfs -o size=3m tmpfs out && shift
head -c 100m /dev/zero > out/filler 2>/dev/null
for room in 20000 680000; do
  truncate -s -$room out/filler
  "$@"
  echo full: $?
done
rm out/filler
"$@"
echo then: $?
cp out/*.json kept
"""


def test_a_full_disk(place: Path, tmp_path: Path, note_fault: NoteFault) -> None:
    """At first too full for a checkpoint, then for the records and models."""
    for name in ("out", "kept"):
        (tmp_path / name).mkdir()
    skip_without_small_disks(tmp_path / "out")
    arguments = [sys.executable, "-m", "tiedlm", "compare", str(place / "faults.toml"), "--corpus", str(place / "text")]
    arguments += ["--set", "name=faults", "--set", "corpus.tokenizer=word", "--out", "out", "--precision", "fp32"]
    answer = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SCRIPT, "sh", "-", *arguments, "--save-every", "0.2"],
        cwd=tmp_path,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert "Traceback" not in answer.stderr, answer.stderr
    assert re.findall("full: (.*)|then: (.*)", answer.stdout) == [("1", ""), ("1", ""), ("", "0")], answer.stderr
    assert re.search("cannot be saved .*No space left on device", answer.stderr)
    records = [load_record(tmp_path / "kept" / name) for name in RECORDS]
    is_damaged = any(
        outcome(record)["metrics"] != outcome(load_record(place / "whole" / name))["metrics"]
        for name, record in zip(RECORDS, records, strict=True)
    )
    note_fault("disk full", None, is_damaged)
    assert not is_damaged


@pytest.mark.parametrize(
    ("name", "mount", "words"),
    [
        ("disk full while the cache is written", "size=20k tmpfs cache", "the cache cannot be used (No space left on"),
        ("read-only output", "ro tmpfs out", "--out out: cannot be written (Read-only file system); choose another"),
    ],
)
def test_a_disk_that_takes_nothing(
    place: Path, tmp_path: Path, note_fault: NoteFault, name: str, mount: str, words: str
) -> None:
    for folder in ("out", "cache"):
        (tmp_path / folder).mkdir()
    shutil.copytree(place / "text", tmp_path / "text")
    shutil.copy(place / "faults.toml", tmp_path)
    skip_without_small_disks(tmp_path / "out")
    answer = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {mount}; exec "$@"', "-", *command("out")],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert answer.returncode == 2, answer.stderr
    told = answer.stderr.removeprefix("faults: reading corpus text\n")
    assert told.count("\n") == 1, told
    assert words in answer.stderr
    is_damaged = any((tmp_path / "out").iterdir())
    note_fault(name, None, is_damaged)
    assert not is_damaged


def test_a_text_that_changes_between_two_commands_is_refused(place: Path, tmp_path: Path, goes_on: GoOn) -> None:
    process = start(place, str(tmp_path / "out"))
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate()
    text = place / "text" / "test.txt"
    before = text.read_text()
    checkpoints = {path: path.read_bytes() for path in (tmp_path / "out" / "checkpoints").iterdir()}
    try:
        text.write_text(before + "w1 w2 w3\n")
        answer = again(place, str(tmp_path / "out"))
    finally:
        text.write_text(before)
    assert answer.returncode == 2
    assert "data.text_sha256.test=" in answer.stderr
    assert "--no-resume" in answer.stderr
    assert checkpoints == {path: path.read_bytes() for path in (tmp_path / "out" / "checkpoints").iterdir()}
    goes_on("text changed between two commands", lost_steps(rest, tmp_path / "out"))


def test_poor_surroundings(place: Path, tmp_path: Path, note_fault: NoteFault) -> None:
    """No HOME, a locale without UTF-8, and a terminal 40 columns wide."""
    changes = {"HOME": None, "XDG_CACHE_HOME": None, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = tiedlm(place, str(tmp_path / "out"), **changes, COLUMNS="40")
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    note_fault("no HOME, no UTF-8, 40 columns", None, differing(place, tmp_path / "out"))
    assert not differing(place, tmp_path / "out")


def test_a_closed_pipe(place: Path, tmp_path: Path, note_fault: NoteFault) -> None:
    """Of whoever reads the comparison; nothing is trained, since the records are there."""
    out = shutil.copytree(place / "whole", tmp_path / "out")
    words = " ".join(command(str(out)))
    answer = subprocess.run(
        ["sh", "-c", f"{words} --json | head -c 1"], cwd=place, env=environment(place), capture_output=True, text=True
    )
    assert answer.stdout == "{"
    assert "Traceback" not in answer.stderr
    assert "BrokenPipe" not in answer.stderr
    note_fault("a closed pipe", None, differing(place, out))
    assert not differing(place, out)


# ---- inside a run


def test_a_nan_among_the_gradients_ends_the_run_with_a_sentence(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note_fault: NoteFault
) -> None:
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    calls = iter(range(100))
    clip = torch.nn.utils.clip_grad_norm_

    def plant(parameters: Iterator[torch.nn.Parameter], max_norm: float) -> torch.Tensor:
        listed = list(parameters)
        if next(calls) == 20:
            assert listed[0].grad is not None
            listed[0].grad.view(-1)[3] = float("nan")
        return clip(listed, max_norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", plant)
    corpus = tokenized(EXPERIMENT, corpus_folder)
    policy = CheckpointPolicy(checkpoint_seconds=0.0)
    with pytest.raises(RunFailed, match=r"^step 21: loss .*, gradient norm nan; lower the learning rates"):
        train_arm(EXPERIMENT, "tied", 0, corpus, FP32, tmp_path, "tiedlm train", lambda _: None, policy)
    assert list(tmp_path.glob("*.json")) == []
    lost = 20 - saved_step(tmp_path)
    record = run_toy(EXPERIMENT, corpus_folder, tmp_path)
    note_fault("a NaN planted in the gradients", lost, outcome(record) != outcome(whole))
    assert outcome(record) == outcome(whole)
    assert lost == 0


def test_a_clock_that_goes_backwards(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note_fault: NoteFault
) -> None:
    whole = run_toy(EXPERIMENT, corpus_folder, tmp_path / "whole")
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    record = run_toy(EXPERIMENT, corpus_folder, tmp_path)
    note_fault("a clock that goes backwards", None, outcome(record) != outcome(whole))
    assert outcome(record) == outcome(whole)
    assert record.cost.train_seconds > 0

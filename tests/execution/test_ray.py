"""The same runs on a Ray cluster: two nodes of this machine, of which one is lost."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_bad_input import GOOD, TINY, run_tiedlm, write
from tests.conftest import HANG_SECONDS
from tests.execution.test_faults import saved_step
from tests.execution.test_two_commands import environment
from tests.training.test_run import outcome
from tiedlm.execution.local.scheduler import freest_gpu
from tiedlm.record.record_file import load_record

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]
COMPARE = f"compare --corpus corpus {TINY.replace('--steps 2', '--steps 600')} --seeds 1 --save-every 0.5"
RECORDS = ["tied-seed0.json", "untied-seed0.json"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without processors, and two nodes of one each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield started
    started.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy corpus, and in `out` what the processes of this machine make."""
    folder = tmp_path_factory.mktemp("local")
    write(folder, GOOD)
    answer = run_tiedlm(folder, f"{COMPARE} --out out")
    assert answer.returncode == 0, answer.stderr
    return folder


def start(folder: Path, words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tiedlm", *shlex.split(words)]
    return subprocess.Popen(
        command, cwd=folder, env=environment(folder), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 4 * HANG_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)


def has_steps(out: Path) -> bool:
    """Whether both runs have a checkpoint of some steps."""
    return all(saved_step(out, arm) > 20 for arm in ("tied", "untied"))


def process_of(run: str) -> int:
    """The number of the process in which Ray makes a run; it has the task's name."""
    found = subprocess.run(["pgrep", "-f", f"^ray::{run}"], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0])


def test_a_killed_process_and_a_lost_node_cost_no_run(cluster: Any, whole: Path, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    write(tmp_path, GOOD)
    process = start(tmp_path, f"{COMPARE} --executor ray --address {cluster.address} --out out")
    wait_for(lambda: has_steps(tmp_path / "out"), process)
    os.kill(process_of("tied seed 0"), signal.SIGKILL)
    cluster.remove_node(nodes[1])
    _, told = process.communicate()
    assert process.returncode == 0, told
    lost = re.findall(r"(\w+) seed 0: its process or node was lost.*; it goes on elsewhere", told)
    assert "tied" in lost
    assert len(lost) >= 2 or lost == ["tied"]  # the node that is lost may be that of the killed process
    for name in RECORDS:
        assert outcome(load_record(tmp_path / "out" / name)) == outcome(load_record(whole / "out" / name))
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {path.name for path in (whole / "out").iterdir()}


def test_a_signal_to_the_whole_group_saves_and_the_folder_needs_no_cluster(whole: Path, tmp_path: Path) -> None:
    """A cluster of the command's own is in its group, as under `timeout` and a queue."""
    write(tmp_path, GOOD)
    process = subprocess.Popen(
        [sys.executable, "-m", "tiedlm", *shlex.split(f"{COMPARE} --executor ray --out out")],
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: has_steps(tmp_path / "out"), process)
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, told
    assert told.count("stands at step") == 2
    assert "Traceback" not in told
    answer = run_tiedlm(tmp_path, f"{COMPARE} --out out")
    assert answer.returncode == 0, answer.stderr
    for name in RECORDS:
        assert outcome(load_record(tmp_path / "out" / name)) == outcome(load_record(whole / "out" / name))


def test_what_no_node_has_is_refused_and_nothing_is_written(cluster: Any, tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    ray = f"{COMPARE} --executor ray --address {cluster.address} --out out"
    for words, sentence in (
        (f"{ray} --set resources.cpus=64", "[resources]: no node of the Ray cluster has 64 CPUs"),
        (f"{ray} --device cuda", "set resources.gpus"),
        (f"{COMPARE} --address auto", "--address auto is for --executor ray"),
        (f"{COMPARE} --executor ray --address ray://there:10001", "is of a Ray client"),
    ):
        answer = run_tiedlm(tmp_path, words)
        assert answer.returncode == 2, answer.stderr
        assert sentence in answer.stderr
        assert not (tmp_path / "out").exists()


def test_runs_are_spread_over_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    taken: list[int] = []
    for _ in range(7):
        taken.append(freest_gpu(taken))
    assert taken == [0, 1, 2, 0, 1, 2, 0]
    taken.remove(1)
    taken.remove(1)
    assert freest_gpu(taken) == 1

"""The lock of a run: one holder at a time, whatever happens to the lock's file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import toy_experiment
from tiedlm.api import run_folder
from tiedlm.api.run_folder import RunFolder
from tiedlm.atomic_file import remove_partial_files
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.errors import InputError
from tiedlm.execution import run_lock
from tiedlm.execution.folder_lock import locked
from tiedlm.execution.job import Job
from tiedlm.execution.listener import Listener
from tiedlm.execution.planned_runs import add_planned, load_planned
from tiedlm.execution.run_lock import (
    NoLocks,
    RunLock,
    held_runs,
    load_failure,
    remove_free_locks,
    save_failure,
    take_run,
)
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.run_id import RunId

RUN = RunId("tied", 0)
CONFIG = toy_experiment().arm_config("tied").config
HOLDER = {"experiment": "toy", "config": CONFIG.model_dump(), "device": "cpu", "precision": "fp32"}


def hold(out: Path, run: RunId) -> RunLock:
    """The lock of a run that nobody holds."""
    lock = take_run(out, run, HOLDER)
    assert lock is not None
    return lock


def test_a_run_has_one_holder_who_says_who_it_is(tmp_path: Path) -> None:
    lock = hold(tmp_path, RUN)
    assert take_run(tmp_path, RUN, HOLDER) is None
    (holder,) = held_runs(tmp_path).values()
    assert holder is not None
    assert (holder.run, holder.pid, holder.config) == (RUN, os.getpid(), CONFIG)
    assert take_run(tmp_path, RunId("untied", 0), HOLDER) is not None
    lock.release()
    assert list(held_runs(tmp_path)) == [RunId("untied", 0)]
    again = take_run(tmp_path, RUN, HOLDER)
    assert again is not None


def test_many_who_want_one_run_have_it_one_after_the_other(tmp_path: Path) -> None:
    """Its file is removed by every holder, while others have it open and wait."""
    num_holders, most, turns = 0, 0, 0

    def want() -> None:
        nonlocal num_holders, most, turns
        for _ in range(300):
            lock = take_run(tmp_path, RUN, HOLDER)
            if lock is not None:
                num_holders += 1
                most, turns = max(most, num_holders), turns + 1
                os.sched_yield()
                num_holders -= 1
                lock.release()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert turns > 0
    assert not (tmp_path / "locks").exists()


def test_who_opened_a_file_that_its_holder_then_removed_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, third = hold(tmp_path, RUN), list[RunLock]()
    plain, is_second = run_lock._lock, iter([True])

    def late(descriptor: int, is_shared: bool) -> bool:
        if next(is_second, False):
            first.release()
            third.append(hold(tmp_path, RUN))
        return plain(descriptor, is_shared)

    monkeypatch.setattr(run_lock, "_lock", late)
    assert take_run(tmp_path, RUN, HOLDER) is None
    third[0].release()


def test_the_file_of_a_killed_holder_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "tied-seed0.lock").write_text('{"pid": 1, "host": "elsewhere"}')
    assert held_runs(tmp_path) == {}
    remove_free_locks(tmp_path)
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")], ids=["pipe", "folder", "link"]
)
def test_what_is_no_file_is_no_lock(make: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    make(tmp_path / "locks" / "tied-seed0.lock")
    with pytest.raises(InputError, match=r"tied-seed0\.lock: is no regular file"):
        take_run(tmp_path, RUN, HOLDER)


def test_why_a_run_failed_is_known_until_somebody_takes_it(tmp_path: Path) -> None:
    lock = hold(tmp_path, RUN)
    save_failure(tmp_path, RUN, "step 3: the loss is not finite")
    lock.release()
    failure = load_failure(tmp_path, RUN)
    assert failure is not None
    assert failure.sentence == "step 3: the loss is not finite"
    assert take_run(tmp_path, RUN, HOLDER) is not None
    assert load_failure(tmp_path, RUN) is None


def test_what_a_folder_was_asked_for_is_a_union(tmp_path: Path) -> None:
    add_planned(tmp_path, [RUN, RunId("untied", 1)])
    add_planned(tmp_path, [RUN, RunId("tied", 2)])
    assert load_planned(tmp_path) == [RUN, RunId("tied", 2), RunId("untied", 1)]
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match=r"plan\.json: is damaged; "):
        load_planned(tmp_path)


def test_a_partial_file_of_another_host_is_left_to_it(tmp_path: Path) -> None:
    """Whether its writer lives is known there alone; after a day nobody writes any more."""
    ours, theirs, old = (
        tmp_path / f".a.json.999999999{host}-abcdefgh.partial" for host in ("", "@elsewhere", "@long-gone")
    )
    for path in (ours, theirs, old):
        path.touch()
    os.utime(old, (0, 0))
    remove_partial_files(tmp_path)
    assert list(tmp_path.iterdir()) == [theirs]


def test_without_locks_a_folder_is_for_one_command(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    refused: list[str] = []

    def no_locks(*_: object, **__: object) -> bool:
        raise NoLocks

    class Heard(Listener):
        def notice(self, sentence: str) -> None:
            told.append(sentence)

    class TriesToo:
        def run(self, jobs: list[Job], _listener: Listener) -> list[str]:
            assert [job.lock for job in jobs] == [None]
            with pytest.raises(InputError) as error, locked(tmp_path / "out"):
                pass
            refused.append(str(error.value))
            return ["it fails"]

    monkeypatch.setattr(run_lock, "_lock", no_locks)
    monkeypatch.setattr(run_folder, "make_executor", lambda *_: TriesToo())
    options = RunOptions(precision="fp32", listener=Heard())
    folder = RunFolder(toy_experiment(), tmp_path / "out", lambda: load_corpus(str(corpus_folder)), options)
    with pytest.raises(Exception, match="1 of 1 runs failed"):
        folder.train_missing([RUN])
    assert told == [f"{tmp_path / 'out'}: its file system has no locks, so only one command at a time may train there"]
    assert len(refused) == 1
    assert f"process {os.getpid()} on host" in refused[0]
    with locked(tmp_path / "out"):
        pass

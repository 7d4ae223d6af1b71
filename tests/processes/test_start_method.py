"""The memory of worker processes."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from tiedlm.processes.start_method import CONTEXT, memory_kept_by_children, start_server

LIBRARY, VERSION = platform.libc_ver()
pytestmark = pytest.mark.skipif(
    LIBRARY != "glibc" or [int(part) for part in VERSION.split(".")] < [2, 35], reason="glibc 2.35 is told all of it"
)
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ten_steps(sender: Connection) -> None:
    """Tell how many pages were cleared for ten steps of tensors, and what the kernel was advised of their memory."""
    for step in range(13):
        if step == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        tensors = [torch.ones(3 << 20) for _ in range(5)]  # 15,360 pages, or 30 huge ones
        address = tensors[0].data_ptr()
        del tensors
    cleared = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    sender.send((cleared, advice_on(address)))


def advice_on(address: int) -> list[str]:
    """The flags of the mapping that holds it, as proc(5) has them: `hg` is the advice to use huge pages."""
    holds_it = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            holds_it = int(found[1], 16) <= address < int(found[2], 16)
        elif holds_it and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError(f"{address:x} is mapped nowhere")


def test_a_step_writes_to_memory_that_the_one_before_has_freed() -> None:
    start_server()
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=ten_steps, args=(sender,))
    process.start()
    sender.close()
    cleared, flags = receiver.recv()
    process.join()
    assert cleared < 100  # huge ones count as one
    if HUGE_PAGES.exists() and "[madvise]" in HUGE_PAGES.read_text():
        assert "hg" in flags


@pytest.mark.parametrize("given", [None, "glibc.malloc.hugetlb=0"])
def test_the_user_s_own_tunables_count_more(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = re.search(r"/\S*/ld[^/\s]*\.so\S*", Path("/proc/self/maps").read_text())
    assert loader
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if given:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    with memory_kept_by_children():
        told = subprocess.run([loader[0], "--list-tunables"], capture_output=True, text=True, check=True).stdout
    values = dict(re.findall(r"^(glibc\.malloc\.\w+): (\S+)", told, re.MULTILINE))
    assert int(values["glibc.malloc.hugetlb"], 16) == (0 if given else 1)
    assert int(values["glibc.malloc.mmap_threshold"], 16) == 1 << 25
    assert os.environ.get("GLIBC_TUNABLES") == given
